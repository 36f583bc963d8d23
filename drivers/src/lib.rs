//! An event-sourced, local-first SQLite store whose `commit` hands back a receipt.

pub mod backend;
mod session;
mod state;
mod storage;

pub use rusqlite;
pub use session::QueryError;
pub use state::{
    EncodeError, EventInfo, EventType, IntoEvent, IntoEvents, JsonError, JsonProblem, MaterialiseError, NewEvent, Schema,
    SchemaBuilder, SchemaError, StateDb,
};
pub use storage::{Durability, Found, LogRow, LogState, OpenError, Progress, QuarantineRow, ReadError, Reader, Rows, Status};
