//! Limits and policies. Everything that queues has a limit here, with its reason.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::input::IdentityPolicy;
use crate::mutant::Mutant;

/// How a machine behaves. `Default` suits an application on a desktop or a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Config {
    /// Whether there is a sync backend. Without one nothing is ever pending, and `backend_sync` does not apply.
    pub backend: bool,
    /// Events in one commit. A commit is one transaction, on one undo step; larger ones would stop the session for long.
    pub commit_events: usize,
    /// Bytes in one commit, encoded.
    pub commit_bytes: usize,
    /// Bytes in one event, encoded. LiveStore's servers can't deliver an event of more than 900 000 bytes in a page.
    pub event_bytes: usize,
    /// Events waiting for the backend. Bounds memory, and the work of a rebase.
    pub pending_events: usize,
    /// Bytes waiting for the backend. Bounds memory.
    pub pending_bytes: usize,
    /// For how long a commit may have waited for the backend before no more are taken, counted over restarts; no limit if not set.
    pub pending_age: Option<Duration>,
    /// Client-only events behind unconfirmed synced ones. Bounds memory, and the work of a rebase.
    pub pending_client_only: usize,
    /// Events admitted and not yet persisted. Bounds memory while the disk is slow or full.
    pub unpersisted_events: usize,
    /// Bytes admitted and not yet persisted.
    pub unpersisted_bytes: usize,
    /// Newly admitted events in one storage transaction. Bounds how long a receipt waits for those behind it.
    pub txn_events: usize,
    /// Storage transactions under way at once: 1 or 2.
    pub txns_in_flight: usize,
    /// How long an acknowledgement waits for another transaction to be stored with, before it gets one of its own. Mostly the pull
    /// that brings the events back needs one anyway.
    pub acknowledgement_delay: Duration,
    /// Events in one push. LiveStore's limit.
    pub push_events: usize,
    /// Bytes in one push, encoded. LiveStore's limit.
    pub push_bytes: usize,
    /// Pulled events held in memory while storage is busy; at least as many as are pending.
    pub pulled_events: usize,
    /// Messages that a session may be behind before it is seeded anew.
    pub session_backlog: usize,
    /// The first wait after a failure; doubled each time.
    pub backoff_min: Duration,
    /// The longest wait after a failure.
    pub backoff_max: Duration,
    /// How often the same batch is refused on an unchanged head before it is taken apart.
    pub refusals_before_bisect: u32,
    /// What happens to a commit that the backend refuses without saying for ever, once isolated.
    pub stuck: StuckPolicy,
    /// What happens when the backend is another one.
    pub identity: IdentityPolicy,
    /// When an outage counts as final.
    pub offline: OfflinePolicy,
    /// The bug that is put back.
    #[cfg(feature = "mutants")]
    #[serde(default)]
    pub mutant: Option<Mutant>,
}

/// What happens to an isolated commit that the backend keeps refusing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StuckPolicy {
    /// It stays, and what is behind it waits, until somebody withdraws it.
    #[default]
    Wait,
    /// It is withdrawn after this long; no second one before a push has been accepted since.
    WithdrawAfter(Duration),
}

/// When an outage counts as final for those who wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OfflinePolicy {
    /// After how long; never if not set. Counted from the first failure.
    pub deadline: Option<Duration>,
    /// Whether the events are then taken back into quarantine; else they stay queued.
    pub withdraw: bool,
}

impl Config {
    /// Whether this bug is put back: never, but in the build that shows that it is found.
    pub(crate) fn has(&self, mutant: Mutant) -> bool {
        #[cfg(feature = "mutants")]
        return self.mutant == Some(mutant);
        #[cfg(not(feature = "mutants"))]
        {
            let _ = mutant;
            false
        }
    }

    /// The longest wait after a failure.
    pub(crate) fn backoff_cap(&self) -> Duration {
        if self.has(Mutant::NoBackoffCap) { Duration::MAX } else { self.backoff_max }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backend: true,
            commit_events: 10_000,
            commit_bytes: 16 << 20,
            event_bytes: 890_000,
            pending_events: 1_000_000,
            pending_bytes: 1 << 30,
            pending_age: None,
            pending_client_only: 100_000,
            unpersisted_events: 100_000,
            unpersisted_bytes: 256 << 20,
            txn_events: 2_000,
            txns_in_flight: 1,
            acknowledgement_delay: Duration::from_millis(100),
            push_events: 100,
            push_bytes: 900_000,
            pulled_events: 10_000,
            session_backlog: 1_024,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30),
            refusals_before_bisect: 3,
            stuck: StuckPolicy::default(),
            identity: IdentityPolicy::default(),
            offline: OfflinePolicy::default(),
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }
}
