//! How a stage of a receipt fails.

use alloc::string::String;
use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{BackendDiffers, Certainty, Class, Whereabouts};
use crate::id::BackendId;
use crate::seq::Pos;

/// Why a push was not taken. The family keeps the names of LiveStore's proposal (livestore#723).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPush {
    /// The backend has events that this client has not pulled. Recovered from inside; never ends a receipt.
    #[error("the backend is ahead: it expects a parent of at least e{minimum_expected}, and was given e{provided}")]
    ServerAhead {
        /// The backend's head.
        minimum_expected: u64,
        /// The parent that was sent.
        provided: u64,
    },
    /// The leader has events that the session has not seen. Recovered from inside; never ends a receipt.
    #[error("the leader is ahead: it expects at least {minimum_expected}, and was given {provided}")]
    LeaderAhead {
        /// The first place that is free at the leader.
        minimum_expected: Pos,
        /// The place that the session gave its event.
        provided: Pos,
    },
    /// The backend is not the one this store has been syncing with, or has lost confirmed history.
    #[error("{}", BackendDiffers { .expected, .received })]
    BackendIdMismatch {
        /// The identity that this store knows.
        expected: BackendId,
        /// The backend's, or `lost history: ` and what of the confirmed history is missing. [`BackendDiffers`] puts both in words.
        received: BackendId,
    },
}

/// How a stage of a receipt fails.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The push can't be taken by this backend.
    #[error("{cause}")]
    InvalidPush {
        /// Why.
        cause: InvalidPush,
        /// What is certain about the events.
        certainty: Certainty,
        /// Where they are.
        events: Whereabouts,
    },
    /// The network was declared gone for good, or the offline deadline has passed.
    #[error("offline: {reason}")]
    IsOffline {
        /// What was declared, or how long it has been.
        reason: Arc<str>,
        /// Where the events are.
        events: Whereabouts,
    },
    /// A failure that no other variant describes.
    #[error("{message}")]
    Unknown {
        /// What is known.
        message: Arc<str>,
        /// What is certain about the events.
        certainty: Certainty,
    },
    /// The leader can't apply the commit to the state.
    #[error("event {event} of the commit can't be materialised: {message}")]
    Materialise {
        /// The name of the event that failed.
        event: Arc<str>,
        /// What SQLite or the materialiser said.
        message: Arc<str>,
        /// What is certain about the events.
        certainty: Certainty,
    },
    /// The commit's guard no longer holds.
    #[error("the commit's guard {guard} no longer holds: {message}")]
    Conflict {
        /// The guard's name.
        guard: Arc<str>,
        /// What it said.
        message: Arc<str>,
        /// What is certain about the events.
        certainty: Certainty,
    },
    /// The backend refuses the commit for ever.
    #[error("the backend refuses the commit: {message}")]
    Rejected {
        /// What the backend said.
        message: Arc<str>,
        /// What is certain about the events.
        certainty: Certainty,
    },
    /// The commit was taken back, by the user or by the policy for stuck commits.
    #[error("the commit was withdrawn{}", .cause.as_deref().map_or_else(String::new, |c| alloc::format!(": {c}")))]
    Withdrawn {
        /// What made the policy act; nothing if a user asked.
        cause: Option<Arc<str>>,
        /// What is certain about the events.
        certainty: Certainty,
    },
    /// The store was closed. Durable: the events are stored and go on after the next opening.
    #[error("{}", if *.durable { "the store was closed; the commit is stored and will be pushed after the next opening" }
        else { "the store was closed before the commit was stored: its events are in the report of `close`, which a store that is dropped has not" })]
    Closed {
        /// Whether the commit is in the eventlog.
        durable: bool,
    },
}

impl SyncError {
    /// What is certain about the commit's events, with respect to the backend.
    #[must_use]
    pub fn certainty(&self) -> Certainty {
        match self {
            Self::InvalidPush { certainty, .. }
            | Self::Unknown { certainty, .. }
            | Self::Materialise { certainty, .. }
            | Self::Conflict { certainty, .. }
            | Self::Rejected { certainty, .. }
            | Self::Withdrawn { certainty, .. } => *certainty,
            Self::IsOffline { .. } | Self::Closed { durable: true } => Certainty::Unknown,
            Self::Closed { durable: false } => Certainty::NotApplied,
        }
    }

    /// Where the commit's events are.
    #[must_use]
    pub fn events(&self) -> Whereabouts {
        match self {
            Self::InvalidPush { events, .. } | Self::IsOffline { events, .. } => *events,
            Self::Closed { durable: false } => Whereabouts::HandedBack,
            Self::Closed { durable: true } | Self::Unknown { .. } => Whereabouts::Queued,
            Self::Materialise { .. } | Self::Conflict { .. } | Self::Rejected { .. } | Self::Withdrawn { .. } => {
                Whereabouts::Quarantine
            }
        }
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::InvalidPush { cause: InvalidPush::BackendIdMismatch { .. }, .. } => Class::Rejected,
            Self::InvalidPush { .. } | Self::IsOffline { .. } => Class::Retryable,
            Self::Unknown { .. } => Class::Defect,
            Self::Materialise { .. } | Self::Conflict { .. } => Class::Conflict,
            Self::Rejected { .. } | Self::Withdrawn { .. } => Class::Rejected,
            Self::Closed { .. } => Class::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn invalid(cause: InvalidPush) -> SyncError {
        SyncError::InvalidPush { cause, certainty: Certainty::Unknown, events: Whereabouts::Queued }
    }

    // Verifies: R6 (each failure says what is certain, where the events are, and what can be done about it)
    #[test]
    fn each_failure_says_what_is_certain_where_the_events_are_and_what_to_do() {
        let message: Arc<str> = "no".into();
        let certainty = Certainty::Partial { confirmed: 2 };
        let mismatch = InvalidPush::BackendIdMismatch { expected: "b1".into(), received: "b2".into() };
        let at = Pos::synced;
        let leader_ahead = InvalidPush::LeaderAhead { minimum_expected: at(3), provided: at(2) };
        let (named, text) = (message.clone(), message.clone());
        for (error, expected, said) in [
            (
                invalid(mismatch),
                (Certainty::Unknown, Whereabouts::Queued, Class::Rejected),
                "the backend is b2, but this store has been syncing with b1",
            ),
            (
                invalid(InvalidPush::ServerAhead { minimum_expected: 3, provided: 2 }),
                (Certainty::Unknown, Whereabouts::Queued, Class::Retryable),
                "the backend is ahead: it expects a parent of at least e3, and was given e2",
            ),
            (
                invalid(leader_ahead),
                (Certainty::Unknown, Whereabouts::Queued, Class::Retryable),
                "the leader is ahead: it expects at least e3, and was given e2",
            ),
            (
                SyncError::IsOffline { reason: "declared".into(), events: Whereabouts::Quarantine },
                (Certainty::Unknown, Whereabouts::Quarantine, Class::Retryable),
                "offline: declared",
            ),
            (SyncError::Unknown { message: message.clone(), certainty }, (certainty, Whereabouts::Queued, Class::Defect), "no"),
            (
                SyncError::Materialise { event: "A".into(), message: message.clone(), certainty },
                (certainty, Whereabouts::Quarantine, Class::Conflict),
                "event A of the commit can't be materialised: no",
            ),
            (
                SyncError::Conflict { guard: "g".into(), message: named, certainty },
                (certainty, Whereabouts::Quarantine, Class::Conflict),
                "the commit's guard g no longer holds: no",
            ),
            (
                SyncError::Rejected { message: text, certainty },
                (certainty, Whereabouts::Quarantine, Class::Rejected),
                "the backend refuses the commit: no",
            ),
            (
                SyncError::Withdrawn { cause: None, certainty },
                (certainty, Whereabouts::Quarantine, Class::Rejected),
                "the commit was withdrawn",
            ),
            (
                SyncError::Withdrawn { cause: Some(message), certainty },
                (certainty, Whereabouts::Quarantine, Class::Rejected),
                "the commit was withdrawn: no",
            ),
            (
                SyncError::Closed { durable: true },
                (Certainty::Unknown, Whereabouts::Queued, Class::Closed),
                "the store was closed; the commit is stored and will be pushed after the next opening",
            ),
        ] {
            assert_eq!((error.certainty(), error.events(), error.class()), expected, "{error}");
            assert_eq!(error.to_string(), said);
        }
        let closed = SyncError::Closed { durable: false };
        let expected = (Certainty::NotApplied, Whereabouts::HandedBack, Class::Closed);
        assert_eq!((closed.certainty(), closed.events(), closed.class()), expected);
        assert!(closed.to_string().starts_with("the store was closed before the commit was stored"));
    }
}
