//! Makes a schema, and checks it.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::classify::trouble;
use super::condition::{Condition, SqlCondition, Unmet};
use super::error::SchemaError;
use super::events::EventType;
use super::guard::{Guard, Mode};
use super::guarded::GuardType;
use super::readdb::{GuardError, ReadDb};
use super::schema::{Closure, Declared, Inner, Materialiser, Schema};
use super::shape;
use super::statedb::{MaterialiseError, StateDb};
use super::statement::{Problem, SqlMaterialiser};

/// Builds a [`Schema`]: tables, and a materialiser for each event.
///
/// ```
/// use countersign::{EventType, Schema};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct TodoCreated {
///     id: String,
///     text: String,
/// }
///
/// impl EventType for TodoCreated {
///     const NAME: &'static str = "v1.TodoCreated";
/// }
///
/// let schema = Schema::builder(1)
///     .state_sql("CREATE TABLE todos (id TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT")
///     .event::<TodoCreated>(|db, todo| {
///         db.execute("INSERT INTO todos (id, text) VALUES (?, ?)", (todo.id, todo.text))?;
///         Ok(())
///     })
///     .event_sql("v1.TodoDeleted", false, ["DELETE FROM todos WHERE id = :id"])
///     .build()?;
/// assert!(schema.event("v1.TodoCreated").is_some());
/// # Ok::<(), countersign::SchemaError>(())
/// ```
#[must_use]
pub struct SchemaBuilder {
    version: u32,
    state_sql: Vec<String>,
    events: Vec<(String, NewEventType)>,
    guards: Vec<(String, NewCondition)>,
}

enum NewCondition {
    Rust(Condition),
    /// With its line, if it comes from a file.
    Sql {
        sql: String,
        line: Option<usize>,
        message: Option<String>,
    },
}

struct NewEventType {
    client_only: bool,
    body: Body,
}

enum Body {
    Rust(Box<Closure>),
    /// With the line of each statement, if it comes from a file.
    Sql(Vec<(String, Option<usize>)>),
}

impl SchemaBuilder {
    pub(super) fn new(version: u32) -> Self {
        Self { version, state_sql: Vec::new(), events: Vec::new(), guards: Vec::new() }
    }

    /// Adds tables, indexes and views. May be called several times.
    pub fn state_sql(mut self, sql: &str) -> Self {
        self.state_sql.push(sql.trim().to_owned());
        self
    }

    /// Adds a typed event and its materialiser.
    ///
    /// The materialiser is run whenever the event is applied: at commit, by the leader, after each rebase, at a rebuild, on every
    /// client. It has to do the same each time: from the event and the state alone. An error refuses the event.
    pub fn event<T: EventType + 'static>(
        mut self,
        materialise: impl Fn(&StateDb<'_>, T) -> Result<(), MaterialiseError> + Send + Sync + 'static,
    ) -> Self {
        let closure = move |db: &StateDb<'_>, args: &str| {
            let args: T = serde_json::from_str(args)
                .map_err(|error| MaterialiseError::from(format!("the arguments are not those of {}: {error}", T::NAME)))?;
            materialise(db, args)
        };
        let body = Body::Rust(Box::new(closure));
        self.events.push((T::NAME.to_owned(), NewEventType { client_only: T::CLIENT_ONLY, body }));
        self
    }

    /// Adds an event whose materialiser is SQL: these statements in order, with parameters as in [`Schema::from_toml`].
    pub fn event_sql<S: Into<String>>(self, name: &str, client_only: bool, on: impl IntoIterator<Item = S>) -> Self {
        self.event_lines(name, client_only, on.into_iter().map(|sql| (sql.into(), None)).collect())
    }

    pub(super) fn event_lines(mut self, name: &str, client_only: bool, on: Vec<(String, Option<usize>)>) -> Self {
        let on = on.into_iter().map(|(sql, line)| (sql.trim().to_owned(), line)).collect();
        self.events.push((name.to_owned(), NewEventType { client_only, body: Body::Sql(on) }));
        self
    }

    /// Adds a typed guard: what has to hold of the state for a commit that names it, see [`crate::ToEvents::guarded`]. An error says why
    /// it does not hold.
    ///
    /// ```
    /// use countersign::{EventType, GuardType, Schema};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct SeatFree {
    ///     seat: u32,
    /// }
    ///
    /// impl GuardType for SeatFree {
    ///     const NAME: &'static str = "v1.SeatFree";
    /// }
    ///
    /// let schema = Schema::builder(1)
    ///     .state_sql("CREATE TABLE seats (seat INTEGER PRIMARY KEY, guest TEXT NOT NULL) STRICT")
    ///     .event_sql("v1.SeatTaken", false, ["INSERT OR REPLACE INTO seats (seat, guest) VALUES (:seat, :guest)"])
    ///     .guard::<SeatFree>(|db, SeatFree { seat }| {
    ///         match db.query_optional("SELECT guest FROM seats WHERE seat = ?", [seat], |row| row.get::<_, String>(0))? {
    ///             Some(guest) => Err(format!("{guest} has seat {seat}").into()),
    ///             None => Ok(()),
    ///         }
    ///     })
    ///     .build()?;
    /// assert_eq!(schema.guard_names().count(), 1);
    /// # Ok::<(), countersign::SchemaError>(())
    /// ```
    pub fn guard<T: GuardType + 'static>(
        mut self,
        holds: impl Fn(&ReadDb<'_>, T) -> Result<(), GuardError> + Send + Sync + 'static,
    ) -> Self {
        let closure = move |db: &ReadDb<'_>, args: &str| {
            let args: T = serde_json::from_str(args)
                .map_err(|error| Unmet::Args(format!("the arguments are not those of {}: {error}", T::NAME)))?;
            Ok(holds(db, args)?)
        };
        self.guards.push((T::NAME.to_owned(), NewCondition::Rust(Condition::Rust(Box::new(closure)))));
        self
    }

    /// Adds a guard that is a query: it holds if the first column of the first row is true, a number other than 0. Parameters as in
    /// [`Schema::from_toml`]; the message says what it means that it does not hold.
    pub fn guard_sql(self, name: &str, sql: &str, message: Option<&str>) -> Self {
        self.guard_line(name, sql, None, message)
    }

    pub(super) fn guard_line(mut self, name: &str, sql: &str, line: Option<usize>, message: Option<&str>) -> Self {
        let (sql, message) = (sql.trim().to_owned(), message.map(|message| message.trim().to_owned()));
        self.guards.push((name.to_owned(), NewCondition::Sql { sql, line, message }));
        self
    }

    /// Checks it all, in an empty database in memory.
    ///
    /// # Errors
    /// If SQLite does not take a statement, if a name is used twice, or if something can't be undone or would not come out the same
    /// when applied again: virtual tables, AUTOINCREMENT, triggers, the clock, random numbers.
    pub fn build(self) -> Result<Schema, SchemaError> {
        let sqlite = |error: rusqlite::Error| SchemaError::Trouble(trouble(&error));
        let mut conn = Connection::open_in_memory().map_err(sqlite)?;
        let guard = Guard::install(&mut conn).map_err(sqlite)?;
        shape::create_state(&conn, &guard, &self.state_sql)?;
        let shapes = shape::discover(&conn, &guard)?;
        for (number, shape) in shapes.iter().enumerate() {
            conn.execute_batch(&shape.ddl(number)).map_err(sqlite)?;
        }
        // Not kept: only so that the functions of the triggers are known.
        super::journal::Journal::install(&conn, shapes.len()).map_err(sqlite)?;

        let mut hash = Hash::new();
        hash.number(shape::FORMAT.into());
        hash.number(self.version.into());
        hash.texts(&self.state_sql);
        let mut events = BTreeMap::new();
        let mut declared = self.events;
        declared.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, event) in declared {
            check_name(&name, "an event", events.contains_key(&*name))
                .map_err(|message| SchemaError::Event { name: name.clone(), message })?;
            hash.text(&name);
            hash.number(event.client_only.into());
            let materialiser = match event.body {
                Body::Rust(closure) => Materialiser::Rust(closure),
                Body::Sql(on) => {
                    let (on, lines): (Vec<String>, Vec<Option<usize>>) = on.into_iter().unzip();
                    hash.texts(&on);
                    check_sql(&conn, &guard, &name, &on, &lines)?
                }
            };
            events.insert(Arc::from(name), Declared { client_only: event.client_only, materialiser });
        }
        let mut guards = BTreeMap::new();
        let mut declared = self.guards;
        declared.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, condition) in declared {
            check_name(&name, "a guard", guards.contains_key(&*name))
                .map_err(|message| SchemaError::Guard { name: name.clone(), message })?;
            // Only the name: what a guard asks makes no difference to the state.
            hash.text("guard");
            hash.text(&name);
            let condition = match condition {
                NewCondition::Rust(condition) => condition,
                NewCondition::Sql { sql, line, message } => check_condition(&conn, &guard, &name, &sql, line, message)?,
            };
            guards.insert(Arc::from(name), condition);
        }
        Ok(Schema(Arc::new(Inner { version: self.version, hash: hash.0, state_sql: self.state_sql, shapes, events, guards })))
    }
}

impl std::fmt::Debug for SchemaBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SchemaBuilder").field("version", &self.version).finish_non_exhaustive()
    }
}

/// The longest name of an event or a guard, in bytes.
const MAX_NAME: usize = 256;

fn check_name(name: &str, what: &str, is_there: bool) -> Result<(), String> {
    if name.is_empty() {
        Err(format!("{what} needs a name, such as v1.TodoCreated"))
    } else if name.len() > MAX_NAME {
        Err("the name is longer than 256 bytes: shorten it, it is stored and sent again and again".to_owned())
    } else if name.chars().any(char::is_control) {
        Err("the name has control characters: leave them out".to_owned())
    } else if is_there {
        Err(format!("it is declared twice: {what} has one meaning"))
    } else {
        Ok(())
    }
}

fn check_sql(
    conn: &Connection,
    guard: &Guard,
    name: &str,
    on: &[String],
    lines: &[Option<usize>],
) -> Result<Materialiser, SchemaError> {
    let entered = guard.enter(Mode::Materialise);
    let checked = SqlMaterialiser::check(conn, on);
    drop(entered);
    checked.map(Materialiser::Sql).map_err(|bad| {
        let line = lines.get(bad.index).copied().flatten();
        let line = line.map_or_else(String::new, |line| format!("line {line} of the schema: "));
        let message = match &bad.error {
            Problem::Sqlite(error) => guard.say(error),
            Problem::Said(text) => text.clone(),
        };
        SchemaError::Sql { place: format!("{line}event `{name}`, statement {}", bad.index + 1), message }
    })
}

fn check_condition(
    conn: &Connection,
    guard: &Guard,
    name: &str,
    sql: &str,
    line: Option<usize>,
    message: Option<String>,
) -> Result<Condition, SchemaError> {
    let entered = guard.enter(Mode::Guard);
    let checked = SqlCondition::prepare(conn, sql, message);
    drop(entered);
    checked.map(Condition::Sql).map_err(|problem| {
        let line = line.map_or_else(String::new, |line| format!("line {line} of the schema: "));
        let message = match &problem {
            Problem::Sqlite(error) => guard.say(error),
            Problem::Said(text) => text.clone(),
        };
        SchemaError::Sql { place: format!("{line}guard `{name}`"), message }
    })
}

/// FNV-1a, 64 bits: stable across processes and releases, which the standard library's hashers are not.
struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// With its length, so that no two lists of texts look alike.
    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn texts(&mut self, texts: &[String]) {
        self.number(texts.len() as u64);
        texts.iter().for_each(|text| self.text(text));
    }
}
