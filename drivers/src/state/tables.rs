//! State tables of one connection: applying events, and undoing them.

use std::sync::Arc;

use countersign_core::{Event, Poison, StorageFailure};
use rusqlite::Connection;

use super::{Guard, Schema, SchemaError};

/// What is known of a connection's state tables; one for each connection.
pub(crate) struct Tables;

/// Why an event was not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ApplyError {
    /// It can't be, anywhere.
    Poison(Poison),
    /// The schema does not know it: no effect.
    UnknownEvent,
    /// Storage is in trouble; the transaction may be gone.
    Trouble(StorageFailure),
}

impl Tables {
    /// Makes state tables, undo tables and triggers, in a database without them. Inside the caller's transaction, or without one.
    pub(crate) fn create(conn: &Connection, schema: &Schema, guard: &Guard) -> Result<Self, SchemaError> {
        let _ = (conn, schema, guard);
        todo!()
    }

    /// Takes over the tables that [`Tables::create`] has made, under a schema of the same hash.
    pub(crate) fn open(conn: &Connection, schema: &Schema, guard: &Guard) -> Result<Self, SchemaError> {
        let _ = (conn, schema, guard);
        todo!()
    }

    /// Drops all state tables, views, undo tables and triggers, of whatever schema. Leaves other tables called `countersign_*`.
    pub(crate) fn drop_all(conn: &Connection) -> Result<(), StorageFailure> {
        let _ = conn;
        todo!()
    }

    /// Runs the event's materialiser. With a mark, it can be undone later; marks only grow.
    pub(crate) fn apply(&self, conn: &Connection, event: &Event, mark: Option<i64>) -> Result<(), ApplyError> {
        let _ = (conn, event, mark);
        todo!()
    }

    /// At the end of a commit: whether deferred foreign keys hold. The name is that of the commit's last event.
    pub(crate) fn check_deferred(&self, conn: &Connection, event: &Arc<str>) -> Result<(), ApplyError> {
        let _ = (conn, event);
        todo!()
    }

    /// Undoes everything recorded under marks above this one, newest first.
    pub(crate) fn undo_after(&self, conn: &Connection, mark: i64) -> Result<(), StorageFailure> {
        let _ = (conn, mark);
        todo!()
    }

    /// Forgets how to undo marks up to this one.
    pub(crate) fn forget_through(&self, conn: &Connection, mark: i64) -> Result<(), StorageFailure> {
        let _ = (conn, mark);
        todo!()
    }

    /// Empties state and undo.
    pub(crate) fn clear(&self, conn: &Connection) -> Result<(), StorageFailure> {
        let _ = (conn, self);
        todo!()
    }

    /// Seeds an empty database of the same schema from a read transaction. `into` must not be in a transaction.
    pub(crate) fn copy(&self, from: &Connection, into: &Connection) -> Result<(), StorageFailure> {
        let _ = (from, into);
        todo!()
    }

    /// All state rows with their rowids, in a stable order.
    pub(crate) fn dump(&self, conn: &Connection) -> Result<String, StorageFailure> {
        let _ = conn;
        todo!()
    }
}
