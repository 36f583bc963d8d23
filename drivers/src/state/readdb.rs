//! What a guard may use of the state.

use std::fmt;
use std::sync::Arc;

use countersign_core::StorageFailure;
use rusqlite::{Connection, Params, Row};

use super::guard::Guard;
use super::statedb::{MaterialiseError, StateDb, User};

/// The state, as a guard sees it: it reads state tables, and nothing else.
///
/// The clock and random numbers are refused: a guard is checked again only when its commit comes onto another state, and not because time
/// has passed. What such a condition needs goes into the guard's arguments.
pub struct ReadDb<'a> {
    db: StateDb<'a>,
}

/// Why a guard does not hold, in words for whoever made the commit. Made from any text, and from errors of SQLite by `?`.
#[derive(Clone, Debug)]
pub struct GuardError {
    message: Arc<str>,
}

impl<'a> ReadDb<'a> {
    pub(super) fn new(conn: &'a Connection, guard: &'a Guard) -> Self {
        Self { db: StateDb::new(conn, guard, User::Guard) }
    }

    pub(super) fn into_trouble(self) -> Option<StorageFailure> {
        self.db.into_trouble()
    }

    /// Whether a query has any row. The statement stays prepared.
    ///
    /// # Errors
    /// If SQLite refuses it, or it does what a guard may not.
    pub fn exists(&self, sql: &str, params: impl Params) -> Result<bool, GuardError> {
        Ok(self.db.query_optional(sql, params, |_| Ok(()))?.is_some())
    }

    /// The first row of a query.
    ///
    /// # Errors
    /// If there is none, or as [`ReadDb::exists`].
    pub fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, GuardError> {
        Ok(self.db.query_row(sql, params, read)?)
    }

    /// The first row of a query, or none.
    ///
    /// # Errors
    /// As [`ReadDb::exists`].
    pub fn query_optional<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, GuardError> {
        Ok(self.db.query_optional(sql, params, read)?)
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// As [`ReadDb::exists`].
    pub fn query_map<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, GuardError> {
        Ok(self.db.query_map(sql, params, read)?)
    }
}

impl fmt::Debug for ReadDb<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDb").finish_non_exhaustive()
    }
}

impl fmt::Display for GuardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for GuardError {}

impl From<MaterialiseError> for GuardError {
    fn from(error: MaterialiseError) -> Self {
        Self::from(error.to_string())
    }
}

impl From<rusqlite::Error> for GuardError {
    fn from(error: rusqlite::Error) -> Self {
        Self::from(super::classify::say(&error))
    }
}

impl From<String> for GuardError {
    fn from(message: String) -> Self {
        Self { message: Arc::from(message) }
    }
}

impl From<&str> for GuardError {
    fn from(message: &str) -> Self {
        Self { message: Arc::from(message) }
    }
}
