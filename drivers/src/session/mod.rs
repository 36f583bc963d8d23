//! Sessions: an in-memory database each, ahead of the leader's file.
#![allow(dead_code, unused_imports)]

mod db;

pub use db::QueryError;
pub(crate) use db::{CommitFailure, SessionDb};
