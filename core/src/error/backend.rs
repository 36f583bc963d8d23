//! How a backend fails.

use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::BackendId;

/// How a backend answers when it does not do what it was asked: in classes, not in texts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BackendFailure {
    /// No connection, no answer in time, or the server is in trouble. Tried again for ever; burns no attempts.
    Unreachable {
        /// What the transport said.
        message: Arc<str>,
        /// Whether the request may have reached the backend.
        maybe_applied: bool,
    },
    /// Credentials are missing or no longer good. Paused until [`crate::Input::Authenticated`].
    NeedsAuth {
        /// What the backend said.
        message: Arc<str>,
    },
    /// The parent is not the backend's head.
    ServerAhead {
        /// The backend's head.
        head: u64,
    },
    /// The backend is another one.
    Identity {
        /// Its identity.
        theirs: BackendId,
    },
    /// The backend no longer holds an event that it had confirmed.
    Truncated {
        /// What is missing or different.
        message: Arc<str>,
    },
    /// Some events are refused for ever. The rest of the batch was not taken either.
    Refused {
        /// Which events of the batch, by index, and why.
        events: alloc::vec::Vec<(u32, Arc<str>)>,
    },
    /// A decoded refusal that does not say for how long.
    Unknown {
        /// What the backend said.
        message: Arc<str>,
    },
}
