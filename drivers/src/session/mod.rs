//! Sessions: an in-memory database each, ahead of the leader's file.

mod db;

pub use db::QueryError;
pub(crate) use db::{CommitFailure, SessionDb};
