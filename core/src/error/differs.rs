//! How a backend differs from the one that a store knows.

use core::fmt;

/// What is received of a backend begins so if it is the one that is known, and has lost history.
pub(crate) const LOST_HISTORY: &str = "lost history: ";

/// How a backend differs from the one that a store knows, in words: it is another one, or it has lost history.
#[derive(Clone, Copy, Debug)]
pub struct BackendDiffers<'a> {
    /// The identity that the store knows.
    pub expected: &'a str,
    /// As in [`InvalidPush::BackendIdMismatch`](super::InvalidPush::BackendIdMismatch).
    pub received: &'a str,
}

impl fmt::Display for BackendDiffers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, received } = self;
        match received.strip_prefix(LOST_HISTORY) {
            Some(missing) => write!(f, "the backend {expected} has lost history: {missing}"),
            None => write!(f, "the backend is {received}, but this store has been syncing with {expected}"),
        }
    }
}
