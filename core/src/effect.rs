//! What the machine orders, resolves and tells.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::error::{StorageFailure, SyncError};
use crate::event::OwnEvent;
use crate::id::{BackendId, CommitId, EffectId, SessionId};
use crate::seq::Pos;
use crate::time::Time;
use crate::txn::{SessionTxn, Skip, Txn};

/// What [`crate::Node::poll`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Output {
    /// An order to the world, to be answered once.
    Effect {
        /// What the answer has to name.
        id: EffectId,
        /// The order.
        effect: Effect,
    },
    /// A stage of a receipt, or of several, has settled.
    Resolve(Resolution),
    /// Something that a user may want to see.
    Notify(Notice),
    /// Nothing more until the next input. Hand in [`crate::Input::Timer`] when the deadline has passed.
    Idle {
        /// When to come back at the latest, and why; nothing if only other inputs matter.
        deadline: Option<(Time, Reason)>,
    },
}

/// An order to the world. Each belongs to a lane; within a lane orders are carried out in the order given.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Effect {
    /// Storage lane: one transaction on the file. Answered by `Materialised`.
    Materialise(Arc<Txn>),
    /// Storage lane: seed a session's database from the file as it is in its turn. Answered by `Seeded`.
    Snapshot {
        /// The session.
        session: SessionId,
    },
    /// Lane of the session: one transaction on its database. Answered by `SessionApplied`.
    Session {
        /// The session.
        session: SessionId,
        /// The transaction.
        txn: SessionTxn,
    },
    /// Push lane. Answered by `PushOk` or `PushFailed`, within a deadline that the driver keeps.
    Push(Push),
    /// Pull lane. Answered by `Pulled` or `PullFailed`, whenever the backend has something.
    Pull(Pull),
    /// Pull lane: the answer to this pull is no longer wanted. It may come all the same, and is then ignored.
    Abandon {
        /// The pull.
        pull: EffectId,
    },
}

/// A batch for the backend: to be appended whole if `parent` is its head, else not at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Push {
    /// The backend's head, as this client knows it.
    pub parent: u64,
    /// The backend that the batch is meant for, once known.
    pub backend: Option<BackendId>,
    /// The events; the first stands at `parent + 1`, each next one after the one before.
    pub events: Vec<OwnEvent>,
}

/// Asks for the next page.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pull {
    /// The page starts after this event.
    pub after: u64,
    /// Whether to open a new stream; else the page follows the last one of the running stream.
    pub fresh: bool,
    /// The backend that is expected, once known.
    pub backend: Option<BackendId>,
}

/// Stages that have settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Resolution {
    /// `leader_sync` is Ok for every commit of the session up to here that has not failed.
    Persisted {
        /// The session.
        session: SessionId,
        /// The last commit that it holds for.
        through: u64,
    },
    /// `backend_sync` is Ok for these commits of the session, in commit order.
    Confirmed {
        /// The session.
        session: SessionId,
        /// The commits.
        commits: Vec<Confirmed>,
    },
    /// `backend_sync` does not apply to this commit: nothing of it leaves the client, or there is no backend.
    NotApplicable {
        /// The commit.
        commit: CommitId,
    },
    /// A stage has failed.
    Failed {
        /// The commit.
        commit: CommitId,
        /// The stage.
        stage: Stage,
        /// Why.
        error: SyncError,
    },
}

/// A commit that the backend has accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Confirmed {
    /// The commit's ordinal in its session.
    pub commit: u64,
    /// The final place of each of its synced events.
    pub positions: SmallVec<[u64; 1]>,
    /// How often the commit was renumbered by a rebase on the way.
    pub rebases: u32,
}

/// A stage of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// Materialised and persisted by the leader.
    Leader,
    /// Accepted by the sync backend.
    Backend,
}

/// Something that a user may want to see. Never needed for correctness.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Notice {
    /// Pending events were renumbered behind others' events.
    Rebased {
        /// How many were renumbered.
        events: usize,
        /// How many came before them.
        behind: usize,
        /// The new generation.
        generation: u32,
    },
    /// A commit went into quarantine.
    Quarantined {
        /// The commit.
        commit: CommitId,
        /// Why.
        error: SyncError,
    },
    /// A quarantined event was found confirmed, and left quarantine.
    Released {
        /// The commit.
        commit: CommitId,
        /// Where the event stands.
        at: Pos,
    },
    /// Events without effect on the state: confirmed ones that can't be materialised here, and pending ones that are
    /// [held](crate::Txn::hold_to), which are judged again.
    Skipped(Vec<Skip>),
    /// An own event came back with other bytes; the backend's count.
    EchoDiffers {
        /// The commit.
        commit: CommitId,
        /// Where the event stands.
        at: Pos,
    },
    /// The backend can't be reached.
    Unreachable {
        /// What was said.
        message: Arc<str>,
    },
    /// The backend answers again.
    Reachable,
    /// Credentials are wanted.
    NeedsAuth {
        /// What was said.
        message: Arc<str>,
    },
    /// The backend keeps refusing this commit without saying for ever; what is behind it waits.
    Stuck {
        /// The commit.
        commit: CommitId,
        /// What was said.
        message: Arc<str>,
    },
    /// The backend is another one, or lost history.
    BackendIdMismatch {
        /// What was known.
        expected: BackendId,
        /// What was found.
        received: BackendId,
    },
    /// The backend's log has a gap; pushing and pulling pause and are tried again.
    BackendLogBroken {
        /// The last event before the gap.
        at: u64,
    },
    /// Storage is in trouble; it is tried again, unless the file is damaged.
    StorageTrouble(StorageFailure),
    /// Storage works again.
    StorageWorks,
    /// A session fell too far behind, or its database failed, and is seeded anew.
    Reseeding {
        /// The session.
        session: SessionId,
        /// Why.
        message: Arc<str>,
    },
}

/// Why the machine wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reason {
    /// Push again after a failure.
    PushRetry,
    /// Pull again after a failure.
    PullRetry,
    /// Write again after trouble with storage.
    StorageRetry,
    /// Store what the backend has acknowledged: nothing else had to be stored meanwhile.
    Acknowledgement,
    /// The offline deadline.
    OfflineDeadline,
    /// The policy for stuck commits.
    StuckPolicy,
}
