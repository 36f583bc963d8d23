//! The thread that reads and commits.

use std::io::BufRead;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use countersign::core::{self, Limit, Status};
use countersign::{CommitError, EncodeError, Store, ToEvents};

use super::input::{Lines, Ordered};
use super::{Patience, Sent};
use crate::failure::{Result, Said, said};
use crate::progress::{Progress, counted};

/// Commits, and tells the thread that waits.
pub(super) struct Feed<'a> {
    store: &'a Store,
    sender: SyncSender<Sent>,
    patience: Patience,
    json: bool,
    committed: u64,
    events: u64,
}

impl<'a> Feed<'a> {
    pub(super) fn new(store: &'a Store, sender: SyncSender<Sent>, patience: Patience, json: bool) -> Self {
        Self { store, sender, patience, json, committed: 0, events: 0 }
    }

    pub(super) fn json(&self) -> bool {
        self.json
    }

    /// One commit.
    pub(super) fn single(&mut self, commit: Ordered) -> Result<()> {
        Ok(self.commit(commit)?)
    }

    /// A commit for each line, up to the first one that can't be taken.
    pub(super) fn lines(&mut self, input: impl BufRead, progress: &mut Progress) -> Result<()> {
        let mut lines = Lines::new(input);
        loop {
            let committed = match lines.next() {
                Ok(None) => return Ok(()),
                Ok(Some(commit)) => self.commit(commit),
                Err(said) => Err(said),
            };
            committed.map_err(|said| said.at_line(lines.number, self.committed))?;
            progress.show(|| format!("{}, {}", counted(self.committed, "commit"), counted(self.events, "event")));
        }
    }

    fn commit(&mut self, Ordered { events, guard }: Ordered) -> std::result::Result<(), Said> {
        let schema = self.store.schema();
        let batch = match guard {
            Some(guard) => events.guarded(guard).to_batch(schema),
            None => events.to_batch(schema),
        };
        let mut batch = batch.map_err(|error: EncodeError| said(&error.into()))?;
        let number = batch.events.len() as u64;
        loop {
            let at = Instant::now();
            let refused = match self.store.try_commit(batch) {
                Ok(receipt) => {
                    self.committed += 1;
                    self.events += number;
                    // Gone only if it has panicked, which is said at its end.
                    let _ = self.sender.send(Sent { receipt, at });
                    return Ok(());
                }
                Err(refused) => refused,
            };
            match &refused.error {
                CommitError::Refused(core::CommitError::Full { limit, .. }) if self.wait_for_room(*limit) => {
                    batch = refused.events;
                }
                error => return Err(said(error)),
            }
        }
    }

    /// Waits until half of what fills the store is done: not for each event anew.
    fn wait_for_room(&self, limit: Limit) -> bool {
        let load = |status: &Status| match limit {
            Limit::UnpersistedEvents | Limit::UnpersistedBytes => status.unpersisted_events,
            Limit::PendingClientOnly => status.pending_client_only,
            _ => status.pending_events,
        };
        let full = load(&self.store.status());
        self.store.wait_until(self.patience.timeout, |status| load(status) <= full / 2).is_ok()
    }
}
