//! How storage fails.

use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why storage could not apply one commit. The machine turns it into a [`SyncError`](super::SyncError) with its certainty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Poison {
    /// A materialiser, its SQL or a constraint refused an event.
    Materialise {
        /// The name of the event that failed.
        event: Arc<str>,
        /// What was said.
        message: Arc<str>,
    },
    /// A guard no longer holds.
    Conflict {
        /// The guard's name.
        guard: Arc<str>,
        /// What was said.
        message: Arc<str>,
    },
}

/// What storage met, if not a commit that can't be applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StorageFailure {
    /// What kind of trouble.
    pub class: StorageClass,
    /// What SQLite said.
    pub message: Arc<str>,
}

/// Kinds of trouble with storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StorageClass {
    /// The disk, or the file's page limit, is full.
    Full,
    /// Reading, writing or syncing failed.
    Io,
    /// Another process holds the file.
    Busy,
    /// Out of memory.
    Memory,
    /// The file is damaged, or no database. Final.
    Corrupt,
    /// Anything else.
    Other,
}
