//! A session's database.

use std::sync::Arc;

use countersign_core::{Event, SessionApplied, SessionTxn, StorageFailure};
use rusqlite::Connection;

use crate::state::{Schema, SchemaError, Tables};

/// A session's in-memory database, and the stack of what can be undone in it.
pub(crate) struct SessionDb;

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
    /// The database is of no more use.
    #[error("the session's database is in trouble: {}", .0.message)]
    Trouble(StorageFailure),
}

/// Why a query has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// It tried to change something.
    #[error("queries only read, this one wanted to {action}: commit an event instead")]
    ReadOnly {
        /// What was tried.
        action: String,
    },
    /// SQLite refused it.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

impl SessionDb {
    /// An empty one.
    pub(crate) fn new(schema: &Schema) -> Result<Self, SchemaError> {
        let _ = schema;
        todo!()
    }

    /// One with the state of an open read transaction, and one unit for each of these marks, oldest first.
    pub(crate) fn seeded(schema: &Schema, from: &Connection, tables: &Tables, marks: Vec<i64>) -> Result<Self, SchemaError> {
        let _ = (schema, from, tables, marks);
        todo!()
    }

    /// Carries out a transaction of the machine.
    pub(crate) fn run(&mut self, txn: &SessionTxn) -> SessionApplied {
        let _ = txn;
        todo!()
    }

    /// Applies a commit, all or nothing: one unit for each event.
    pub(crate) fn commit(&mut self, events: &[Event]) -> Result<(), CommitFailure> {
        let _ = events;
        todo!()
    }

    /// Reads.
    pub(crate) fn query<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, QueryError> {
        let _ = read;
        todo!()
    }

    /// Grows whenever tables change.
    pub(crate) fn revision(&self) -> u64 {
        todo!()
    }

    /// The tables that have changed after this revision.
    pub(crate) fn changed_since(&self, revision: u64) -> Vec<Arc<str>> {
        let _ = revision;
        todo!()
    }
}
