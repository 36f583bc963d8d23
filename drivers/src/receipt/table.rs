//! The open receipts of a store that somebody holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use countersign_core::{CommitId, Resolution, SessionId, Stage, SyncError};

use super::{Cell, Confirmation, LogName, Outcome, Settled, Waiters};

/// Costs nothing for a receipt that nobody holds.
#[derive(Default)]
pub(crate) struct Table {
    cells: BTreeMap<CommitId, Weak<Cell>>,
    /// How far each session's commits are persisted.
    persisted: BTreeMap<SessionId, u64>,
    /// Closed sessions with commits that have not settled.
    closed: BTreeSet<SessionId>,
}

impl Table {
    pub(crate) fn insert(&mut self, cell: &Arc<Cell>) {
        self.cells.insert(cell.id(), Arc::downgrade(cell));
    }

    pub(crate) fn get(&self, id: CommitId) -> Option<Arc<Cell>> {
        self.cells.get(&id)?.upgrade()
    }

    /// Nobody holds the receipt any more, unless it has been found again meanwhile.
    pub(crate) fn forget(&mut self, id: CommitId) {
        if self.cells.get(&id).is_some_and(|cell| cell.strong_count() == 0) {
            self.cells.remove(&id);
        }
    }

    /// Settles what the machine has resolved.
    pub(crate) fn resolve(&mut self, resolution: Resolution, log: Option<&Arc<LogName>>, woken: &mut Waiters) {
        match resolution {
            Resolution::Persisted { session, through } => {
                let from = self.persisted.insert(session, through).map_or(0, |before| before + 1);
                let id = |ordinal| CommitId { session, ordinal };
                let mut done: Vec<CommitId> = Vec::new();
                for (id, cell) in self.cells.range(id(from)..=id(through)) {
                    let cell = cell.upgrade();
                    if let Some(cell) = &cell {
                        woken.add(cell.settle(Stage::Leader, Cell::persisted()));
                    }
                    // Nobody holds it, or nothing of it is open: nobody will ask for it here.
                    if cell.is_none_or(|cell| cell.is_settled()) {
                        done.push(*id);
                    }
                }
                for id in done {
                    self.cells.remove(&id);
                }
            }
            Resolution::Confirmed { session, commits } => {
                for confirmed in commits {
                    let id = CommitId { session, ordinal: confirmed.commit };
                    let (positions, rebases) = (confirmed.positions, confirmed.rebases);
                    let confirmation = Confirmation { positions, rebases, log: log.cloned() };
                    self.settle(id, Stage::Backend, Ok(Settled::Confirmed(confirmation)), woken);
                }
            }
            Resolution::NotApplicable { commit } => self.settle(commit, Stage::Backend, Ok(Settled::NotApplicable), woken),
            Resolution::Failed { commit, stage, error } => self.settle(commit, stage, Err(error), woken),
            // A resolution that this driver does not know concerns no stage that it has.
            _ => {}
        }
    }

    fn settle(&mut self, id: CommitId, stage: Stage, outcome: Outcome, woken: &mut Waiters) {
        let cell = self.get(id);
        if let Some(cell) = &cell {
            woken.add(cell.settle(stage, outcome));
        }
        if cell.is_none_or(|cell| cell.is_settled()) {
            self.cells.remove(&id);
        }
    }

    /// The store is closed: every wait ends.
    pub(crate) fn close(&mut self, error: impl Fn(CommitId) -> SyncError) -> Waiters {
        let mut woken = Waiters::default();
        for (id, cell) in std::mem::take(&mut self.cells) {
            if let Some(cell) = cell.upgrade() {
                woken.add(cell.close(error(id)));
            }
        }
        woken
    }

    /// A session has closed. Its mark goes as soon as all of its commits have settled.
    pub(crate) fn session_closed(&mut self, session: SessionId) {
        self.closed.insert(session);
    }

    /// Lets go of the closed sessions that the machine does not know any more: nothing of them is going to settle.
    pub(crate) fn sweep(&mut self, is_known: impl Fn(SessionId) -> bool) {
        let persisted = &mut self.persisted;
        self.closed.retain(|session| {
            let stays = is_known(*session);
            if !stays {
                persisted.remove(session);
            }
            stays
        });
    }

    /// How many receipts and sessions are held.
    #[cfg(test)]
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.cells.len(), self.persisted.len() + self.closed.len())
    }
}
