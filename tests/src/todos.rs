//! The schema and the store that tests on real files share.

use std::path::Path;
use std::time::{Duration, Instant};

use countersign::backend::EmbeddedBackend;
use countersign::{Config, EventType, OpenError, Opener, Outcome, Reader, Schema, SchemaBuilder, Store, SyncStage, Waited};
use serde::{Deserialize, Serialize};

use crate::driver::Start as _;

/// Longer than anything here takes: a test that waits so long has failed.
pub const LONG: Duration = Duration::from_secs(60);

/// A new todo; a second one with the same id is refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TodoCreated {
    /// Its identity.
    pub id: String,
    /// What is to be done.
    pub text: String,
}

/// A line in the journal, whose lines are counted: the state tells in which order they came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Noted {
    /// The line.
    pub text: String,
}

/// What this client shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FilterSet {
    /// Which todos.
    pub filter: String,
}

/// Its materialiser panics.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Panics {}

impl EventType for TodoCreated {
    const NAME: &'static str = "v1.TodoCreated";
}

impl EventType for Noted {
    const NAME: &'static str = "v1.Noted";
}

impl EventType for FilterSet {
    const NAME: &'static str = "v1.FilterSet";
    const CLIENT_ONLY: bool = true;
}

impl EventType for Panics {
    const NAME: &'static str = "v1.Panics";
}

/// A todo.
#[must_use]
pub fn todo(id: impl ToString) -> TodoCreated {
    TodoCreated { id: id.to_string(), text: format!("todo {}", id.to_string()) }
}

/// A line.
#[must_use]
pub fn note(text: impl ToString) -> Noted {
    Noted { text: text.to_string() }
}

/// A filter.
#[must_use]
pub fn filter(filter: &str) -> FilterSet {
    FilterSet { filter: filter.to_owned() }
}

/// The schema, of this version, to be added to.
pub fn builder(version: u32) -> SchemaBuilder {
    Schema::builder(version)
        .state_sql("CREATE TABLE todos (id TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT")
        .state_sql("CREATE TABLE journal (line INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")
        .state_sql("CREATE TABLE ui (id INTEGER PRIMARY KEY, filter TEXT NOT NULL) STRICT")
        .event::<TodoCreated>(|db, todo| {
            db.execute("INSERT INTO todos (id, text) VALUES (?1, ?2)", (todo.id, todo.text)).map(drop)
        })
        .event::<Noted>(|db, note| {
            let lines: i64 = db.query_row("SELECT count(*) FROM journal", [], |row| row.get(0))?;
            db.execute("INSERT INTO journal (line, text) VALUES (?1, ?2)", (lines + 1, note.text)).map(drop)
        })
        .event::<FilterSet>(|db, set| {
            let upsert = "INSERT INTO ui (id, filter) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET filter = excluded.filter";
            db.execute(upsert, [set.filter]).map(drop)
        })
        .event::<Panics>(|_, _| panic!("on purpose, in a test"))
}

/// The schema.
///
/// # Panics
///
/// Never: it is always the same.
#[must_use]
pub fn schema() -> Schema {
    builder(1).build().expect("the schema is good")
}

/// Retries soon: tests don't wait for an outage to be over.
#[must_use]
pub fn config() -> Config {
    Config { backoff_min: Duration::from_millis(10), backoff_max: Duration::from_millis(50), ..Config::default() }
}

/// A store in this file, about to be opened.
pub fn opener(path: &Path) -> Opener {
    Store::open(path).schema(schema()).config(config())
}

/// A local store in this file.
///
/// # Panics
///
/// If it can't be opened.
#[must_use]
pub fn local(path: &Path) -> Store {
    opener(path).start().expect("the store opens")
}

/// A local store in this file, as soon as whoever has it has let it go.
///
/// # Panics
///
/// If it can't be opened.
#[must_use]
pub fn reopened(path: &Path) -> Store {
    let mut store = None;
    until("the file is let go", || {
        store = match opener(path).start() {
            Err(OpenError::Locked { .. }) => None,
            opened => Some(opened.expect("the store opens")),
        };
        store.is_some()
    });
    store.expect("waited for a line above")
}

/// A store in this file, synced with this backend.
///
/// # Panics
///
/// If it can't be opened.
#[must_use]
pub fn synced(path: &Path, backend: &EmbeddedBackend) -> Store {
    opener(path).backend(backend.clone()).start().expect("the store opens")
}

/// How the stage settles.
///
/// # Panics
///
/// If it does not.
#[track_caller]
pub fn settled(stage: &SyncStage) -> Outcome {
    match stage.wait_timeout(LONG) {
        Waited::Settled(outcome) => outcome,
        Waited::Pending(why) => panic!("{} of {} is still open: {why}", stage.stage() as u8, stage.id()),
    }
}

/// Waits until this holds.
///
/// # Panics
///
/// If it does not come to hold.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "still not so: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// How many todos the store has.
///
/// # Panics
///
/// If it can't be read.
#[must_use]
pub fn todos(store: &Store) -> i64 {
    store.query(|db| db.query_row("SELECT count(*) FROM todos", [], |row| row.get(0))).expect("the state is read")
}

/// The lines of the journal, in order.
///
/// # Panics
///
/// If it can't be read.
#[must_use]
pub fn journal(store: &Store) -> Vec<String> {
    let read = |db: &countersign::rusqlite::Connection| {
        let mut lines = db.prepare("SELECT text FROM journal ORDER BY line")?;
        let lines = lines.query_map([], |row| row.get(0))?;
        lines.collect()
    };
    store.query(read).expect("the state is read")
}

/// Asserts that the file is whole: the log a chain, the state its replay.
///
/// # Panics
///
/// If it is not, or can't be read.
#[track_caller]
pub fn assert_sound(path: &Path) {
    let wrong = Reader::open(path).expect("the store is read").check(&schema()).expect("the store is read");
    assert_eq!(wrong, Vec::<String>::new());
}

/// The notes of the backend's log, in order.
///
/// # Panics
///
/// If it can't be read.
#[must_use]
pub fn backend_args(backend: &EmbeddedBackend) -> Vec<String> {
    backend.log().expect("the backend is read").iter().map(|event| event.event.args.to_string()).collect()
}
