//! Why a commit is not admitted.

use alloc::sync::Arc;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a commit was not admitted. Nothing has happened anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A limit of [`crate::Config`] is reached.
    #[error("{limit} are waiting, the limit is {max}: {}", .limit.advice())]
    Full {
        /// Which limit.
        limit: Limit,
        /// Its value.
        max: u64,
    },
    /// What waits for the backend has waited for too long, by [`crate::Config::pending_age`].
    #[error(
        "the oldest commit for the backend has waited for {} s, the limit is {} s: find out why (the status says it), or raise the limit; \
         nothing is lost, the commit was not taken",
        .waited.as_secs(), .max.as_secs()
    )]
    PendingTooLong {
        /// For how long.
        waited: Duration,
        /// The limit.
        max: Duration,
    },
    /// One event is larger than a backend takes.
    #[error(
        "event {index} ({name}) takes {bytes} bytes encoded, the limit is {max}: split it, or keep the large part elsewhere and refer to it"
    )]
    EventTooLarge {
        /// Its place in the commit, from 0.
        index: usize,
        /// Its name.
        name: Arc<str>,
        /// Its size, in bytes, encoded.
        bytes: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The commit is larger than one transaction.
    #[error(
        "the commit has {events} events and {bytes} bytes, the limits are {max_events} and {max_bytes}: split it into several commits"
    )]
    CommitTooLarge {
        /// Its events.
        events: usize,
        /// Its size, in bytes, encoded.
        bytes: usize,
        /// The limit, in events.
        max_events: usize,
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// The log has reached the last number that a JavaScript peer reads back exactly.
    #[error("the log is full: sequence numbers end at e{}", crate::seq::GLOBAL_MAX)]
    OutOfNumbers,
    /// The session is not open.
    #[error("the session is closed: open a new one")]
    SessionClosed,
    /// The session has not been seeded yet, or is being seeded anew.
    #[error("the session is being seeded: try again when it is ready")]
    SessionNotReady,
    /// The session already has a commit between prepare and finish.
    #[error("another commit of the session is being applied: finish it first")]
    SessionBusy,
    /// The store is shutting down.
    #[error("the store is closing: no more commits are taken")]
    Closing,
    /// The file can't be written any more.
    #[error("the store's file is damaged and takes no more commits: {message}")]
    StorageBroken {
        /// What SQLite said.
        message: Arc<str>,
    },
}

/// A limit that a commit can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Limit {
    /// Events waiting for the backend.
    PendingEvents,
    /// Bytes waiting for the backend.
    PendingBytes,
    /// Events waiting for the disk.
    UnpersistedEvents,
    /// Bytes waiting for the disk.
    UnpersistedBytes,
    /// Client-only events behind unconfirmed ones.
    PendingClientOnly,
}

impl Limit {
    fn advice(self) -> &'static str {
        match self {
            Self::PendingEvents | Self::PendingBytes => {
                "wait for the backend to confirm some, or raise the limit; nothing is lost, the commit was not taken"
            }
            Self::UnpersistedEvents | Self::UnpersistedBytes => {
                "wait for the disk (leader_sync of an earlier commit); nothing is lost, the commit was not taken"
            }
            Self::PendingClientOnly => {
                "wait for the backend to confirm the synced events before them; nothing is lost, the commit was not taken"
            }
        }
    }
}

impl core::fmt::Display for Limit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::PendingEvents => "events for the backend",
            Self::PendingBytes => "bytes for the backend",
            Self::UnpersistedEvents => "events for the disk",
            Self::UnpersistedBytes => "bytes for the disk",
            Self::PendingClientOnly => "client-only events behind unconfirmed ones",
        })
    }
}
