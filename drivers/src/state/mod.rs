//! State: what the events make of the tables that an application reads.
#![allow(dead_code, unused_imports)]

mod classify;
mod error;
mod events;
mod guard;
mod json;
mod schema;
mod statedb;
mod tables;

pub(crate) use classify::{Class, classify, trouble};
pub use error::SchemaError;
pub use events::{EncodeError, EventType, IntoEvent, IntoEvents, NewEvent};
pub(crate) use guard::Guard;
pub(crate) use json::{canonical, canonical_of_peer};
pub use schema::{EventInfo, Schema, SchemaBuilder};
pub use statedb::{MaterialiseError, StateDb};
pub(crate) use tables::{ApplyError, Tables};
