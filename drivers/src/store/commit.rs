//! The commit path: prepare, apply, finish, all under the session's lock.

use std::fmt;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use countersign_core::{Event, Prepared};

use super::error::{CommitError, SessionError};
use super::{Session, inside};
use crate::receipt::{Cell, CommitReceipt};
use crate::session::SessionDb;
use crate::state::IntoEvents;

/// How long a commit waits for a session that is being seeded, before it says so.
const SEEDING_MAX: Duration = Duration::from_secs(10);

/// A commit that was not taken, and its events.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Why.
    pub error: CommitError,
    /// The events, encoded, ready to be committed again. Empty if they could not be encoded.
    pub events: Vec<Event>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Refused {
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
    pub fn commit(&self, events: impl IntoEvents) -> Result<CommitReceipt, CommitError> {
        let events = events.into_events(&self.inner.handle.shared.schema)?;
        self.commit_encoded(events)
    }

    /// As [`super::Store::try_commit`], in this session.
    ///
    /// # Errors
    ///
    /// As [`super::Store::try_commit`].
    pub fn try_commit(&self, events: impl IntoEvents) -> Result<CommitReceipt, Refused> {
        let refused = |error, events| Refused { error, events };
        let events = events
            .into_events(&self.inner.handle.shared.schema)
            .map_err(|error| refused(CommitError::Encode(error), Vec::new()))?;
        self.commit_encoded(events.clone()).map_err(|error| refused(error, events))
    }

    fn commit_encoded(&self, events: Vec<Event>) -> Result<CommitReceipt, CommitError> {
        if inside::is_inside() {
            return Err(CommitError::Inside);
        }
        let (cell, shared) = (&self.inner.cell, &self.inner.handle.shared);
        let db = cell.acquire(shared);
        let (mut db, prepared) = match self.prepare(db, events) {
            Ok(prepared) => prepared,
            Err((db, error)) => {
                cell.release(shared, db);
                return Err(error);
            }
        };
        let applied = match &mut *db {
            Some(db) => {
                let _inside = inside::enter();
                db.commit(prepared.events.iter().map(|own| &*own.event)).map_err(CommitError::from)
            }
            None => Err(CommitError::Refused(countersign_core::CommitError::SessionNotReady)),
        };
        let receipt = Arc::new(Cell::open(prepared.id, Arc::downgrade(shared)));
        shared.with(|hub, now| {
            if applied.is_ok() {
                // Before anything can settle it.
                hub.receipts.insert(&receipt);
            }
            hub.node.finish(now, cell.id(), applied.is_ok())
        });
        if applied.is_ok() {
            cell.changed();
        }
        cell.release(shared, db);
        applied.map(|()| CommitReceipt::new(receipt))
    }

    /// Numbers the commit. What the machine has ordered for this session since it was last looked at is done first.
    #[expect(clippy::type_complexity, reason = "the lock goes in and comes out, whatever happens")]
    fn prepare<'a>(
        &'a self,
        mut db: MutexGuard<'a, Option<SessionDb>>,
        events: Vec<Event>,
    ) -> Result<(MutexGuard<'a, Option<SessionDb>>, Prepared), (MutexGuard<'a, Option<SessionDb>>, CommitError)> {
        use countersign_core::CommitError as Core;
        let (cell, shared) = (&self.inner.cell, &self.inner.handle.shared);
        let deadline = Instant::now() + SEEDING_MAX;
        loop {
            let events = events.clone();
            match shared.with(|hub, now| hub.node.prepare(now, cell.id(), events)) {
                Ok(prepared) => return Ok((db, prepared)),
                // The machine has ordered something between the last look and now; after that it holds still.
                Err(Core::SessionBusy) if Instant::now() < deadline => db = cell.run_due(shared, db),
                Err(error @ Core::SessionNotReady) => {
                    let swaps = cell.swaps();
                    cell.release(shared, db);
                    let waited = cell.wait_for_due(swaps, deadline);
                    db = cell.acquire(shared);
                    if let Err(failure) = waited {
                        return Err((db, failure.map_or(CommitError::Refused(error), CommitError::Session)));
                    }
                }
                Err(error) => return Err((db, CommitError::Refused(error))),
            }
        }
    }

    pub(super) fn wait_until_ready(&self) -> Result<(), SessionError> {
        let (cell, shared) = (&self.inner.cell, &self.inner.handle.shared);
        let deadline = Instant::now() + SEEDING_MAX;
        loop {
            let db = cell.acquire(shared);
            let (ready, swaps) = (db.is_some(), cell.swaps());
            cell.release(shared, db);
            if ready {
                return Ok(());
            }
            cell.wait_for_due(swaps, deadline)
                .map_err(|failure| failure.map_or(SessionError::NotReady, SessionError::Storage))?;
        }
    }
}
