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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, OwnEvent};
    use crate::guard::Guard;
    use crate::id::{EventId, SessionId};

    #[test]
    fn a_guard_is_handed_back_with_its_commit() {
        let session = SessionId([1; 16]);
        let guard = Arc::new(Guard { name: "v1.Free".into(), args: "1".into() });
        let own = |ordinal, guard: Option<&Arc<Guard>>| OwnEvent {
            id: EventId { session, ordinal },
            commit: 1,
            last: ordinal == 2,
            guard: guard.cloned(),
            event: Arc::new(Event { name: "v1.Taken".into(), args: "1".into(), client_only: ordinal == 1 }),
        };
        let error = SyncError::Withdrawn { cause: None, certainty: crate::error::Certainty::NotApplied };
        let commit = CommitId { session, ordinal: 1 };
        // With the first synced event, which need not be the first.
        let whole = Quarantined { commit, events: [own(1, None), own(2, Some(&guard))].into(), error };
        assert_eq!(whole.guard(), Some(&guard));
        let rest = Quarantined { events: [own(1, None)].into(), ..whole };
        assert_eq!(rest.guard(), None);
    }
}
