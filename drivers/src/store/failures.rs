//! What has failed: in quarantine, with payload, cause and certainty, until somebody has decided what becomes of it.

use countersign_core::{Batch, Certainty, CommitId, Guard, StorageFailure, Whereabouts};

use super::ask::{NoAnswer, ask};
use super::{CommitError, Store, inside};
use crate::receipt::CommitReceipt;
use crate::state::ToEvents as _;
use crate::storage::{Found, QuarantineRow};
use crate::sync::{MutexGuard, lock};

/// Whether events may end up in the global order twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    /// They may not: what the backend may have all the same is not tried again.
    NoDuplicate,
    /// They may, and that is known to do no harm.
    MayDuplicate,
}

/// Why nothing could be done about a failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FailureError {
    /// There is no such commit among the failures.
    #[error("commit {id} is not among the failures of this store: check the id, `failures` lists them")]
    Unknown {
        /// The commit.
        id: CommitId,
    },
    /// Its receipt has failed, and its events are still in the queue.
    #[error("the events of commit {id} are still queued and will be pushed: to have them back first, withdraw the commit")]
    Queued {
        /// The commit.
        id: CommitId,
    },
    /// All of its events were found confirmed after all.
    #[error("the events of commit {id} turned out to be in the backend's log: there is nothing left to do")]
    Confirmed {
        /// The commit.
        id: CommitId,
    },
    /// Its events were let go of.
    #[error("the events of commit {id} were discarded")]
    Discarded {
        /// The commit.
        id: CommitId,
    },
    /// Its events were committed again already.
    #[error("the events of commit {id} were committed again already, as {again}")]
    Retried {
        /// The commit.
        id: CommitId,
        /// The commit that they are now.
        again: CommitId,
    },
    /// The backend may have its events all the same.
    #[error(
        "the backend may hold the events of commit {id} all the same, so to commit them again may duplicate them: say that this is known \
         ([`Risk::MayDuplicate`]), or wait until a pull has told"
    )]
    MayDuplicate {
        /// The commit.
        id: CommitId,
    },
    /// The events were not taken.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The file can't be read or written.
    #[error("{}", .0.message)]
    Storage(StorageFailure),
    /// Inside a query or a materialiser it would wait for itself.
    #[error("inside a query or a materialiser this would wait for itself: do it after it")]
    Inside,
    /// The store is closed.
    #[error("the store is closed: open it again")]
    Closed,
}

impl From<NoAnswer> for FailureError {
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::Inside => Self::Inside,
            NoAnswer::Closed => Self::Closed,
        }
    }
}

impl Store {
    /// The quarantine: failed commits whose events are nowhere else, oldest first, with cause and certainty. Those that were retried or
    /// discarded, or turned out to be confirmed, are not listed.
    ///
    /// # Errors
    ///
    /// If the file can't be read.
    pub fn failures(&self) -> Result<Vec<QuarantineRow>, FailureError> {
        let mut rows = self.rows()?;
        rows.retain(|row| !row.is_dealt_with() && !row.quarantined.events.is_empty());
        Ok(rows)
    }

    /// Failed commits of which nobody was told: no waiter has seen the error, in this opening or an earlier one, and nobody has
    /// acknowledged it. Oldest first. They are handed out again by every call, and after every restart, until they are acknowledged.
    /// Those whose events are still queued are among them.
    ///
    /// An error counts as seen when a wait, `peek`, `status` or `updates` has handed it out; that is noted in the background, so after a
    /// crash a failure may be handed out although it was seen, and never the other way round.
    ///
    /// # Errors
    ///
    /// If the file can't be read.
    pub fn unobserved_failures(&self) -> Result<Vec<QuarantineRow>, FailureError> {
        let mut rows = self.rows()?;
        rows.retain(|row| !row.is_dealt_with() && !row.acknowledged);
        Ok(rows)
    }

    /// Notes that the failure has been seen: it is not handed out as unobserved any more. It stays in quarantine.
    ///
    /// # Errors
    ///
    /// If there is no such failure, or the file can't be written: then nothing was noted.
    pub fn acknowledge(&self, id: CommitId) -> Result<(), FailureError> {
        let noted = ask(self.shared(), move |storage| storage.acknowledge(id))?;
        if noted.map_err(FailureError::Storage)? { Ok(()) } else { Err(FailureError::Unknown { id }) }
    }

    /// Commits the events of a failed commit again, in this session, as a new commit with a receipt of its own; the failure is listed no
    /// more. Of a commit that was confirmed in part, the rest. Under the same guard, if it had one: see also [`Store::retry_unguarded`].
    ///
    /// That it was retried is on disk before the new commit can be, and counts only if that is: whatever happens in between, the events are
    /// neither lost nor retried twice. Blocks until that is noted.
    ///
    /// # Errors
    ///
    /// Nothing has happened then. [`FailureError::MayDuplicate`] if the backend may hold the events and the risk was not taken;
    /// [`FailureError::Commit`] if they are not taken, such as by a materialiser that still refuses them.
    pub fn retry(&self, id: CommitId, risk: Risk) -> Result<CommitReceipt, FailureError> {
        self.commit_again(id, risk, |guard| guard)
    }

    /// As [`Store::retry`], and without the commit's guard: for a commit that is wanted although its guard no longer holds.
    ///
    /// # Errors
    ///
    /// As [`Store::retry`].
    pub fn retry_unguarded(&self, id: CommitId, risk: Risk) -> Result<CommitReceipt, FailureError> {
        self.commit_again(id, risk, |_| None)
    }

    fn commit_again(
        &self,
        id: CommitId,
        risk: Risk,
        guard: impl FnOnce(Option<Guard>) -> Option<Guard>,
    ) -> Result<CommitReceipt, FailureError> {
        let _deciding = self.decide()?;
        let row = self.row(id)?;
        let batch = self.retriable(&row, risk)?;
        let batch = Batch { guard: guard(batch.guard), ..batch };
        let batch = batch.to_batch(self.schema()).map_err(CommitError::from)?;
        self.session.commit_after(batch, |again| {
            ask(self.shared(), move |storage| storage.set_retried(id, again))?.map_err(FailureError::Storage)
        })
    }

    /// Lets go of the events of a failed commit. Its receipt stays as it settled. What the backend may turn out to hold is kept out of
    /// sight for as long as that may be, to be recognised by.
    ///
    /// # Errors
    ///
    /// If there is nothing to let go of, or the file can't be written: then nothing has happened.
    pub fn discard(&self, id: CommitId) -> Result<(), FailureError> {
        let _deciding = self.decide()?;
        let row = self.row(id)?;
        self.retriable(&row, Risk::MayDuplicate)?;
        let certainty = row.quarantined.error.certainty();
        ask(self.shared(), move |storage| storage.discard(id, certainty))?.map_err(FailureError::Storage)
    }

    /// Nobody else decides on a failure until this is dropped. Inside a query the one who decides may be waiting for that query.
    fn decide(&self) -> Result<MutexGuard<'_, ()>, FailureError> {
        if !inside::may_wait_for_threads() {
            return Err(FailureError::Inside);
        }
        Ok(lock(&self.session.inner.handle.deciding))
    }

    fn rows(&self) -> Result<Vec<QuarantineRow>, FailureError> {
        let mut rows = ask(self.shared(), |storage| storage.quarantine())?.map_err(FailureError::Storage)?;
        for row in &mut rows {
            self.look_at_retry(row);
        }
        Ok(rows)
    }

    fn row(&self, id: CommitId) -> Result<QuarantineRow, FailureError> {
        let found = ask(self.shared(), move |storage| storage.find_with_backend(id))?;
        let (found, _) = found.map_err(FailureError::Storage)?;
        let (mut row, accepted) = match found {
            Found::Quarantined(row) => (row, false),
            Found::InLog { quarantined: Some(row), accepted, .. } => (row, accepted),
            _ => return Err(FailureError::Unknown { id }),
        };
        self.look_at_retry(&mut row);
        if accepted && row.quarantined.events.is_empty() && !row.is_dealt_with() {
            // Its receipt has failed while it was queued, and it was pushed after that.
            return Err(FailureError::Confirmed { id });
        }
        Ok(row)
    }

    /// A retry that is not stored yet has happened all the same.
    fn look_at_retry(&self, row: &mut QuarantineRow) {
        if let (None, Some(again)) = (row.retried, row.noted) {
            row.retried = self.shared().with_node(|node, _| node.find(again)).map(|_| again);
        }
    }

    fn retriable(&self, row: &QuarantineRow, risk: Risk) -> Result<Batch, FailureError> {
        let id = row.quarantined.commit;
        if row.discarded {
            return Err(FailureError::Discarded { id });
        }
        if let Some(again) = row.retried {
            return Err(FailureError::Retried { id, again });
        }
        if row.quarantined.events.is_empty() {
            let queued = row.quarantined.error.events() == Whereabouts::Queued;
            return Err(if queued { FailureError::Queued { id } } else { FailureError::Confirmed { id } });
        }
        if row.quarantined.error.certainty() == Certainty::Unknown && risk == Risk::NoDuplicate {
            return Err(FailureError::MayDuplicate { id });
        }
        let events = row.quarantined.events.iter().map(|own| (*own.event).clone()).collect();
        Ok(Batch { events, guard: row.quarantined.guard().map(|guard| (**guard).clone()) })
    }
}
