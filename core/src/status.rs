//! A snapshot of where a machine stands, for people.

use alloc::sync::Arc;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::effect::Reason;
use crate::error::StorageFailure;
use crate::id::{BackendId, CommitId};
use crate::leader::{Hindrance, Leader};
use crate::node::Node;
use crate::seq::{Pos, Seq};
use crate::time::Time;

/// Where a machine stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// The last place in the log, pending events included.
    pub local_head: Seq,
    /// The last event that is confirmed by a pull.
    pub upstream_head: Pos,
    /// The backend's identity, once known.
    pub backend: Option<BackendId>,
    /// Synced events that the backend has not confirmed by a pull.
    pub pending_events: usize,
    /// Client-only events behind those.
    pub pending_client_only: usize,
    /// Bytes of pending events, encoded.
    pub pending_bytes: usize,
    /// Events admitted and not yet stored.
    pub unpersisted_events: usize,
    /// Whether every commit, and everything that was decided, is stored.
    pub drained: bool,
    /// Whether storage holds the log as it stands: what was pulled, and that what was confirmed is.
    pub stored: bool,
    /// Entries of the log that have no effect on the state here, such as events that the schema does not know. The machine does not
    /// count them: storage does, and the driver says so here.
    pub skipped: u64,
    /// Open sessions.
    pub sessions: usize,
    /// Closed ones, of this process or of an earlier one, with receipts that have not settled.
    pub sessions_closed: usize,
    /// Open ones whose databases don't have all that is stored yet.
    pub sessions_behind: usize,
    /// What syncing is doing.
    pub sync: SyncState,
    /// Failed pushes since one last worked.
    pub push_attempt: u32,
    /// What the last failed push met.
    pub push_error: Option<Arc<str>>,
    /// Failed pulls since one last worked.
    pub pull_attempt: u32,
    /// What the last failed pull met.
    pub pull_error: Option<Arc<str>>,
    /// How long until the machine tries something again by itself, and what.
    pub next: Option<(Duration, Reason)>,
    /// The commit that the backend keeps refusing, and what it says.
    pub stuck: Option<(CommitId, Arc<str>)>,
    /// Trouble with storage, if there is any.
    pub storage: Option<StorageFailure>,
    /// Pushes that were refused since the backend was ahead.
    pub server_ahead: u64,
    /// Commits of sessions that were refused at first since the leader was ahead.
    pub leader_ahead: u64,
    /// Answers that nobody was waiting for.
    pub stale_answers: u64,
}

/// What syncing is doing, or why it waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SyncState {
    /// There is no backend.
    NoBackend,
    /// Asking the backend for what it has.
    Pulling,
    /// Sending what is pending.
    Pushing,
    /// Everything is confirmed, and everything that the backend had is here.
    Synced,
    /// There is no network, or the backend is not reached.
    Offline {
        /// For how long.
        lasting: Duration,
        /// What was said.
        message: Arc<str>,
    },
    /// Waiting for other credentials.
    NeedsAuth {
        /// What was said.
        message: Arc<str>,
    },
    /// The backend is another one, or lost history.
    BackendIdMismatch {
        /// What was known.
        expected: BackendId,
        /// What was found.
        received: BackendId,
        /// Whether receipts go on waiting (the policy `ignore`).
        ignored: bool,
    },
    /// The backend's log has a gap.
    BackendLogBroken {
        /// The last event before it.
        at: u64,
    },
    /// The store's file is damaged.
    StorageBroken {
        /// What SQLite said.
        message: Arc<str>,
    },
}

impl Node {
    /// What syncing is doing, or why it waits: a part of [`Self::status`].
    #[must_use]
    pub fn sync_state(&self) -> SyncState {
        SyncState::new(&self.leader, &self.config, self.now)
    }

    /// The backend that the history belongs to, once known.
    #[must_use]
    pub fn backend(&self) -> Option<&BackendId> {
        self.leader.backend_id()
    }
}

impl Status {
    pub(crate) fn new(
        leader: &Leader,
        config: &Config,
        (sessions, sessions_closed, sessions_behind): (usize, usize, usize),
        stale_answers: u64,
        leader_ahead: u64,
        now: Time,
    ) -> Self {
        let load = leader.load();
        let tail = leader.tail();
        let (push, pull) = leader.attempts();
        debug_assert!(tail.upstream() <= tail.local_head().global, "the upstream head is not after the local one (L1)");
        debug_assert!(sessions_behind <= sessions, "only open sessions can be behind");
        Self {
            local_head: Seq::new(tail.local_head(), tail.generation),
            upstream_head: Pos::synced(tail.upstream()),
            backend: leader.backend_id().cloned(),
            pending_events: load.pending_events,
            pending_client_only: load.pending_client_only,
            pending_bytes: load.pending_bytes,
            unpersisted_events: load.unpersisted_events,
            drained: leader.drained(),
            stored: tail.is_stored(),
            skipped: 0,
            sessions,
            sessions_closed,
            sessions_behind,
            sync: SyncState::new(leader, config, now),
            push_attempt: push.0,
            push_error: push.1,
            pull_attempt: pull.0,
            pull_error: pull.1,
            next: leader.deadline(config).map(|(at, reason)| (at.since(now), reason)),
            stuck: leader.stuck().map(|stuck| (stuck.commit, stuck.message.clone())),
            storage: leader.storage_trouble().cloned(),
            server_ahead: leader.server_ahead_count(),
            leader_ahead,
            stale_answers,
        }
    }
}

impl SyncState {
    fn new(leader: &Leader, config: &Config, now: Time) -> Self {
        if !config.backend {
            return Self::NoBackend;
        }
        match leader.hindrance() {
            Some(Hindrance::Mismatch { expected, received, ignored }) => Self::BackendIdMismatch { expected, received, ignored },
            Some(Hindrance::NeedsAuth(message)) => Self::NeedsAuth { message },
            Some(Hindrance::Offline { since }) => {
                Self::Offline { lasting: now.since(since), message: "there is no network".into() }
            }
            Some(Hindrance::Unreachable { since, message }) => Self::Offline { lasting: now.since(since), message },
            Some(Hindrance::LogBroken { at }) => Self::BackendLogBroken { at },
            Some(Hindrance::Storage(message)) => Self::StorageBroken { message },
            None if !leader.is_caught_up() => Self::Pulling,
            None if leader.load().pending_events > 0 => Self::Pushing,
            None => Self::Synced,
        }
    }
}
