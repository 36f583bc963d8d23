//! A session's database: in memory, ahead of the leader's file by what is pending.
//!
//! A commit is in it before the commit returns, or nothing of it is. A rebase is one transaction. Whatever fails beyond a single commit
//! makes the database useless, and it says so from then on: the machine seeds another.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use countersign_core::{Event, Guard as CommitGuard, Poison, SessionApplied, SessionTxn, StorageClass, StorageFailure, Unit};
use rusqlite::Connection;

use crate::state::{ApplyError, Guard, Schema, SchemaError, Tables, Unmet, panic_message, trouble};

/// A session's in-memory database, and the stack of what can be undone in it.
pub(crate) struct SessionDb {
    conn: Connection,
    guard: Guard,
    tables: Tables,
    /// The marks of the units that can be undone, oldest first.
    stack: VecDeque<i64>,
    next_mark: i64,
    /// Grows with every transaction.
    revision: u64,
    /// For each table, the last revision that changed it.
    changed: Vec<u64>,
    broken: Option<StorageFailure>,
}

/// Why a commit was not taken. Nothing of it is in the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommitFailure {
    /// An event can't be materialised.
    #[error("event {index} (`{event}`) can't be materialised: {message}")]
    Materialise {
        /// Its place in the commit, from 0.
        index: usize,
        /// Its name.
        event: Arc<str>,
        /// What was said.
        message: Arc<str>,
    },
    /// Its guard does not hold, or can't be asked.
    #[error("guard {guard}: {unmet:?}")]
    Guard {
        /// The guard's name.
        guard: Arc<str>,
        /// Why; not for trouble with the database.
        unmet: Unmet,
    },
    /// The database can't take it.
    #[error("the session's database is in trouble: {}", .0.message)]
    Trouble(StorageFailure),
}

/// Why a query has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// It tried to do more than read.
    #[error("queries only read, this one wanted to {action}: commit an event instead")]
    ReadOnly {
        /// What was tried.
        action: String,
    },
    /// A query inside a query or a materialiser would wait for itself.
    #[error("a query inside a query or a materialiser would wait for itself: use the connection that you were given")]
    Inside,
    /// The session has no database yet.
    #[error("the session's database is not ready: try again")]
    NotReady,
    /// SQLite refused it.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

// Marked, so that a query that has them prepared does not meet ours, which may more.
const BEGIN: &str = "BEGIN /* session */";
const COMMIT: &str = "COMMIT /* session */";
const ROLLBACK: &str = "ROLLBACK /* session */";
const SAVEPOINT: &str = "SAVEPOINT countersign_unit";
const ROLLBACK_TO: &str = "ROLLBACK TO countersign_unit";
const RELEASE: &str = "RELEASE countersign_unit";

/// Bytes of a page. A transaction keeps what its pages were before, and a commit touches few bytes of each: with SQLite's usual 4096, a
/// third of a small commit's work would be copying.
const PAGE_SIZE: u32 = 1_024;

/// How a unit, or a commit, ended inside a transaction that goes on.
enum Judged {
    Applied,
    LeftOut,
}

impl SessionDb {
    /// An empty one.
    pub(crate) fn new(schema: &Schema) -> Result<Self, SchemaError> {
        let sqlite = |error| SchemaError::Trouble(trouble(&error));
        let mut conn = Connection::open_in_memory().map_err(sqlite)?;
        conn.pragma_update(None, "page_size", PAGE_SIZE).map_err(sqlite)?;
        let guard = Guard::install(&mut conn).map_err(sqlite)?;
        let tables = Tables::create(&conn, schema, &guard)?;
        let changed = vec![0; tables.names().count()];
        Ok(Self { conn, guard, tables, stack: VecDeque::new(), next_mark: 1, revision: 0, changed, broken: None })
    }

    /// One with the state of an open read transaction on a database of the same schema, and one unit for each of these marks under
    /// which its undo rows are recorded, oldest first. A negative mark is for a unit without undo rows: to undo it fails.
    pub(crate) fn seeded(schema: &Schema, from: &Connection, marks: impl IntoIterator<Item = i64>) -> Result<Self, SchemaError> {
        let mut db = Self::new(schema)?;
        db.tables.copy(from, &db.conn).map_err(SchemaError::Trouble)?;
        db.stack = marks.into_iter().collect();
        debug_assert!(db.stack.iter().is_sorted_by(|a, b| a < b), "marks only grow");
        db.next_mark = db.stack.back().map_or(1, |mark| mark + 1);
        db.note_changes(true);
        Ok(db)
    }

    /// Carries out a transaction of the machine, all or nothing.
    ///
    /// Own commits and others' events that can't be applied are left out; any other failure, a panic included, makes the database useless.
    pub(crate) fn run(&mut self, txn: &SessionTxn) -> SessionApplied {
        if let Some(broken) = &self.broken {
            return SessionApplied::Failed { message: Arc::clone(&broken.message) };
        }
        let result = catch_unwind(AssertUnwindSafe(|| self.transaction(|db| db.carry_out(txn))));
        let failure = match result {
            Ok(Ok(())) => return SessionApplied::Done,
            Ok(Err(failure)) => failure,
            Err(panic) => {
                // Nobody is to read what is half done; if even this fails, nothing more can be done about it.
                let _ = self.conn.execute_batch(ROLLBACK);
                other(panic_message(&*panic).to_owned())
            }
        };
        let message = Arc::clone(&failure.message);
        self.broken = Some(failure);
        SessionApplied::Failed { message }
    }

    /// Applies a commit, all or nothing: one unit for each event. Its guard is asked first.
    ///
    /// # Errors
    /// If its guard does not hold, or an event can't be materialised; the database is then as before. If it is in trouble it takes no more commits.
    pub(crate) fn commit<'e>(
        &mut self,
        guard: Option<&CommitGuard>,
        events: impl IntoIterator<Item = &'e Event>,
    ) -> Result<(), CommitFailure> {
        if let Some(broken) = &self.broken {
            return Err(CommitFailure::Trouble(broken.clone()));
        }
        let units = self.stack.len();
        let mut events = events.into_iter();
        let first = events.next();
        let committed = match (first, events.size_hint()) {
            (Some(event), (0, Some(0))) if guard.is_none() && self.tables.is_whole(event) => self.apply_alone(event),
            _ => self.transaction(|db| db.apply_guarded(guard, first.into_iter().chain(events))),
        };
        if committed.is_err() {
            self.stack.truncate(units);
        }
        if let Err(CommitFailure::Trouble(failure)) = &committed {
            // A full memory is no reason to give up what is there, as long as the transaction could be rolled back.
            if !self.conn.is_autocommit() || failure.class != StorageClass::Memory {
                self.broken = Some(failure.clone());
            }
        }
        committed
    }

    /// A commit of one event that is a transaction by itself.
    fn apply_alone(&mut self, event: &Event) -> Result<(), CommitFailure> {
        let mark = self.push();
        let applied = self.tables.apply(&self.conn, event, Some(mark)).map_err(|error| refused(error, 0));
        self.note_changes(applied.is_ok());
        applied
    }

    fn apply_guarded<'e>(
        &mut self,
        guard: Option<&CommitGuard>,
        events: impl Iterator<Item = &'e Event>,
    ) -> Result<(), CommitFailure> {
        if let Some(guard) = guard {
            self.tables.check_guard(&self.conn, guard).map_err(|unmet| match unmet {
                Unmet::Trouble(failure) => CommitFailure::Trouble(failure),
                unmet => CommitFailure::Guard { guard: Arc::clone(&guard.name), unmet },
            })?;
        }
        let mut last = None;
        for (index, event) in events.enumerate() {
            let mark = self.push();
            match self.tables.apply(&self.conn, event, Some(mark)) {
                Ok(()) | Err(ApplyError::UnknownEvent) => {}
                Err(error) => return Err(refused(error, index)),
            }
            last = Some((index, event));
        }
        let Some((index, event)) = last else { return Ok(()) };
        self.tables.check_deferred(&self.conn, &event.name).map_err(|error| refused(error, index))
    }

    /// Reads. Whatever would do more is denied by SQLite's authorizer.
    pub(crate) fn query<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, QueryError> {
        let entered = self.guard.enter_query();
        let result = read(&self.conn);
        drop(entered);
        match (result, self.guard.take_denied()) {
            (Err(_), Some(action)) => Err(QueryError::ReadOnly { action }),
            (result, _) => Ok(result?),
        }
    }

    /// Grows whenever something may have changed.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The tables that may have changed after this revision: all for which there is doubt.
    pub(crate) fn changed_since(&self, revision: u64) -> impl Iterator<Item = &str> {
        self.tables.names().zip(&self.changed).filter(move |(_, changed)| **changed > revision).map(|(name, _)| name)
    }

    /// The tables of the state.
    pub(crate) fn table_names(&self) -> impl Iterator<Item = &str> {
        self.tables.names()
    }

    /// How many units can be undone.
    #[cfg(test)]
    pub(crate) fn units(&self) -> usize {
        self.stack.len()
    }

    /// All state, for checks.
    pub(crate) fn dump(&self) -> Result<String, StorageFailure> {
        self.tables.dump(&self.conn)
    }

    fn carry_out(&mut self, txn: &SessionTxn) -> Result<(), StorageFailure> {
        let (undo, forget) = (txn.undo, txn.forget);
        let kept = self
            .stack
            .len()
            .checked_sub(undo)
            .filter(|kept| *kept >= forget)
            .ok_or_else(|| other(format!("asked to undo {undo} units and to forget {forget} of {}", self.stack.len())))?;
        if let Some(&first) = self.stack.get(kept) {
            if first < 0 {
                return Err(other("asked to undo what came with nothing to undo it by".to_owned()));
            }
            self.tables.undo_after(&self.conn, first - 1)?;
            self.stack.truncate(kept);
        }
        if let Some(last) = forget.checked_sub(1).and_then(|last| self.stack.get(last)) {
            self.tables.forget_through(&self.conn, *last)?;
            self.stack.drain(..forget);
        }
        for units in txn.apply.chunk_by(|a, b| a.commit.is_some() && a.commit == b.commit) {
            self.apply_together(units)?;
        }
        Ok(())
    }

    /// Applies the events of one commit, or one event of somebody else, or leaves them out.
    fn apply_together(&mut self, units: &[Unit]) -> Result<(), StorageFailure> {
        let sqlite = |error| trouble(&error);
        let statement = |conn: &Connection, sql: &str| conn.prepare_cached(sql)?.execute([]).map(drop);
        statement(&self.conn, SAVEPOINT).map_err(sqlite)?;
        if let Judged::LeftOut = self.try_units(units)? {
            statement(&self.conn, ROLLBACK_TO).map_err(sqlite)?;
        }
        statement(&self.conn, RELEASE).map_err(sqlite)
    }

    /// The units go on the stack even if their writes are left out: the machine counts them.
    fn try_units(&mut self, units: &[Unit]) -> Result<Judged, StorageFailure> {
        let mut judged = Judged::Applied;
        if let Some(guard) = units.iter().find_map(|unit| unit.guard.as_deref()) {
            match self.tables.check_guard(&self.conn, guard).map_err(|unmet| unmet.poison(guard)) {
                Ok(()) => {}
                Err(Ok(poison)) => judged = left_out(&poison),
                Err(Err(failure)) => return Err(failure),
            }
        }
        for unit in units {
            if !unit.undoable && !self.stack.is_empty() {
                return Err(other(format!("`{}` is confirmed, but stands behind units that may be undone", unit.event.name)));
            }
            let mark = unit.undoable.then(|| self.push());
            if let Judged::LeftOut = judged {
                continue;
            }
            match self.tables.apply(&self.conn, &unit.event, mark) {
                Ok(()) | Err(ApplyError::UnknownEvent) => {}
                Err(ApplyError::Poison(poison)) => judged = left_out(&poison),
                Err(ApplyError::Trouble(failure)) => return Err(failure),
            }
        }
        if let (Judged::Applied, Some(last)) = (&judged, units.last()) {
            match self.tables.check_deferred(&self.conn, &last.event.name) {
                Ok(()) | Err(ApplyError::UnknownEvent) => {}
                Err(ApplyError::Poison(poison)) => judged = left_out(&poison),
                Err(ApplyError::Trouble(failure)) => return Err(failure),
            }
        }
        Ok(judged)
    }

    fn push(&mut self) -> i64 {
        let mark = self.next_mark;
        self.next_mark += 1;
        self.stack.push_back(mark);
        mark
    }

    fn transaction<E: From<StorageFailure>>(&mut self, work: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<(), E> {
        let statement = |conn: &Connection, sql: &str| {
            conn.prepare_cached(sql).and_then(|mut sql| sql.execute([])).map_err(|error| trouble(&error))
        };
        statement(&self.conn, BEGIN)?;
        let done = work(self).and_then(|()| Ok(statement(&self.conn, COMMIT).map(drop)?));
        if done.is_err() && !self.conn.is_autocommit() {
            // Without it the database would stay inside the transaction, which whoever comes next would take for its own.
            statement(&self.conn, ROLLBACK)?;
        }
        self.note_changes(done.is_ok());
        done
    }

    /// Takes the tables' flags, and believes them if there was no rollback.
    fn note_changes(&mut self, kept: bool) {
        self.revision += 1;
        for table in self.tables.take_changed() {
            if kept {
                self.changed[table] = self.revision;
            }
        }
    }
}

impl From<StorageFailure> for CommitFailure {
    fn from(failure: StorageFailure) -> Self {
        Self::Trouble(failure)
    }
}

fn refused(error: ApplyError, index: usize) -> CommitFailure {
    match error {
        ApplyError::Poison(Poison::Materialise { event, message }) => CommitFailure::Materialise { index, event, message },
        ApplyError::Poison(Poison::Conflict { guard: event, message }) => CommitFailure::Materialise { index, event, message },
        ApplyError::Trouble(failure) => CommitFailure::Trouble(failure),
        ApplyError::UnknownEvent => CommitFailure::Trouble(other("an event that the schema does not know".to_owned())),
    }
}

fn left_out(poison: &Poison) -> Judged {
    tracing::debug!(?poison, "left out of a session's database");
    Judged::LeftOut
}

fn other(message: String) -> StorageFailure {
    StorageFailure { class: StorageClass::Other, message: Arc::from(message) }
}

#[cfg(test)]
mod tests;
