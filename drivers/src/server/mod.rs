//! A sync server that speaks LiveStore's protocol, to embed in a program: the `countersign serve` command is a thin shell
//! around it.
//!
//! One log a store id, each in a SQLite file of its own below one directory. It promises that
//!
//! - what it acknowledges is on disk, stands in the log once, and was offered to every live pull before the acknowledgement;
//! - admission is serialised per store: a batch is taken whole or not at all, and only if it stands on the log's head;
//! - a push that is repeated, because its answer was lost, is recognised by its events' ids and not stored again;
//! - a live pull gets every event after its cursor, in order, none twice: it never overtakes its own history;
//! - whatever bytes a client sends cost it its connection at most, and nobody else anything;
//! - a token is in no log, error or `Debug`.
//!
//! One thread does all network IO; SQLite runs on a pool of threads beside it, at most one writing and one reading a store.
//! Everything that waits is bounded by [`Limits`], and ends.

mod access;
mod builder;
mod connection;
mod error;
mod eventlogs;
mod host;
mod limits;
mod metrics;
mod observe;
mod patience;
mod running;
mod stopping;
mod tls;

pub use access::TokensError;
pub use builder::Server;
pub use error::{StartError, StopError};
pub use limits::Limits;
pub use running::{Running, Stopped, Stopper};

#[cfg(test)]
mod tests;
