//! What the process that has a store open says of its syncing, for those who look from outside.
//!
//! It stands in the lock file, behind the process id, and so means something only as long as somebody holds the lock.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use countersign_core::{BackendDiffers, CommitId, Status, SyncState};
use serde::{Deserialize, Serialize};

/// What to do about a backend that differs from the one that is known.
pub(crate) const ANOTHER_BACKEND: &str = "nothing is pushed or pulled: bring that one back, or open the store with the policy to begin anew with this one (IdentityPolicy::Reset)";

/// How the syncing of a store stands, as the process has said that has it open. Said anew whenever it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Syncing {
    /// Whether the backend is reached, or what stands in the way.
    pub sync: SyncState,
    /// Failed tries since one last worked, of pushes or of pulls, whichever has failed more often.
    pub attempt: u32,
    /// What the last failed push or pull met that nobody has called an outage.
    pub error: Option<Arc<str>>,
    /// The commit that the backend keeps refusing, and what it says.
    pub stuck: Option<(CommitId, Arc<str>)>,
    /// When this was said, in milliseconds since 1970.
    at: u64,
    /// When something is tried again, in milliseconds since 1970.
    next: Option<u64>,
}

impl Syncing {
    pub(crate) fn of(status: &Status) -> Self {
        let at = millis(SystemTime::now());
        let Status { sync, push_attempt, pull_attempt, push_error, pull_error, stuck, next, .. } = status;
        let attempt = *push_attempt.max(pull_attempt);
        let next =
            next.filter(|_| attempt > 0).map(|(wait, _)| at.saturating_add(wait.as_millis().try_into().unwrap_or(u64::MAX)));
        let error = push_error.clone().or_else(|| pull_error.clone());
        Self { sync: sync.clone(), attempt, error, stuck: stuck.clone(), at, next }
    }

    /// How long until something is tried again; zero if it is being tried now, nothing if nothing has to be.
    #[must_use]
    pub fn retry_in(&self) -> Option<Duration> {
        let now = millis(SystemTime::now());
        self.next.map(|next| Duration::from_millis(next.saturating_sub(now)))
    }

    /// For programs: `connected`, `offline`, `needs_auth`, `another_backend`, `log_broken`, `storage_broken` or `local`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.sync {
            SyncState::NoBackend => "local",
            SyncState::Offline { .. } => "offline",
            SyncState::NeedsAuth { .. } => "needs_auth",
            SyncState::BackendIdMismatch { .. } => "another_backend",
            SyncState::BackendLogBroken { .. } => "log_broken",
            SyncState::StorageBroken { .. } => "storage_broken",
            _ => "connected",
        }
    }

    /// Whether there is nothing to say but that all is well.
    pub(crate) fn is_quiet(&self) -> bool {
        self.name() == "connected" && self.attempt == 0 && self.error.is_none() && self.stuck.is_none()
    }

    /// Whether the same is said, at whatever time.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let said = |one: &Self| (one.name(), one.attempt, one.error.clone(), one.stuck.clone(), one.reason());
        said(self) == said(other)
    }

    /// Why it waits, in words.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let stands_in_the_way = match &self.sync {
            SyncState::Offline { message, .. } | SyncState::NeedsAuth { message } | SyncState::StorageBroken { message } => {
                Some(message.to_string())
            }
            SyncState::BackendIdMismatch { expected, received, .. } => {
                Some(format!("{}; {ANOTHER_BACKEND}", BackendDiffers { expected, received }))
            }
            SyncState::BackendLogBroken { at } => Some(format!("the backend's log has a gap after e{at}")),
            _ => None,
        };
        let stuck = || self.stuck.as_ref().map(|(commit, why)| format!("the backend keeps refusing commit {commit}: {why}"));
        stands_in_the_way.or_else(stuck).or_else(|| self.error.as_deref().map(str::to_owned))
    }
}

impl fmt::Display for Syncing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.name() {
            "needs_auth" => "paused until there are other credentials",
            "another_backend" => "stopped",
            "log_broken" => "paused",
            "storage_broken" => "stopped, the store's file is damaged",
            other => other,
        })?;
        if let Some(reason) = self.reason() {
            write!(f, ": {reason}")?;
        }
        if self.attempt > 0 {
            write!(f, "; attempt {} has failed", self.attempt)?;
        }
        match self.retry_in() {
            Some(wait) if wait.is_zero() => f.write_str(", it is being tried again"),
            Some(wait) => write!(f, ", tried again in {:.1} s", wait.as_secs_f64()),
            None => Ok(()),
        }
    }
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
