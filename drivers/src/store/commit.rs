//! The commit path: prepare, apply, finish, all under the session's lock.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_core::{Batch, CommitId, Prepared, SessionTxn};

use super::error::{CommitError, SessionError};
use super::{Session, inside};
use crate::driver::Held;
use crate::receipt::{Cell, CommitReceipt};
use crate::state::ToEvents;

/// How long a commit waits for a session that is being seeded, before it says so; less if that keeps failing.
const SEEDING_MAX: Duration = Duration::from_secs(10);

/// A commit that was not taken, and its events.
#[derive(Clone)]
pub struct Refused<E> {
    /// Why.
    pub error: CommitError,
    /// What was to be committed, guard included, as it was given.
    pub events: E,
}

impl<E> fmt::Debug for Refused<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<E> fmt::Display for Refused<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<E> std::error::Error for Refused<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl Session {
    /// As [`super::Store::commit`], in this session.
    ///
    /// # Errors
    ///
    /// As [`super::Store::commit`].
    pub fn commit(&self, events: impl ToEvents) -> Result<CommitReceipt, CommitError> {
        self.commit_given(&events)
    }

    /// As [`super::Store::try_commit`], in this session.
    ///
    /// # Errors
    ///
    /// As [`super::Store::try_commit`].
    pub fn try_commit<E: ToEvents>(&self, events: E) -> Result<CommitReceipt, Refused<E>> {
        self.commit_given(&events).map_err(|error| Refused { error, events })
    }

    fn commit_given(&self, events: &impl ToEvents) -> Result<CommitReceipt, CommitError> {
        let batch = events.to_batch(&self.inner.handle.shared.schema)?;
        self.commit_after(batch, |_| Ok(()))
    }

    /// Commits once something that has to be there before is done, which is told the commit's identity. If that fails, nothing has happened.
    pub(super) fn commit_after<E: From<CommitError>>(
        &self,
        batch: Batch,
        before: impl FnOnce(CommitId) -> Result<(), E>,
    ) -> Result<CommitReceipt, E> {
        if inside::is_inside() {
            return Err(CommitError::Inside.into());
        }
        let (cell, shared) = (&self.inner.cell, &self.inner.handle.shared);
        let mut held = cell.acquire(shared);
        let prepared = self.prepare(&mut held, batch)?;
        let applied = match held.db() {
            Some(db) => {
                let _inside = inside::enter();
                db.commit(prepared.guard.as_deref(), prepared.events.iter().map(|own| &*own.event)).map_err(CommitError::from)
            }
            None => Err(CommitError::Refused(countersign_core::CommitError::SessionNotReady)),
        };
        let mut applied = applied.map_err(E::from);
        if applied.is_ok()
            && let Err(error) = before(prepared.id)
        {
            // The session is held: nobody has seen it.
            if let Some(db) = held.db() {
                db.run(&SessionTxn { undo: prepared.events.len(), ..SessionTxn::default() });
            }
            applied = Err(error);
        }
        let receipt = Arc::new(Cell::open(prepared.id, Arc::downgrade(shared)));
        let (taken, closing) = shared.with(|hub, now| {
            let taken = applied.is_ok() && !hub.ended;
            if taken {
                // Before anything can settle it.
                hub.receipts.insert(&receipt);
            }
            hub.node.finish(now, cell.id(), taken);
            (taken, hub.closing)
        });
        if closing {
            // Whoever closes the store has waited for this commit.
            shared.signal_rest(|_| ());
        }
        applied?;
        let Some(db) = held.db() else { return Ok(CommitReceipt::new(receipt)) };
        if !taken {
            // The store was closed while the commit was being applied, and nobody waits for it any more: nothing has happened.
            db.run(&SessionTxn { undo: prepared.events.len(), ..SessionTxn::default() });
            return Err(CommitError::Refused(countersign_core::CommitError::Closing).into());
        }
        cell.changed(db);
        Ok(CommitReceipt::new(receipt))
    }

    /// Numbers the commit. What the machine has ordered for this session since it was last looked at is done first.
    fn prepare<'a>(&'a self, held: &mut Held<'a>, batch: Batch) -> Result<Prepared, CommitError> {
        use countersign_core::CommitError as Core;
        let (cell, shared) = (&self.inner.cell, &self.inner.handle.shared);
        let deadline = Instant::now() + SEEDING_MAX;
        loop {
            let batch = batch.clone();
            match shared.with(|hub, now| hub.node.prepare(now, cell.id(), batch)) {
                Ok(prepared) => return Ok(prepared),
                // The machine has ordered something between the last look and now; after that it holds still.
                Err(Core::SessionBusy) if Instant::now() < deadline => held.run_due(),
                Err(error @ Core::SessionNotReady) => {
                    let waited = held.wait_for_due(deadline);
                    if let Err(failure) = waited {
                        return Err(failure.map_or(CommitError::Refused(error), CommitError::Session));
                    }
                }
                Err(error) => {
                    if error == Core::SessionBusy {
                        // Nobody waits for the session any more: it need not be kept free.
                        shared.with(|hub, now| hub.node.finish(now, cell.id(), false));
                    }
                    return Err(CommitError::Refused(error));
                }
            }
        }
    }

    pub(super) fn wait_until_ready(&self) -> Result<(), SessionError> {
        let deadline = Instant::now() + SEEDING_MAX;
        let mut held = self.inner.cell.acquire(&self.inner.handle.shared);
        while held.db().is_none() {
            let waited = held.wait_for_due(deadline);
            if self.inner.cell.is_closed() {
                return Err(SessionError::Closed);
            }
            waited.map_err(|failure| failure.map_or(SessionError::NotReady, SessionError::Storage))?;
        }
        Ok(())
    }
}
