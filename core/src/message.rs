//! What a leader tells its sessions. Plain and serialisable: the two may live in one process, or in two.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::effect::Confirmed;
use crate::error::SyncError;
use crate::id::{CommitId, SessionId};
use crate::txn::Txn;

/// From the leader to sessions. Marks and names are taken when they arrive; only the events of [`Down::Stored`] may wait.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Down {
    /// To all: this is on disk. What was not yet stored is not told.
    Stored(Arc<Txn>),
    /// To one: up to this commit everything that has not failed is stored.
    Persisted { session: SessionId, through: u64 },
    /// To one: the backend has accepted these commits, in this order.
    Confirmed { session: SessionId, commits: Vec<Confirmed> },
    /// To one: a commit has failed. Comes before the message that moves the mark past it.
    Failed { commit: CommitId, error: SyncError },
    /// To all: the whole history is gone; a new seed is needed.
    Wiped,
}
