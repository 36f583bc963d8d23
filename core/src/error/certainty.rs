//! What is certain about a failure, where the events are, and what can be done about it.

use serde::{Deserialize, Serialize};

/// What is certain about the events of a failed commit, with respect to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Certainty {
    /// The backend does not hold them and never will.
    NotApplied,
    /// The backend holds the first of them and will never hold the rest.
    Partial {
        /// How many of the commit's synced events are confirmed.
        confirmed: u32,
    },
    /// A request with them may have reached the backend: they may turn up in its log.
    Unknown,
}

/// Where the events of a failed commit are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Whereabouts {
    /// Still in the log, still going to be pushed.
    Queued,
    /// In the quarantine table, with payload and cause.
    Quarantine,
    /// Given back to the caller.
    HandedBack,
}

/// What a caller can do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Class {
    /// It may work later, as it is.
    Retryable,
    /// Credentials are missing or no longer good.
    Auth,
    /// It was refused, and will be again.
    Rejected,
    /// It no longer fits what others have done meanwhile.
    Conflict,
    /// The store was closed.
    Closed,
    /// Something that should not happen.
    Defect,
}
