//! What is said on the wire: types and codec for the messages of both directions, the address of a store, and how batches are
//! cut. Pure: no IO, no clock, and no panic on any bytes.
//!
//! Decoding is strict about what is needed and tolerant about the rest: unknown keys are ignored, unknown messages are an
//! `Unknown`, both forms of causes are read, absent and `null` are the same. What is sent is what both generations take:
//! identifiers of our own are decimal texts, and `args` is always there.
//!
//! Our event ids travel in a key of their own, `countersign`, on each event; so does a refusal for ever, on the error. LiveStore's
//! servers strip the one and its clients ignore the other.
#![allow(dead_code, unused_imports)] // each side uses its half

mod address;
mod batch;
mod error;
mod event;
mod from_client;
mod from_server;
mod id;
mod outcome;
mod page;
mod parse;
mod peer_json;
#[cfg(feature = "fuzz")]
mod round_trip;
#[cfg(test)]
mod tests;

pub use address::AddressError;
pub(crate) use address::{Address, Query, Transport, Unreadable, encode_component, encode_payload, is_store_id};
pub(crate) use batch::{MESSAGE_BYTES, MESSAGE_EVENTS, split};
pub(crate) use error::{DecodeError, EncodeError, Problem};
pub(crate) use event::{encode_event, encode_void_event};
pub(crate) use from_client::{
    Call, ClientMessage, Cursor, PullCall, PushCall, Request, ack, decode_client, eof, interrupt, ping, ping_call, pull_call,
    push_call,
};
pub(crate) use from_server::{Chunk, ServerMessage, chunk, decode_server, defect, exit, http_body, pong};
pub(crate) use id::RequestId;
pub(crate) use outcome::{Cause, Dialect, Exit, Fail, Ours, SuccessValue};
pub(crate) use page::{PageInfo, PullResponse, encode_item};
#[cfg(feature = "fuzz")]
pub(crate) use round_trip::round_trip;
