//! Receipts found again.

use std::sync::{Arc, mpsc};

use countersign_core::{CommitId, Entry, Origin, Stage, Standing};

use super::error::LookupError;
use crate::driver::Shared;
use crate::receipt::{Cell, CommitReceipt, Confirmation, Opened, Outcome, Settled};
use crate::storage::Found;

/// The receipt of a commit: from memory if something of it is open, else from the file.
pub(super) fn receipt(shared: &Arc<Shared>, id: CommitId) -> Result<Option<CommitReceipt>, LookupError> {
    let live = shared.with(|hub, _| {
        if let Some(cell) = hub.receipts.get(id) {
            return Some(cell);
        }
        let open = hub.node.find(id)?;
        let cell = Arc::new(Cell::found(id, Arc::downgrade(shared), settled_leader(open), None));
        // With the backend stage settled, the file has to say how.
        open.backend.then(|| hub.receipts.insert(&cell)).map(|()| cell)
    });
    if let Some(cell) = live {
        return Ok(Some(CommitReceipt::new(cell)));
    }
    let found = read(shared, id)?;
    let Some((leader, backend)) = outcomes(&found) else { return Ok(None) };
    let cell = Cell::found(id, Arc::downgrade(shared), Some(leader), Some(backend));
    Ok(Some(CommitReceipt::new(Arc::new(cell))))
}

impl Found {
    /// How the two stages of the commit stand, by the file alone; `None` if it can't say. A backend stage that has settled by an
    /// acknowledgement alone may still be open here: the store that syncs knows more.
    #[must_use]
    pub fn stages(&self) -> Option<Stages> {
        let open = |entry: &Entry| !entry.event.client_only && entry.standing == Standing::Pending;
        let is_open = matches!(self, Self::InLog { entries, quarantined: None } if entries.iter().any(open));
        let (leader, backend) = outcomes(self)?;
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

fn settled_leader(open: Opened) -> Option<Outcome> {
    (!open.is_open(Stage::Leader)).then(Cell::persisted)
}

/// Asks the storage thread, which sees what is committed and nothing else.
fn read(shared: &Arc<Shared>, id: CommitId) -> Result<Found, LookupError> {
    let (answer, answered) = mpsc::sync_channel(1);
    shared.storage.put(crate::driver::Job::Run(Box::new(move |storage| {
        // Whoever asked may have gone.
        let _ = answer.send(storage.find(id));
    })));
    if shared.storage.is_closed() {
        return Err(LookupError::Closed);
    }
    let found = answered.recv().map_err(|_| LookupError::Closed)?;
    found.map_err(LookupError::Storage)
}

/// How both stages of a commit settled, by what the file holds; `None` if it has never heard of it.
fn outcomes(found: &Found) -> Option<(Outcome, Outcome)> {
    let persisted = Cell::persisted();
    match found {
        Found::InLog { quarantined: Some(row), .. } => Some((persisted, Err(row.quarantined.error.clone()))),
        Found::InLog { entries, quarantined: None } => Some((persisted, Ok(confirmed(entries)))),
        Found::Quarantined(row) => {
            // What a materialiser refused from the start was never persisted; everything else was.
            let error = &row.quarantined.error;
            Some((Err(error.clone()), Err(error.clone())))
        }
        Found::DecidedWithoutEvents => Some((persisted, Ok(Settled::NotApplicable))),
        Found::Forgotten | Found::Unknown => None,
    }
}

/// With nothing open in the machine, synced events that the file has as pending are acknowledged, and don't move any more.
fn confirmed(entries: &[Entry]) -> Settled {
    let synced = |entry: &&Entry| !entry.event.client_only && entry.standing != Standing::Local;
    let positions: smallvec::SmallVec<[u64; 1]> = entries.iter().filter(synced).map(|entry| entry.seq.pos.global).collect();
    if positions.is_empty() {
        return Settled::NotApplicable;
    }
    let rebases = |entry: &Entry| match entry.origin {
        Origin::Own { rebases, .. } => rebases,
        Origin::Foreign { .. } => 0,
    };
    Settled::Confirmed(Confirmation { positions, rebases: entries.iter().map(rebases).max().unwrap_or(0) })
}
