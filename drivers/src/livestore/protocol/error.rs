//! What can be wrong with bytes from a peer, and where.

/// A message that is not what it has to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {problem}")]
pub(crate) struct DecodeError {
    /// The keys and places that lead to it, such as `Chunk.values[0].batch[3].seqNum`.
    pub(crate) at: String,
    /// What is wrong.
    pub(crate) problem: Problem,
}

/// What is wrong with a part of a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Problem {
    /// Bytes that are no UTF-8.
    #[error("not text: {0}")]
    NotText(String),
    /// Text that is no JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// JSON of another shape.
    #[error("{0}")]
    Shape(String),
    /// A key that has to be there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A number that JavaScript would not read back exactly.
    #[error("{0} is beyond 2^53 - 1")]
    TooLarge(u64),
    /// A text longer than it may be.
    #[error("{bytes} bytes, at most {max} are taken")]
    TooLong {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}

impl DecodeError {
    pub(super) fn new(at: impl Into<String>, problem: Problem) -> Self {
        Self { at: at.into(), problem }
    }

    /// The same error, seen from further out.
    #[must_use]
    pub(super) fn within(self, outer: &str) -> Self {
        let at = match self.at.as_str() {
            "" => outer.to_owned(),
            at if at.starts_with('[') => format!("{outer}{at}"),
            at => format!("{outer}.{at}"),
        };
        Self { at, ..self }
    }
}

/// An event that can't be written down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the arguments of {name} are no JSON: {message}")]
pub(crate) struct EncodeError {
    /// The event's name.
    pub(crate) name: String,
    /// What the parser said.
    pub(crate) message: String,
}
