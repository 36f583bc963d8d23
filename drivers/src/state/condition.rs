//! Guards as the schema declares them: conditions on the state, in Rust or SQL, and what they answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use countersign_core::{Poison, StorageFailure};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::classify::{Class, classify, trouble};
use super::guard::Guard;
use super::readdb::{GuardError, ReadDb};
use super::schema::panic_message;
use super::statement::{Problem, SqlStatement, values};

/// A condition in Rust, from the guard's canonical arguments.
pub(super) type Closure = dyn Fn(&ReadDb<'_>, &str) -> Result<(), Unmet> + Send + Sync;

/// What has to hold.
pub(super) enum Condition {
    Sql(SqlCondition),
    Rust(Box<Closure>),
}

/// Why a guard does not hold, or can't be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unmet {
    /// The schema has none of this name.
    Unknown,
    /// These are not its arguments.
    Args(String),
    /// It says no.
    Fails(String),
    /// Storage is in trouble.
    Trouble(StorageFailure),
}

impl Unmet {
    /// Why the commit can't be applied, unless storage is to blame.
    pub(crate) fn poison(self, guard: &countersign_core::Guard) -> Result<Poison, StorageFailure> {
        let message = match self {
            Self::Unknown => {
                "the schema has no such guard any more, so nobody can tell whether it holds: commit the events again \
                 without it, or under one that the schema has"
                    .to_owned()
            }
            Self::Args(message) => format!("its arguments don't fit any more: {message}"),
            Self::Fails(message) => message,
            Self::Trouble(failure) => return Err(failure),
        };
        Ok(Poison::Conflict { guard: Arc::clone(&guard.name), message: Arc::from(message) })
    }
}

impl From<GuardError> for Unmet {
    fn from(error: GuardError) -> Self {
        Self::Fails(error.to_string())
    }
}

impl Condition {
    pub(super) fn check(&self, conn: &Connection, guard: &Guard, args: &str) -> Result<(), Unmet> {
        match self {
            Self::Sql(sql) => sql.check(conn, guard, args),
            Self::Rust(closure) => check_closure(closure, conn, guard, args),
        }
    }
}

fn check_closure(closure: &Closure, conn: &Connection, guard: &Guard, args: &str) -> Result<(), Unmet> {
    let db = ReadDb::new(conn, guard);
    let result = catch_unwind(AssertUnwindSafe(|| closure(&db, args)));
    if let Some(trouble) = db.into_trouble() {
        return Err(Unmet::Trouble(trouble));
    }
    result.unwrap_or_else(|panic| Err(Unmet::Fails(format!("the guard panicked: {}", panic_message(&*panic)))))
}

/// A query that holds if the first column of its first row is true.
pub(super) struct SqlCondition {
    statement: SqlStatement,
    /// The fields of the arguments that are used, sorted.
    fields: Vec<String>,
    /// What to say if it does not hold.
    message: Option<String>,
}

impl SqlCondition {
    /// Prepares it in a database that has the tables, as a guard.
    pub(super) fn prepare(conn: &Connection, sql: &str, message: Option<String>) -> Result<Self, Problem> {
        let (statement, fields) = SqlStatement::question(conn, sql)?;
        Ok(Self { statement, fields, message })
    }

    fn check(&self, conn: &Connection, guard: &Guard, args: &str) -> Result<(), Unmet> {
        let values = values(&self.fields, args).map_err(Unmet::Args)?;
        let answer = self.statement.ask(conn, args, &values, answer).map_err(|error| match classify(&error) {
            Class::Trouble(_) => Unmet::Trouble(trouble(&error)),
            Class::Poison => Unmet::Fails(guard.say(&error)),
        })?;
        match answer {
            Ok(()) => Ok(()),
            Err(what) => Err(Unmet::Fails(self.message.clone().unwrap_or_else(|| format!("its query answers {what}")))),
        }
    }
}

/// SQLite would make a number of text; whoever answers text has most likely forgotten to compare it.
fn answer(first: Option<ValueRef<'_>>) -> Result<(), &'static str> {
    match first {
        None => Err("no row"),
        Some(ValueRef::Null) => Err("NULL"),
        Some(ValueRef::Integer(0)) => Err("0"),
        Some(ValueRef::Real(0.0)) => Err("0.0"),
        Some(ValueRef::Integer(_) | ValueRef::Real(_)) => Ok(()),
        Some(ValueRef::Text(_)) => Err("text, neither true nor false"),
        Some(ValueRef::Blob(_)) => Err("a blob, neither true nor false"),
    }
}
