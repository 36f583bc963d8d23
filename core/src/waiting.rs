//! What one commit waits for, for people and for programs that decide by it.

use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::effect::Stage;
use crate::error::{BackendDiffers, Class, StorageFailure};
use crate::id::{BackendId, CommitId};
use crate::node::Node;
use crate::time::Time;

/// What an open receipt waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Waiting {
    /// The first of its stages that is open.
    pub stage: Stage,
    /// Why.
    pub why: Why,
    /// How often what it waits for was tried without success, since it last worked.
    pub attempt: u32,
    /// When the machine tries again by itself; nothing if it waits for something else than time.
    pub next: Option<Time>,
    /// What the last of those attempts met.
    pub error: Option<LastError>,
    /// How many commits have to reach this stage before it.
    pub ahead: usize,
}

impl Waiting {
    /// A commit of an earlier opening waits for a backend, and this one has none.
    #[must_use]
    pub fn without_backend() -> Self {
        Self { stage: Stage::Backend, why: Why::NoBackend, attempt: 0, next: None, error: None, ahead: 0 }
    }
}

/// What an attempt met.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LastError {
    /// What can be done about it.
    pub class: Class,
    /// What was said.
    pub message: Arc<str>,
}

impl LastError {
    pub(crate) fn new(class: Class, message: impl Into<Arc<str>>) -> Self {
        Self { class, message: message.into() }
    }
}

/// Why a stage is open.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Why {
    /// It is being written, or waits for its turn at the disk.
    Persisting,
    /// Storage is in trouble, and is tried again.
    StorageTrouble(StorageFailure),
    /// The store's file is damaged. Does not go by itself.
    StorageBroken {
        /// What SQLite said.
        message: Arc<str>,
    },
    /// There is no network, or the backend is not reached.
    Offline {
        /// Since when.
        since: Time,
        /// What was said.
        message: Arc<str>,
    },
    /// The backend wants other credentials. Does not go by itself.
    NeedsAuth {
        /// What was said.
        message: Arc<str>,
    },
    /// The backend is another one, or lost history, and the policy is to ignore that. Does not go by itself.
    BackendIdMismatch {
        /// What was known.
        expected: BackendId,
        /// What was found.
        received: BackendId,
    },
    /// The backend's log has a gap; it is asked again.
    BackendLogBroken {
        /// The last event before it.
        at: u64,
    },
    /// What others have written is being pulled first.
    Pulling,
    /// It is being pushed, or waits for those before it to be.
    Pushing,
    /// The backend keeps refusing it without saying for ever. Does not go by itself: withdraw it, or have a policy do so.
    Stuck {
        /// What the backend says.
        message: Arc<str>,
    },
    /// It may not overtake an earlier commit.
    Fenced {
        /// That commit.
        behind: CommitId,
        /// What holds that one up, if it is stuck.
        message: Option<Arc<str>>,
    },
    /// The store was opened without the backend that it waits for. Does not go by itself: open the store with it.
    NoBackend,
    /// It is going to be withdrawn, as soon as it can be said what became of it.
    Withdrawing,
}

impl Node {
    /// What a commit waits for; `None` if both its stages have settled, or it was never known here. Looks at what is queued before it.
    #[must_use]
    pub fn waiting(&self, commit: CommitId) -> Option<Waiting> {
        let session = self.sessions.get(&commit.session)?;
        let (leader, _) = session.ledger.find(commit.ordinal)?;
        if leader {
            return Some(self.leader.waits_for_storage(commit, session.coming_before(commit.ordinal)));
        }
        Some(self.leader.waits_for_backend(commit, session.ledger.open_before(commit.ordinal)))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Persisting => f.write_str("waiting for the disk"),
            Self::StorageTrouble(failure) => write!(f, "storage is in trouble: {}", failure.message),
            Self::StorageBroken { message } => write!(f, "the store's file is damaged: {message}"),
            Self::Offline { message, .. } => write!(f, "the backend is not reached: {message}"),
            Self::NeedsAuth { message } => write!(f, "the backend wants other credentials: {message}"),
            Self::BackendIdMismatch { expected, received } => {
                write!(f, "{}", BackendDiffers { expected, received })
            }
            Self::BackendLogBroken { at } => write!(f, "the backend's log has a gap after e{at}"),
            Self::Pulling => f.write_str("pulling what others have written"),
            Self::Pushing => f.write_str("pushing"),
            Self::Stuck { message } => write!(f, "stuck: the backend keeps refusing it: {message}"),
            Self::Fenced { behind, message: None } => write!(f, "fenced behind commit {behind}"),
            Self::Fenced { behind, message: Some(message) } => {
                write!(f, "fenced behind commit {behind}, which the backend keeps refusing: {message}")
            }
            Self::NoBackend => f.write_str("the store was opened without its backend"),
            Self::Withdrawing => f.write_str("being withdrawn"),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::error::StorageClass;
    use crate::id::SessionId;

    // Verifies: R5 (whoever waits is told why, in words)
    #[test]
    fn each_reason_is_said_in_words() {
        let behind = CommitId { session: SessionId([0; 16]), ordinal: 7 };
        let message: Arc<str> = "no".into();
        let known = |received: &str| Why::BackendIdMismatch { expected: "b1".into(), received: received.into() };
        let failure = StorageFailure { class: StorageClass::Full, message: message.clone() };
        for (why, said) in [
            (Why::Persisting, "waiting for the disk"),
            (Why::StorageTrouble(failure), "storage is in trouble: no"),
            (Why::StorageBroken { message: message.clone() }, "the store's file is damaged: no"),
            (Why::Offline { since: Time::ZERO, message: message.clone() }, "the backend is not reached: no"),
            (Why::NeedsAuth { message: message.clone() }, "the backend wants other credentials: no"),
            (known("b2"), "the backend is b2, but this store has been syncing with b1"),
            (known("lost history: e3 is gone"), "the backend b1 has lost history: e3 is gone"),
            (Why::BackendLogBroken { at: 4 }, "the backend's log has a gap after e4"),
            (Why::Pulling, "pulling what others have written"),
            (Why::Pushing, "pushing"),
            (Why::Stuck { message: message.clone() }, "stuck: the backend keeps refusing it: no"),
            (Why::NoBackend, "the store was opened without its backend"),
            (Why::Withdrawing, "being withdrawn"),
        ] {
            assert_eq!(why.to_string(), said);
        }
        let fenced = Why::Fenced { behind, message: None }.to_string();
        assert_eq!(fenced, alloc::format!("fenced behind commit {behind}"));
        let refused = Why::Fenced { behind, message: Some(message) }.to_string();
        assert_eq!(refused, alloc::format!("{fenced}, which the backend keeps refusing: no"));
    }

    // Verifies: R8 (a receipt of a store that was opened without its backend waits for nothing that could come)
    #[test]
    fn without_a_backend_nothing_is_tried_again() {
        let waiting = Waiting::without_backend();
        assert_eq!((waiting.stage, waiting.why, waiting.next, waiting.ahead), (Stage::Backend, Why::NoBackend, None, 0));
        assert_eq!((waiting.attempt, waiting.error), (0, None));
    }
}
