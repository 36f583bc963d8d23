//! How one receipt stands.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use countersign_core::{CommitId, LastError, Stage, Waiting, Why};

use super::{Cell, Outcome};
use crate::clock::system_time;

/// How a receipt stands, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiptStatus {
    /// The commit.
    pub id: CommitId,
    /// How the leader stage has settled; `None` if it has not.
    pub leader: Option<Outcome>,
    /// How the backend stage has settled; `None` if it has not.
    pub backend: Option<Outcome>,
    /// What the first open stage waits for; `None` if both have settled, or the store is closed.
    pub waiting: Option<Waiting>,
}

impl ReceiptStatus {
    pub(super) fn of(cell: &Arc<Cell>) -> Self {
        let status =
            |waiting| Self { id: cell.id(), leader: cell.observe(Stage::Leader), backend: cell.observe(Stage::Backend), waiting };
        match cell.store() {
            // Under the machine's lock, where what it has settled has been said already.
            Some(shared) => shared.with_node(|node, ended| {
                let mut status = status((!ended).then(|| node.waiting(cell.id())).flatten());
                if !ended && status.stage() == Some(Stage::Backend) && shared.backend.is_none() {
                    status.waiting = Some(Waiting::without_backend());
                }
                status
            }),
            None => status(None),
        }
    }

    /// The first stage that is open.
    #[must_use]
    pub fn stage(&self) -> Option<Stage> {
        match (&self.leader, &self.backend) {
            (None, _) => Some(Stage::Leader),
            (Some(_), None) => Some(Stage::Backend),
            (Some(_), Some(_)) => None,
        }
    }

    /// Why that stage is open.
    #[must_use]
    pub fn why(&self) -> Option<&Why> {
        self.waiting.as_ref().map(|waiting| &waiting.why)
    }

    /// How often what it waits for was tried without success, since it last worked.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.waiting.as_ref().map_or(0, |waiting| waiting.attempt)
    }

    /// When the store tries again by itself, by its clock; `None` if it waits for something else than time.
    #[must_use]
    pub fn next_retry(&self) -> Option<SystemTime> {
        self.waiting.as_ref()?.next.map(system_time)
    }

    /// What the last attempt met.
    #[must_use]
    pub fn last_error(&self) -> Option<&LastError> {
        self.waiting.as_ref()?.error.as_ref()
    }

    /// How many commits have to reach the open stage before this one.
    #[must_use]
    pub fn ahead(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.ahead)
    }
}

/// One line: how both stages stand, and what the open one waits for.
impl fmt::Display for ReceiptStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use super::Settled;
        for (name, outcome) in [("leader", &self.leader), ("backend", &self.backend)] {
            if name == "backend" {
                f.write_str("; ")?;
            }
            match outcome {
                None => write!(f, "{name} pending")?,
                Some(Ok(Settled::NotApplicable)) => write!(f, "{name} does not apply")?,
                Some(Ok(_)) => write!(f, "{name} ok")?,
                Some(Err(error)) => write!(f, "{name} failed: {error}")?,
            }
        }
        let Some(waiting) = &self.waiting else { return Ok(()) };
        write!(f, ": {}", waiting.why)?;
        if waiting.attempt > 0 {
            write!(f, " (attempt {})", waiting.attempt)?;
        }
        match waiting.ahead {
            0 => Ok(()),
            1 => f.write_str("; 1 commit is ahead of it"),
            n => write!(f, "; {n} commits are ahead of it"),
        }
    }
}
