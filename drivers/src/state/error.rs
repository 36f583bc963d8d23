//! What can be wrong with a schema.

use countersign_core::StorageFailure;

/// A schema that can't be used, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The schema file is not what it should be.
    #[error("line {line} of the schema: {message}")]
    Toml {
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what to do.
        message: String,
    },
    /// SQLite does not take a statement.
    #[error("{place}: {message}")]
    Sql {
        /// Which statement of what.
        place: String,
        /// What SQLite said.
        message: String,
    },
    /// Something that can't be undone, or that would not come out the same when replayed.
    #[error("{what} can't be used in state: {why}")]
    Refused {
        /// What, by name.
        what: String,
        /// Why, and what to do.
        why: String,
    },
    /// An event is declared twice, or under a name that can't be.
    #[error("event `{name}`: {message}")]
    Event {
        /// The name of the event.
        name: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A guard is declared twice, or under a name that can't be.
    #[error("guard `{name}`: {message}")]
    Guard {
        /// The name of the guard.
        name: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The tables could not be made, and the schema is not to blame.
    #[error("the state tables can't be made: {}", .0.message)]
    Trouble(StorageFailure),
}
