//! An event-sourced, local-first store whose `commit` hands back a **receipt**.
//!
//! A commit is applied to SQLite before the call returns. Its receipt has two stages that can be awaited, waited for with a
//! deadline, polled, and found again after a restart:
//!
//! - [`CommitReceipt::leader_sync`]: the leader has materialised the commit and persisted it to the eventlog;
//! - [`CommitReceipt::backend_sync`]: the sync backend has accepted it into the one global order.
//!
//! ```
//! use countersign::backend::EmbeddedBackend;
//! use countersign::{EventType, Schema, Settled, Store};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct TodoCreated {
//!     id: String,
//!     text: String,
//! }
//!
//! impl EventType for TodoCreated {
//!     const NAME: &'static str = "v1.TodoCreated";
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let schema = Schema::builder(1)
//!     .state_sql("CREATE TABLE todos (id TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT")
//!     .event(|db, todo: TodoCreated| {
//!         db.execute("INSERT INTO todos (id, text) VALUES (?1, ?2)", (&todo.id, &todo.text)).map(drop)
//!     })
//!     .build()?;
//! let backend = EmbeddedBackend::open(dir.path().join("backend.db"))?;
//! let store = Store::open(dir.path().join("todos.db")).schema(schema).backend(backend).blocking()?;
//!
//! let receipt = store.commit(TodoCreated { id: "1".into(), text: "water the plants".into() })?;
//! let todos: i64 = store.query(|db| db.query_row("SELECT count(*) FROM todos", [], |row| row.get(0)))?;
//! assert_eq!(todos, 1); // before anything was written to disk
//!
//! assert_eq!(receipt.leader_sync.wait(), Ok(Settled::Persisted));
//! let confirmed = receipt.backend_sync.wait()?;
//! assert_eq!(confirmed.position().map(|at| at.to_string()).as_deref(), Some("e1"));
//! # Ok(())
//! # }
//! ```
//!
//! [`guide`] walks through what to do with receipts, [`guide::rules`] says what they promise, and [`testing`] how to test an application's
//! own handling of every outcome.

pub mod backend;
mod clock;
mod driver;
pub mod guide;
#[cfg(feature = "livestore")]
pub mod livestore;
mod mark;
mod mutant;
#[cfg(test)]
#[cfg(feature = "shuttle")]
mod races;
mod receipt;
mod record;
#[cfg(feature = "server")]
pub mod server;
mod session;
mod state;
mod storage;
mod store;
mod sync;
pub mod testing;

pub use clock::Clock;
pub use countersign_core as core;
pub use countersign_core::{
    Batch, Certainty, Class, CommitId, Config, Event, Guard, IdentityPolicy, InvalidPush, LastError, OfflinePolicy, Pos, Seq,
    SessionId, Stage, StuckPolicy, SyncError, SyncState, Waiting, Whereabouts, Why,
};
#[cfg(feature = "mutants")]
pub use mutant::StorageMutant;
pub use receipt::{
    CommitReceipt, Confirmation, Endless, Milestone, MilestoneWait, Outcome, ParseTokenError, PositionToken, ReceiptStatus,
    Settled, SyncStage, Updates, Wait, Waited, WaitingFor,
};
pub use record::{Played, Recording, RecordingError, Replayed};
pub use rusqlite;
pub use session::QueryError;
pub use state::{
    EncodeError, EventInfo, EventType, GuardError, GuardType, Guarded, JsonError, JsonProblem, MaterialiseError, NewEvent,
    NewGuard, ReadDb, Schema, SchemaBuilder, SchemaError, StateDb, ToEvent, ToEvents, ToGuard,
};
pub use storage::{
    Durability, Found, LogRow, LogState, OpenError, PendingCommit, Progress, QuarantineRow, ReadError, Reader, Rows, Settings,
    Status, Syncing, TokenPlace, Writer,
};
pub use store::{
    BarrierError, Changed, CloseReport, CommitError, FailureError, LookupError, News, Opener, ReachedError, Refused, Risk,
    Session, SessionError, Stages, Store, Watch,
};
