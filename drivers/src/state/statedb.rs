//! What a materialiser may use of the state.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use countersign_core::StorageFailure;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::classify::{Class, classify};
use super::guard::Guard;
use super::statement::{GUARD, MATERIALISER, marked};
use super::tokens;

/// The state, as a materialiser sees it: it reads and writes state tables and nothing else.
///
/// What would come out differently when the event is applied again is refused by SQLite's authorizer: the clock, random numbers, the
/// connection. So is everything but state tables, views over them, and functions of their values.
pub struct StateDb<'a> {
    conn: &'a Connection,
    guard: &'a Guard,
    user: User,
    /// Trouble with storage that the materialiser has met. It counts even if the materialiser goes on.
    trouble: RefCell<Option<StorageFailure>>,
}

/// Who uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum User {
    Materialiser,
    Guard,
}

/// Why a materialiser refuses an event. Made from any text, and from errors of SQLite by `?`.
#[derive(Clone, Debug)]
pub struct MaterialiseError {
    message: Arc<str>,
}

impl<'a> StateDb<'a> {
    pub(super) fn new(conn: &'a Connection, guard: &'a Guard, user: User) -> Self {
        Self { conn, guard, user, trouble: RefCell::new(None) }
    }

    pub(super) fn into_trouble(self) -> Option<StorageFailure> {
        self.trouble.into_inner()
    }

    /// Runs one statement, and says how many rows it has changed. The statement stays prepared.
    ///
    /// # Errors
    /// If SQLite refuses it, or it does what a materialiser may not.
    pub fn execute(&self, sql: &str, params: impl Params) -> Result<usize, MaterialiseError> {
        self.run(sql, |conn, sql| conn.prepare_cached(sql)?.execute(params))
    }

    /// The first row of a query.
    ///
    /// # Errors
    /// If there is none, or as [`StateDb::execute`].
    pub fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, MaterialiseError> {
        self.run(sql, |conn, sql| conn.prepare_cached(sql)?.query_row(params, read))
    }

    /// The first row of a query, or none.
    ///
    /// # Errors
    /// As [`StateDb::execute`].
    pub fn query_optional<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, MaterialiseError> {
        self.run(sql, |conn, sql| conn.prepare_cached(sql)?.query_row(params, read).optional())
    }

    /// All rows of a query. Give it an ORDER BY wherever the order matters: without one it may differ from client to client.
    ///
    /// # Errors
    /// As [`StateDb::execute`].
    pub fn query_map<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, MaterialiseError> {
        self.run(sql, |conn, sql| conn.prepare_cached(sql)?.query_map(params, read)?.collect())
    }

    fn run<T>(&self, sql: &str, run: impl FnOnce(&Connection, &str) -> rusqlite::Result<T>) -> Result<T, MaterialiseError> {
        if tokens::may_roll_back(sql) {
            return Err(MaterialiseError::from("ROLLBACK would undo the commits of others: return an error instead"));
        }
        let mark = match self.user {
            User::Materialiser => MATERIALISER,
            User::Guard => GUARD,
        };
        run(self.conn, &marked(sql, mark)).map_err(|error| {
            if let Class::Trouble(class) = classify(&error) {
                let failure = StorageFailure { class, message: Arc::from(error.to_string()) };
                self.trouble.borrow_mut().get_or_insert(failure);
            }
            MaterialiseError::from(self.guard.say(&error))
        })
    }
}

impl fmt::Debug for StateDb<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateDb").finish_non_exhaustive()
    }
}

impl fmt::Display for MaterialiseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for MaterialiseError {}

impl From<rusqlite::Error> for MaterialiseError {
    fn from(error: rusqlite::Error) -> Self {
        Self { message: Arc::from(super::classify::say(&error)) }
    }
}

impl From<String> for MaterialiseError {
    fn from(message: String) -> Self {
        Self { message: Arc::from(message) }
    }
}

impl From<&str> for MaterialiseError {
    fn from(message: &str) -> Self {
        Self { message: Arc::from(message) }
    }
}
