//! Bugs to be put back, one at a time, so that the harness shows that it catches them. Nothing of this is in a normal build: the
//! switch is only there with the feature `mutants`, and without it every question is answered with no.

use serde::{Deserialize, Serialize};

/// A bug that can be put back into the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(not(feature = "mutants"), expect(unreachable_pub, reason = "it is public where it is of use"))]
pub enum Mutant {
    /// The leader stage is said to be Ok as soon as the transaction is ordered.
    ResolveBeforeCommit,
    /// A backend that is ahead is pushed to again at its head, without a pull.
    PushAgainWithoutPull,
    /// What an acknowledgement confirms is what stands at those places by then.
    ReceiptsBySeq,
    /// What follows a batch of unknown fate is sent.
    NoFence,
    /// A commit settles with the part of it that the first page or push covers.
    IgnorePageSplit,
    /// Any answer counts as the one that is waited for.
    NoStaleGuard,
    /// The waits between retries grow for ever.
    NoBackoffCap,
    /// The newest output comes first.
    UnorderedPop,
    /// Client-only events are pushed.
    PushClientOnly,
    /// The first event of a new stream is not compared with the last confirmed one.
    NoAnchor,
    /// A commit is withdrawn as surely not applied while its push is under way.
    WithdrawInFlight,
    /// A transaction whose outcome is unknown is taken for one that failed.
    ForgetUnknownOutcome,
    /// A commit is told to have only its own session's before it.
    CountOwnSession,
    /// What is behind a stuck commit is sent.
    OvertakeStuck,
    /// Nothing more is pushed as long as a session takes nothing.
    WaitForSessions,
    /// A reply that was on its way ends an outage that the driver knows of.
    ReplyEndsOffline,
    /// A server error counts as a sure refusal.
    ErrorIsRefusal,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// Every bug that can be put back.
    pub const ALL: [Self; 17] = [
        Self::ResolveBeforeCommit,
        Self::PushAgainWithoutPull,
        Self::ReceiptsBySeq,
        Self::NoFence,
        Self::IgnorePageSplit,
        Self::NoStaleGuard,
        Self::NoBackoffCap,
        Self::UnorderedPop,
        Self::PushClientOnly,
        Self::NoAnchor,
        Self::WithdrawInFlight,
        Self::ForgetUnknownOutcome,
        Self::CountOwnSession,
        Self::OvertakeStuck,
        Self::WaitForSessions,
        Self::ReplyEndsOffline,
        Self::ErrorIsRefusal,
    ];
}
