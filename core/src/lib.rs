//! The state machine of Countersign: what becomes of commits between the call and the one global order.
//!
//! A [`Node`] is a value: one leader and its sessions. It is told what has happened ([`Input`], in the past tense) and answers with
//! orders to the world ([`Effect`]), with stages of receipts that have settled ([`Resolution`]) and with things that people may
//! want to see ([`Notice`]). It has no clock, thread, lock, future, channel, hash map, random source or global, so the same machine
//! runs in an application, in a simulation, under a fuzzer, and in the replay of a recorded run.
//!
//! Start reading at [`Node`], which states the contract of its driver. Then:
//!
//! - [`merge`]: one pure function for both boundaries, session against leader and leader against backend;
//! - `session`: admits commits and numbers them, and holds their receipts by watermark;
//! - `leader`: orders persistence, pushes, pulls and rebases; its `tail` is the end of the log as it should be;
//! - [`Txn`] and [`SessionTxn`]: what storage is ordered to do, one transaction each.
//!
//! Events keep their identity ([`EventId`], [`CommitId`]) through every renumbering; an identity is never a position.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod backoff;
mod barrier;
mod boot;
mod closing;
mod config;
mod effect;
mod ensure;
mod error;
mod event;
mod guard;
mod id;
mod input;
mod leader;
mod limits;
pub mod merge;
mod message;
mod mutant;
mod node;
mod outbox;
mod seq;
mod session;
mod status;
mod tally;
mod time;
mod txn;
mod waiting;

pub use boot::{Boot, BootError};
pub use config::{Config, OfflinePolicy, StuckPolicy};
pub use effect::{Confirmed, Effect, Notice, Output, Pull, Push, Reason, Resolution, Stage};
pub use error::{
    BackendDiffers, BackendFailure, Certainty, Class, CommitError, InvalidPush, Limit, Poison, Quarantined, StorageClass,
    StorageFailure, SyncError, Whereabouts,
};
pub use event::{Entry, Event, Origin, OwnEvent, PulledEvent, Standing, WireIds};
pub use guard::{Batch, Guard};
pub use id::{BackendId, ClientId, CommitId, EffectId, EventId, ParseIdError, SessionId};
pub use input::{IdentityPolicy, Input, Page};
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use node::{Node, OpenStages};
pub use seq::{GLOBAL_MAX, ParseSeqError, Pos, Seq};
pub use session::Prepared;
pub use status::{Status, SyncState};
pub use time::Time;
pub use txn::{Heads, Materialised, Otherwise, Portion, Seed, SessionApplied, SessionTxn, Skip, Txn, Unit};
pub use waiting::{LastError, Waiting, Why};
