//! Receipts found again.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::{CommitId, Entry, EventId, Origin, Stage, Standing};

use super::ask::{NoAnswer, ask};
use super::error::LookupError;
use crate::driver::Shared;
use crate::receipt::{Cell, CommitReceipt, Confirmation, LogName, Outcome, Settled};
use crate::storage::Found;

/// The receipt of a commit: from memory if something of it is open, else from the file.
pub(super) fn receipt(shared: &Arc<Shared>, id: CommitId) -> Result<Option<CommitReceipt>, LookupError> {
    let mut accepted = Accepted::new();
    let live = shared.with(|hub, _| {
        if hub.ended {
            return Err(LookupError::Closed);
        }
        if let Some(cell) = hub.receipts.get(id) {
            return Ok(Some((cell, true)));
        }
        let Some(open) = hub.node.find(id) else {
            // Before the file is read: what is said here has its place for good, whatever is written meanwhile.
            accepted.extend(hub.node.accepted(id).map(|(event, at, rebases)| (event, (at, rebases))));
            return Ok(None);
        };
        let leader = (!open.is_open(Stage::Leader)).then(Cell::persisted);
        let cell = Arc::new(Cell::found(id, Arc::downgrade(shared), (leader, None), false));
        if open.backend {
            hub.receipts.insert(&cell);
        }
        Ok(Some((cell, open.backend)))
    })?;
    match live {
        Some((cell, true)) => return Ok(Some(CommitReceipt::new(cell))),
        Some((cell, false)) => {
            // The backend stage has failed before the leader has stored the commit: the file has the reason.
            if let Found::Quarantined(row) | Found::InLog { quarantined: Some(row), .. } = read(shared, id)?.0 {
                cell.settle(Stage::Backend, Err(row.quarantined.error)).wake();
            }
            let (is_open, ended) = shared.with(|hub, _| {
                let open = !hub.ended && hub.node.find(id).is_some_and(|open| open.is_open(Stage::Leader));
                if open {
                    hub.receipts.insert(&cell);
                }
                (open, hub.ended)
            });
            if !is_open {
                match outcomes(&read(shared, id)?.0, &accepted, None) {
                    // It has settled while the file was read.
                    Some((leader, _)) => cell.settle(Stage::Leader, leader).wake(),
                    // Nothing would ever settle it.
                    None if ended => return Err(LookupError::Closed),
                    None => return Ok(None),
                }
            }
            return Ok(Some(CommitReceipt::new(cell)));
        }
        None => {}
    }
    let (found, log) = read(shared, id)?;
    if shared.backend.is_none() && found.stages().is_some_and(|stages| stages.backend.is_none()) {
        return detached(shared, id).map(Some);
    }
    let Some((leader, backend)) = outcomes(&found, &accepted, log) else { return Ok(None) };
    let observed = match &found {
        Found::Quarantined(row) | Found::InLog { quarantined: Some(row), .. } => row.acknowledged,
        _ => false,
    };
    let cell = Cell::found(id, Arc::downgrade(shared), (Some(leader), Some(backend)), observed);
    Ok(Some(CommitReceipt::new(Arc::new(cell))))
}

/// A commit that waits for a backend, in a store that was opened without it: its stage goes on when there is one again.
fn detached(shared: &Arc<Shared>, id: CommitId) -> Result<CommitReceipt, LookupError> {
    let cell = Arc::new(Cell::found(id, Arc::downgrade(shared), (Some(Cell::persisted()), None), false));
    shared.with(|hub, _| {
        if hub.ended {
            return Err(LookupError::Closed);
        }
        // Ended with the store, as every wait.
        hub.receipts.insert(&cell);
        Ok(())
    })?;
    Ok(CommitReceipt::new(cell))
}

impl Found {
    /// How the two stages of the commit stand, by the file alone; `None` if it can't say. A backend stage that has settled a moment ago
    /// may still be open here: the store that syncs knows more.
    #[must_use]
    pub fn stages(&self) -> Option<Stages> {
        let is_open = matches!(self, Self::InLog { accepted: false, local: false, quarantined: None, .. });
        let (leader, backend) = outcomes(self, &Accepted::new(), None)?;
        Some(Stages { leader: Some(leader), backend: (!is_open).then_some(backend) })
    }
}

/// How the two stages of a commit stand: `None` where one is open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stages {
    /// The leader's.
    pub leader: Option<Outcome>,
    /// The backend's.
    pub backend: Option<Outcome>,
}

impl CommitReceipt {
    /// How both stages stand just now.
    #[must_use]
    pub fn peek(&self) -> Stages {
        Stages { leader: self.leader_sync.peek(), backend: self.backend_sync.peek() }
    }
}

/// What the file has of the commit, and in which log that stands.
fn read(shared: &Arc<Shared>, id: CommitId) -> Result<(Found, Option<Arc<LogName>>), LookupError> {
    let found = ask(shared, move |storage| storage.find_with_backend(id)).map_err(|none| match none {
        NoAnswer::Inside => LookupError::Inside,
        NoAnswer::Closed => LookupError::Closed,
    })?;
    let (found, backend) = found.map_err(LookupError::Storage)?;
    let store_id = Arc::clone(&shared.store_id);
    Ok((found, backend.map(|backend| Arc::new(LogName { store_id, backend }))))
}

/// How both stages of a commit settled, by what the file holds; `None` if it has never heard of it.
fn outcomes(found: &Found, accepted: &Accepted, log: Option<Arc<LogName>>) -> Option<(Outcome, Outcome)> {
    let persisted = Cell::persisted();
    match found {
        Found::InLog { local: true, .. } => Some((persisted, Ok(Settled::NotApplicable))),
        Found::InLog { quarantined: Some(row), .. } => Some((persisted, Err(row.quarantined.error.clone()))),
        Found::InLog { entries, quarantined: None, .. } => Some((persisted, Ok(confirmed(entries, accepted, log)))),
        Found::Quarantined(row) => {
            let error = || Err(row.quarantined.error.clone());
            match row.persisted {
                true if row.local => Some((persisted, Ok(Settled::NotApplicable))),
                true => Some((persisted, error())),
                false => Some((error(), error())),
            }
        }
        Found::DecidedWithoutEvents => Some((persisted, Ok(Settled::NotApplicable))),
        Found::Forgotten | Found::Unknown => None,
    }
}

/// Places that the backend has given to events which the file may hold elsewhere, and how often those were rebased.
type Accepted = BTreeMap<EventId, (u64, u32)>;

/// With nothing open in the machine, synced events that the file has as pending are accepted all the same: where the machine says, else
/// where they stand.
fn confirmed(entries: &[Entry], accepted: &Accepted, log: Option<Arc<LogName>>) -> Settled {
    let mut confirmation = Confirmation { positions: smallvec::SmallVec::new(), rebases: 0, log };
    for entry in entries.iter().filter(|entry| !entry.event.client_only && entry.standing != Standing::Local) {
        let stored = match entry.origin {
            Origin::Own { rebases, .. } => (entry.seq.pos.global, rebases),
            Origin::Foreign { .. } => (entry.seq.pos.global, 0),
        };
        let (at, rebases) = entry.own_id().and_then(|id| accepted.get(&id)).copied().unwrap_or(stored);
        confirmation.positions.push(at);
        confirmation.rebases = confirmation.rebases.max(rebases);
    }
    if confirmation.positions.is_empty() { Settled::NotApplicable } else { Settled::Confirmed(confirmation) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use countersign_core::SyncError;
    use serde_json::Value;

    use crate::backend::EmbeddedBackend;
    use crate::{NewEvent, Schema, Settled, Store};

    // Verifies: R1, R2
    #[test]
    fn a_commit_that_the_backend_has_refused_settles_the_same_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let none: [&str; 0] = [];
        let schema = Schema::builder(1).event_sql("v1.Noted", false, none).build().unwrap();
        let backend = EmbeddedBackend::open(dir.path().join("backend.db")).unwrap();
        backend.refuse(|_| true, true, "not here");
        let open =
            || Store::open(dir.path().join("store.db")).schema(schema.clone()).backend(backend.clone()).blocking().unwrap();
        let store = open();
        let receipt = store.commit(NewEvent::new("v1.Noted", Value::Null)).unwrap();
        assert!(matches!(receipt.backend_sync.wait(), Err(SyncError::Rejected { .. })));
        let before = receipt.peek();
        assert_eq!(before.leader, Some(Ok(Settled::Persisted)));
        assert_eq!(store.receipt(receipt.id()).unwrap().unwrap().peek(), before);
        assert!(store.close(Duration::from_secs(10)).persisted);
        assert_eq!(open().receipt(receipt.id()).unwrap().unwrap().peek(), before);
    }

    // Verifies: R7
    #[test]
    fn what_a_closed_session_leaves_open_is_let_go_of_when_it_settles() {
        let dir = tempfile::tempdir().unwrap();
        let none: [&str; 0] = [];
        let schema = Schema::builder(1).event_sql("v1.Noted", false, none).build().unwrap();
        let backend = EmbeddedBackend::open(dir.path().join("backend.db")).unwrap();
        let store = Store::open(dir.path().join("store.db")).schema(schema).backend(backend.clone()).blocking().unwrap();
        let size = || store.session.inner.handle.shared.with(|hub, _| hub.receipts.size());
        backend.switch().off();
        let session = store.session().unwrap();
        let receipts: Vec<_> = (0..3).map(|_| session.commit(NewEvent::new("v1.Noted", Value::Null)).unwrap()).collect();
        receipts.iter().for_each(|receipt| assert_eq!(receipt.leader_sync.wait(), Ok(Settled::Persisted)));
        drop(session);
        assert_eq!(size(), (3, 2), "three receipts, the mark of their session, and that it has closed");
        let mut receipts = receipts.into_iter();
        drop(receipts.next());
        assert_eq!(size(), (2, 2), "nobody holds the first one");
        backend.switch().on();
        for receipt in receipts {
            assert!(matches!(receipt.backend_sync.wait(), Ok(Settled::Confirmed(_))));
        }
        assert_eq!(size(), (0, 0));
    }
}
