//! What happened in the world, in the past tense.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::BackendFailure;
use crate::event::{Event, PulledEvent};
use crate::guard::Guard;
use crate::id::{BackendId, CommitId, EffectId, SessionId};
use crate::txn::{Materialised, Seed, SessionApplied};

/// Everything that a machine can be told. Any input may come at any time: what does not fit is counted and ignored.
///
/// A recorded run is a list of `(Time, Input)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Input {
    /// A session wants to commit; the recorded form of [`crate::Node::prepare`].
    Prepare {
        /// The session.
        session: SessionId,
        /// The commit's events, in order.
        events: Vec<Event>,
        /// What has to hold for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        guard: Option<Guard>,
    },
    /// The session's database has taken the prepared commit, or not; the recorded form of [`crate::Node::finish`].
    Finish {
        /// The session.
        session: SessionId,
        /// Whether the events are in its database.
        applied: bool,
    },
    /// Answers [`crate::Effect::Materialise`].
    Materialised {
        /// The effect.
        id: EffectId,
        /// How it ended.
        outcome: Materialised,
    },
    /// Answers [`crate::Effect::Session`].
    SessionApplied {
        /// The effect.
        id: EffectId,
        /// How it ended.
        outcome: SessionApplied,
    },
    /// Answers [`crate::Effect::Snapshot`]; `None` if it could not be taken.
    Seeded {
        /// The effect.
        id: EffectId,
        /// What the session's database was seeded with.
        seed: Option<Seed>,
    },
    /// Answers [`crate::Effect::Push`]: the backend has taken the whole batch, durably.
    PushOk {
        /// The effect.
        id: EffectId,
    },
    /// Answers [`crate::Effect::Push`].
    PushFailed {
        /// The effect.
        id: EffectId,
        /// Why.
        failure: BackendFailure,
    },
    /// Answers [`crate::Effect::Pull`].
    Pulled {
        /// The effect.
        id: EffectId,
        /// The page.
        page: Page,
    },
    /// Answers [`crate::Effect::Pull`].
    PullFailed {
        /// The effect.
        id: EffectId,
        /// Why.
        failure: BackendFailure,
    },
    /// The driver knows that there is no network. Effects under way still get their answers.
    Offline,
    /// There is a network again: what waits for it is tried at once.
    Online,
    /// The network is declared gone for good: whoever waits for the backend is told so.
    OfflineForGood,
    /// Somebody knows that the backend has something newer: it is asked at once, whatever retry was planned.
    Refresh,
    /// There are new credentials.
    Authenticated,
    /// The deadline of [`crate::Output::Idle`] has passed.
    Timer,
    /// A session is opened, with an identity never used before.
    SessionOpened {
        /// Its identity.
        session: SessionId,
    },
    /// A session is closed. Its commits go on.
    SessionClosed {
        /// Its identity.
        session: SessionId,
    },
    /// The user takes a pending commit back.
    Withdraw {
        /// The commit.
        commit: CommitId,
    },
    /// The user decides what to do about another backend identity, or a backend that lost history.
    Decide {
        /// What to do.
        decision: IdentityPolicy,
    },
    /// No more commits; what is admitted is persisted.
    Shutdown,
}

/// What to do when a backend is not the one that this store has been syncing with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum IdentityPolicy {
    /// Push and pull nothing until somebody decides. Receipts that wait for the backend fail; the events stay queued.
    #[default]
    Stop,
    /// Forget the confirmed history, put what is pending into quarantine, and start with the new backend.
    Reset,
    /// Push and pull nothing, and let receipts wait.
    Ignore,
}

/// A page of a pull: the events after the cursor, or after the last page.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Page {
    /// The events, in order.
    pub events: Vec<PulledEvent>,
    /// Whether the backend has more at once; if not, the next page comes when somebody pushes. `false` says that nothing stood behind
    /// this page when it was read, and so that what the backend acknowledged before the stream was begun has come. (A backend that
    /// needs a moment to show what it has taken is asked a second time.)
    pub more: bool,
    /// Which backend this is.
    pub backend: BackendId,
}
