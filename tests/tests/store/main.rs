//! The store as its users have it: real files, real threads.
#![allow(clippy::unwrap_used)]

mod closing;
mod committing;
mod opening;
mod receipts;
mod sessions;
mod syncing;
mod trouble;
mod watching;
