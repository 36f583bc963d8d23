//! What a store refuses, and why.

use std::sync::Arc;

use countersign_core::StorageFailure;

use crate::session::CommitFailure;
use crate::state::{EncodeError, Unmet};

/// Why a commit was not taken. Nothing has happened anywhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// An event or the guard is unknown, or its arguments can't be said so that every peer reads the same.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A limit is reached, or the store takes no commits any more.
    #[error(transparent)]
    Refused(#[from] countersign_core::CommitError),
    /// An event can't be materialised.
    #[error(
        "event {index} ({event}) can't be materialised: {message}; the commit was not taken: change the event, or the schema"
    )]
    Materialise {
        /// Its place in the commit, from 0.
        index: usize,
        /// Its name.
        event: Arc<str>,
        /// What SQLite or the materialiser said.
        message: Arc<str>,
    },
    /// The commit's guard does not hold.
    #[error("the guard {guard} does not hold: {message}; the commit was not taken")]
    Conflict {
        /// The guard's name.
        guard: Arc<str>,
        /// What it said.
        message: Arc<str>,
    },
    /// The commit's guard can't be asked with these arguments.
    #[error("the guard {guard} can't be asked: {message}; the commit was not taken: correct the guard's arguments")]
    GuardArgs {
        /// The guard's name.
        guard: Arc<str>,
        /// What does not fit.
        message: Arc<str>,
    },
    /// The session's database is in trouble.
    #[error("the session's database is in trouble: {}; it is being made anew, commit again", .0.message)]
    Session(StorageFailure),
    /// A commit inside a query or a materialiser would wait for itself.
    #[error("a commit inside a query or a materialiser would wait for itself: commit after it")]
    Inside,
}

impl From<CommitFailure> for CommitError {
    fn from(failure: CommitFailure) -> Self {
        match failure {
            CommitFailure::Materialise { index, event, message } => Self::Materialise { index, event, message },
            CommitFailure::Guard { guard, unmet: Unmet::Fails(message) } => Self::Conflict { guard, message: Arc::from(message) },
            CommitFailure::Guard { guard, unmet: Unmet::Args(message) } => Self::GuardArgs { guard, message: Arc::from(message) },
            CommitFailure::Guard { guard: name, unmet: Unmet::Unknown } => {
                EncodeError::UnknownGuard { name, near: Vec::new() }.into()
            }
            CommitFailure::Guard { unmet: Unmet::Trouble(failure), .. } | CommitFailure::Trouble(failure) => {
                Self::Session(failure)
            }
        }
    }
}

/// Why a session could not be opened or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The system gave no random bytes for its identity.
    #[error("the system gives no random bytes: {0}")]
    NoRandomness(String),
    /// Its database could not be made in time.
    #[error("the session's database is not ready: the storage thread is busy or in trouble, try again")]
    NotReady,
    /// Inside a query or a materialiser it would wait for itself.
    #[error("inside a query or a materialiser this would wait for itself: do it after it")]
    Inside,
    /// The store is closed.
    #[error("the store is closed: open it again")]
    Closed,
    /// Storage, or its database, is in trouble.
    #[error("the session's database: {}", .0.message)]
    Storage(StorageFailure),
}

/// Why a receipt could not be looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The file can't be read.
    #[error("{}", .0.message)]
    Storage(StorageFailure),
    /// Inside a query or a materialiser it would wait for itself.
    #[error("inside a query or a materialiser this would wait for itself: look the receipt up after it")]
    Inside,
    /// The storage thread has ended.
    #[error("the store is closed: open it again and look there")]
    Closed,
}
