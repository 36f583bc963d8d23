//! Guards a connection: who may do what with it, decided by SQLite's authorizer.

use rusqlite::Connection;

/// The guard of one connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Guard;

impl Guard {
    /// Makes a connection fit for state tables: authorizer, foreign keys, recursive triggers, statement cache.
    ///
    /// Once for each connection, outside a transaction. Statements of its owner run unguarded; only materialisers, schemas and
    /// queries are watched.
    pub(crate) fn install(conn: &mut Connection) -> rusqlite::Result<Self> {
        let _ = conn;
        todo!()
    }
}
