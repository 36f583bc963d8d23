//! An event-sourced, local-first SQLite store whose `commit` hands back a receipt.

mod session;
mod state;

pub use rusqlite;
pub use state::{
    EncodeError, EventInfo, EventType, IntoEvent, IntoEvents, MaterialiseError, NewEvent, Schema, SchemaBuilder, SchemaError,
    StateDb,
};
