//! State: what the events make of the tables that an application reads.
//!
//! A schema declares tables and events; a materialiser turns an event into writes. Whatever is applied can be undone exactly, and
//! comes out the same when it is applied again: what would break either is refused when the schema is built, or when the event is.

mod builder;
mod canonical;
mod classify;
mod compound;
mod condition;
mod copy;
mod encode_error;
mod error;
mod events;
mod guard;
mod guarded;
mod journal;
mod json;
mod kept;
mod keys;
mod policy;
mod readdb;
mod schema;
mod shape;
mod statedb;
mod statement;
mod strict;
mod tables;
#[cfg(test)]
mod tests;
mod tokens;
mod toml;
mod undo;

pub use builder::SchemaBuilder;
pub(crate) use classify::{Class, classify, trouble};
pub(crate) use condition::Unmet;
pub use encode_error::EncodeError;
pub use error::SchemaError;
pub use events::{EventType, NewEvent, ToEvent, ToEvents};
pub(crate) use guard::Guard;
pub use guarded::{GuardType, Guarded, NewGuard, ToGuard};
#[cfg(feature = "livestore")]
pub(crate) use json::canonical;
pub use json::{JsonError, JsonProblem};
pub(crate) use kept::Kept;
pub use readdb::{GuardError, ReadDb};
pub(crate) use schema::panic_message;
pub use schema::{EventInfo, Schema};
pub use statedb::{MaterialiseError, StateDb};
pub(crate) use tables::{ApplyError, Tables};
