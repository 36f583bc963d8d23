//! The state machine of Countersign. `#![no_std]`: no clock, thread, lock, future, channel, hash map or random source.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod backoff;
mod boot;
mod closing;
mod config;
mod effect;
mod error;
mod event;
mod id;
mod input;
mod leader;
pub mod merge;
mod message;
mod node;
mod outbox;
mod seq;
mod session;
mod status;
mod time;
mod txn;

pub use boot::{Boot, BootError};
pub use config::{Config, OfflinePolicy, StuckPolicy};
pub use effect::{Confirmed, Effect, Notice, Output, Pull, Push, Reason, Resolution, Stage};
pub use error::{
    BackendFailure, Certainty, Class, CommitError, InvalidPush, Limit, Poison, Quarantined, StorageClass, StorageFailure,
    SyncError, Whereabouts,
};
pub use event::{Entry, Event, Origin, OwnEvent, PulledEvent, Standing, WireIds};
pub use id::{BackendId, ClientId, CommitId, EffectId, EventId, ParseIdError, SessionId};
pub use input::{IdentityPolicy, Input, Page};
pub use node::{Node, OpenStages};
pub use seq::{GLOBAL_MAX, ParseSeqError, Pos, Seq};
pub use session::Prepared;
pub use status::{Status, SyncState};
pub use time::Time;
pub use txn::{Heads, Materialised, Seed, SessionApplied, SessionTxn, Skip, Txn, Unit};
