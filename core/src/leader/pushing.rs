//! The push under way, and what refusals have shown.

mod check;

use alloc::sync::Arc;

use crate::backoff::Backoff;
use crate::id::{CommitId, EffectId};
use crate::tally::Tally;
use crate::time::Time;
use crate::waiting::LastError;

use super::persisting::count_before;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct InFlight {
    pub(super) effect: EffectId,
    pub(super) parent: u64,
    /// Counts of the pending events in the batch, client-only ones between them included.
    pub(super) first: u64,
    pub(super) end: u64,
    pub(super) commits: u32,
    /// What was exposed before it was sent.
    pub(super) exposed_before: u64,
    /// The pull stream that ran when it was sent.
    pub(super) stream: u64,
    /// Whether the events have been renumbered since.
    pub(super) overtaken: bool,
}

/// A commit that the backend refuses without saying for ever.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stuck {
    pub(crate) commit: CommitId,
    pub(crate) since: Time,
    pub(crate) message: Arc<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Pushing {
    pub(super) in_flight: Option<InFlight>,
    pub(super) retry: Backoff,
    /// `ServerAhead` in a row.
    pub(super) ahead_streak: u32,
    /// `ServerAhead` since the upstream head last moved.
    pub(super) ahead_without_news: u32,
    /// Refusals of the batch that starts here, on this head.
    pub(super) refused: Option<(u64, u64)>,
    pub(super) refusals: u32,
    /// While a culprit is looked for: the commits that a batch may have.
    pub(super) commits_max: Option<u32>,
    pub(super) stuck: Option<Stuck>,
    /// Whether the policy has withdrawn a commit since a push was last accepted.
    pub(super) policy_withdrew: bool,
    pub(crate) server_ahead: Tally,
    /// Where the backend said that it ends, for those that believe it: [`Mutant::PushAgainWithoutPull`].
    #[cfg(feature = "mutants")]
    pub(super) believed: Option<u64>,
    pub(super) last_error: Option<LastError>,
}

impl Pushing {
    /// Pending events have been taken out.
    pub(super) fn removed(&mut self, indices: &[u64]) {
        let Some(&first) = indices.first() else { return };
        if let Some(flight) = &mut self.in_flight {
            flight.overtaken |= first < flight.end;
            let before = |mark: u64| count_before(indices, mark);
            (flight.first, flight.end) = (flight.first - before(flight.first), flight.end - before(flight.end));
            flight.exposed_before -= before(flight.exposed_before);
            debug_assert!(flight.overtaken || flight.first < flight.end, "a push whose events are gone is overtaken");
        }
        self.stuck = None;
        self.refused = None;
        self.refusals = 0;
    }

    /// Pending events stand elsewhere.
    pub(super) fn overtaken(&mut self) {
        if let Some(flight) = &mut self.in_flight {
            flight.overtaken = true;
        }
        self.upstream_moved();
    }

    /// Others were faster than storage: it does not hold yet what they have moved before.
    pub(super) fn outrun(&mut self) {
        self.ahead_streak += 1;
    }

    pub(super) fn upstream_moved(&mut self) {
        self.ahead_without_news = 0;
    }

    pub(super) fn is_in_flight(&self, index: u64) -> bool {
        self.in_flight.as_ref().is_some_and(|flight| (flight.first..flight.end).contains(&index))
    }

    pub(super) fn any_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    pub(super) fn in_flight_id(&self) -> Option<EffectId> {
        self.in_flight.as_ref().map(|flight| flight.effect)
    }
}
