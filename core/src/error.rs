//! Failures that a receipt, or a commit, can end in. Each says what is certain, and where the events are.

use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{BackendId, CommitId};
use crate::seq::Pos;

/// What is certain about the events of a failed commit, with respect to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Why a push was not taken. The family keeps the names of LiveStore's proposal (livestore#723).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
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
    #[error("the backend is {received}, but this store has been syncing with {expected}")]
    BackendIdMismatch {
        /// The identity that this store knows, or what of its history is missing.
        expected: BackendId,
        /// What the backend says.
        received: BackendId,
    },
}

/// How a stage of a receipt fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
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
        else { "the store was closed before the commit was stored; its events are in the report of close" })]
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

/// Why storage could not apply one commit. The machine turns it into a [`SyncError`] with its certainty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Poison {
    /// A materialiser, its SQL or a constraint refused an event.
    Materialise {
        /// The name of the event that failed.
        event: Arc<str>,
        /// What was said.
        message: Arc<str>,
    },
    /// A guard no longer holds.
    Conflict {
        /// The guard's name.
        guard: Arc<str>,
        /// What was said.
        message: Arc<str>,
    },
}

/// Why a commit was not admitted. Nothing has happened anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A limit of [`crate::Config`] is reached.
    #[error("{limit} are waiting, the limit is {max}: {}", .limit.advice())]
    Full {
        /// Which limit.
        limit: Limit,
        /// Its value.
        max: u64,
    },
    /// What waits for the backend has waited for too long, by [`crate::Config::pending_age`].
    #[error(
        "the oldest commit for the backend has waited for {} s, the limit is {} s: find out why (the status says it), or raise the limit; \
         nothing is lost, the commit was not taken",
        .waited.as_secs(), .max.as_secs()
    )]
    PendingTooLong {
        /// For how long.
        waited: Duration,
        /// The limit.
        max: Duration,
    },
    /// One event is larger than a backend takes.
    #[error(
        "event {index} ({name}) takes {bytes} bytes encoded, the limit is {max}: split it, or keep the large part elsewhere and refer to it"
    )]
    EventTooLarge {
        /// Its place in the commit, from 0.
        index: usize,
        /// Its name.
        name: Arc<str>,
        /// Its size, in bytes, encoded.
        bytes: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The commit is larger than one transaction.
    #[error(
        "the commit has {events} events and {bytes} bytes, the limits are {max_events} and {max_bytes}: split it into several commits"
    )]
    CommitTooLarge {
        /// Its events.
        events: usize,
        /// Its size, in bytes, encoded.
        bytes: usize,
        /// The limit, in events.
        max_events: usize,
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// The log has reached the last number that a JavaScript peer reads back exactly.
    #[error("the log is full: sequence numbers end at e{}", crate::seq::GLOBAL_MAX)]
    OutOfNumbers,
    /// The session is not open.
    #[error("the session is closed: open a new one")]
    SessionClosed,
    /// The session has not been seeded yet, or is being seeded anew.
    #[error("the session is being seeded: try again when it is ready")]
    SessionNotReady,
    /// The session already has a commit between prepare and finish.
    #[error("another commit of the session is being applied: finish it first")]
    SessionBusy,
    /// The store is shutting down.
    #[error("the store is closing: no more commits are taken")]
    Closing,
    /// The file can't be written any more.
    #[error("the store's file is damaged and takes no more commits: {message}")]
    StorageBroken {
        /// What SQLite said.
        message: Arc<str>,
    },
}

/// A limit that a commit can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Limit {
    /// Events waiting for the backend.
    PendingEvents,
    /// Bytes waiting for the backend.
    PendingBytes,
    /// Events waiting for the disk.
    UnpersistedEvents,
    /// Bytes waiting for the disk.
    UnpersistedBytes,
    /// Client-only events behind unconfirmed ones.
    PendingClientOnly,
}

impl Limit {
    fn advice(self) -> &'static str {
        match self {
            Self::PendingEvents | Self::PendingBytes => {
                "wait for the backend to confirm some, or raise the limit; nothing is lost, the commit was not taken"
            }
            Self::UnpersistedEvents | Self::UnpersistedBytes => {
                "wait for the disk (leader_sync of an earlier commit); nothing is lost, the commit was not taken"
            }
            Self::PendingClientOnly => {
                "wait for the backend to confirm the synced events before them; nothing is lost, the commit was not taken"
            }
        }
    }
}

impl core::fmt::Display for Limit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::PendingEvents => "events for the backend",
            Self::PendingBytes => "bytes for the backend",
            Self::UnpersistedEvents => "events for the disk",
            Self::UnpersistedBytes => "bytes for the disk",
            Self::PendingClientOnly => "client-only events behind unconfirmed ones",
        })
    }
}

/// How a backend answers when it does not do what it was asked: in classes, not in texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// What storage met, if not a commit that can't be applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageFailure {
    /// What kind of trouble.
    pub class: StorageClass,
    /// What SQLite said.
    pub message: Arc<str>,
}

/// Kinds of trouble with storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StorageClass {
    /// The disk, or the file's page limit, is full.
    Full,
    /// Reading, writing or syncing failed.
    Io,
    /// Another process holds the file.
    Busy,
    /// Out of memory.
    Memory,
    /// The file is damaged, or no database. Final.
    Corrupt,
    /// Anything else.
    Other,
}

impl Quarantined {
    /// What had to hold for the commit, if it had a guard and its first synced event is here.
    #[must_use]
    pub fn guard(&self) -> Option<&Arc<crate::guard::Guard>> {
        self.events.iter().find_map(|own| own.guard.as_ref())
    }
}

/// What a failed or withdrawn commit leaves in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The commit.
    pub commit: CommitId,
    /// Its events that were not confirmed.
    pub events: alloc::vec::Vec<crate::event::OwnEvent>,
    /// How its backend stage failed.
    pub error: SyncError,
}
