//! What a failure leaves behind.

use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use super::SyncError;
use crate::id::CommitId;

/// What a failed or withdrawn commit leaves in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Quarantined {
    /// The commit.
    pub commit: CommitId,
    /// Its events that were not confirmed.
    pub events: alloc::vec::Vec<crate::event::OwnEvent>,
    /// How its backend stage failed.
    pub error: SyncError,
}

impl Quarantined {
    /// What had to hold for the commit, if it had a guard and its first synced event is here.
    #[must_use]
    pub fn guard(&self) -> Option<&Arc<crate::guard::Guard>> {
        self.events.iter().find_map(|own| own.guard.as_ref())
    }
}
