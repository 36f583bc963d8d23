//! The schema: tables, events, and what the events do to the tables.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use countersign_core::StorageFailure;
use rusqlite::Connection;

use super::builder::SchemaBuilder;
use super::classify::{Class, classify, trouble};
use super::condition::Condition;
use super::error::SchemaError;
use super::guard::Guard;
use super::kept::Kept;
use super::shape::Shape;
use super::statedb::{MaterialiseError, StateDb, User};
use super::statement::{BadStatement, Problem, SqlMaterialiser};
use super::toml;

/// Tables, events, and what the events do to the tables. Cheap to clone.
///
/// Made by [`Schema::builder`] or read by [`Schema::from_toml`]; either checks everything at once, so that a schema that exists works.
#[derive(Clone)]
pub struct Schema(pub(super) Arc<Inner>);

/// What a schema says of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventInfo {
    /// The event's name, shared.
    pub name: Arc<str>,
    /// Whether it stays with this client.
    pub client_only: bool,
}

impl Schema {
    /// Starts a schema. Raise the version when a materialiser's code changes: state is then built anew from the eventlog.
    pub fn builder(version: u32) -> SchemaBuilder {
        SchemaBuilder::new(version)
    }

    /// Reads a schema file: `version`, `[state] sql`, an `[events.NAME]` for each event with `on` (SQL) and `client_only`, and a
    /// `[guards.NAME]` for each guard with `sql`, a query that holds if the first column of its first row is true, and `message`, what to
    /// say if it doesn't.
    ///
    /// Named parameters in the SQL are the top-level fields of the event's arguments: absent and null are NULL, booleans 0 and 1,
    /// objects and arrays JSON text; `:args` is the whole JSON text.
    ///
    /// # Errors
    /// As [`SchemaBuilder::build`], with the line in the file.
    pub fn from_toml(text: &str) -> Result<Self, SchemaError> {
        toml::read(text)
    }

    /// Tells whether state was built by this schema: made of its version, its SQL, the names, flags and SQL of its events, and the names of
    /// its guards.
    /// Stable across processes and builds.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.0.hash
    }

    /// The version given by its author.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.0.version
    }

    /// What is known of an event; nothing if the schema has none of this name.
    #[must_use]
    pub fn event(&self, name: &str) -> Option<EventInfo> {
        let (name, event) = self.0.events.get_key_value(name)?;
        Some(EventInfo { name: Arc::clone(name), client_only: event.client_only })
    }

    /// The names of all events, in order.
    pub fn event_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.events.keys()
    }

    /// The names of all guards, in order.
    pub fn guard_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.guards.keys()
    }

    /// The names of all state tables, in order.
    pub fn table_names(&self) -> impl Iterator<Item = &str> {
        self.0.shapes.iter().map(|shape| shape.name.as_str())
    }

    pub(super) fn materialiser(&self, event: &str) -> Option<&Materialiser> {
        self.0.events.get(event).map(|event| &event.materialiser)
    }

    /// A guard's name, shared; nothing if the schema has none of this name.
    pub(super) fn guard_name(&self, name: &str) -> Option<&Arc<str>> {
        self.0.guards.get_key_value(name).map(|(name, _)| name)
    }

    pub(super) fn condition(&self, guard: &str) -> Option<&Condition> {
        self.0.guards.get(guard)
    }

    pub(super) fn state_sql(&self) -> &[String] {
        &self.0.state_sql
    }

    pub(super) fn shapes(&self) -> &[Shape] {
        &self.0.shapes
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("version", &self.0.version)
            .field("hash", &format_args!("{:016x}", self.0.hash))
            .field("events", &self.0.events.keys())
            .field("guards", &self.0.guards.keys())
            .finish_non_exhaustive()
    }
}

pub(super) struct Inner {
    pub(super) version: u32,
    pub(super) hash: u64,
    pub(super) state_sql: Vec<String>,
    pub(super) shapes: Vec<Shape>,
    pub(super) events: BTreeMap<Arc<str>, Declared>,
    pub(super) guards: BTreeMap<Arc<str>, Condition>,
}

/// An event as declared.
pub(super) struct Declared {
    pub(super) client_only: bool,
    pub(super) materialiser: Materialiser,
}

/// A materialiser in Rust, from the event's canonical arguments.
pub(super) type Closure = dyn Fn(&StateDb<'_>, &str) -> Result<(), MaterialiseError> + Send + Sync;

/// What an event does.
pub(super) enum Materialiser {
    Sql(SqlMaterialiser),
    Rust(Box<Closure>),
}

/// Why a materialiser did not do it.
pub(super) enum Refusal {
    Poison(String),
    Trouble(StorageFailure),
}

impl Materialiser {
    pub(super) fn run<'c>(&'c self, kept: &mut Kept<'c>, guard: &Guard, args: &str) -> Result<(), Refusal> {
        match self {
            Self::Sql(sql) => sql.run(kept, args).map_err(|bad| bad.into_refusal(guard, sql.len())),
            Self::Rust(closure) => run_closure(closure, kept.conn(), guard, args),
        }
    }
}

fn run_closure(closure: &Closure, conn: &Connection, guard: &Guard, args: &str) -> Result<(), Refusal> {
    let db = StateDb::new(conn, guard, User::Materialiser);
    // Whatever the closure left half done is undone with its commit.
    let result = catch_unwind(AssertUnwindSafe(|| closure(&db, args)));
    if let Some(trouble) = db.into_trouble() {
        return Err(Refusal::Trouble(trouble));
    }
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Refusal::Poison(error.to_string())),
        Err(panic) => Err(Refusal::Poison(format!("the materialiser panicked: {}", panic_message(&*panic)))),
    }
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

impl BadStatement {
    fn into_refusal(self, guard: &Guard, statements: usize) -> Refusal {
        let said = match &self.error {
            Problem::Sqlite(error) if classify(error) != Class::Poison => return Refusal::Trouble(trouble(error)),
            Problem::Sqlite(error) => guard.say(error),
            Problem::Said(text) => text.clone(),
        };
        Refusal::Poison(if statements > 1 { format!("statement {}: {said}", self.index + 1) } else { said })
    }
}
