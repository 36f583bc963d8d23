//! The stages of a receipt, as they are said.

use std::fmt;
use std::time::Instant;

use countersign::core::Pos;
use countersign::{Certainty, Class, CommitId, Outcome, Settled, SyncError, SyncStage, Waited, Whereabouts};
use serde::Serialize;

use crate::exit::Exit;
use crate::output::Paint;

/// A receipt, as it is said.
#[derive(Debug, Serialize)]
pub(crate) struct ReceiptView {
    pub(crate) id: CommitId,
    pub(crate) leader_sync: StageView,
    pub(crate) backend_sync: StageView,
}

/// A stage, as it is said.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum StageView {
    /// Reached.
    Ok {
        /// The final sequence number of each event that the backend has.
        #[serde(skip_serializing_if = "Option::is_none")]
        seqs: Option<Vec<Pos>>,
        /// How often the commit was renumbered on the way.
        #[serde(skip_serializing_if = "Option::is_none")]
        rebases: Option<u32>,
    },
    /// Open.
    Pending {
        /// What it waits for.
        reason: String,
    },
    /// Failed.
    Failed(FailureView),
    /// Nothing to wait for.
    NotApplicable,
}

/// How a stage has failed.
#[derive(Debug, Serialize)]
pub(crate) struct FailureView {
    reason: String,
    class: &'static str,
    certainty: &'static str,
    /// How many of the events the backend has all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed: Option<u32>,
    events: &'static str,
    /// The error as the library has it.
    error: SyncError,
}

impl ReceiptView {
    /// Whether a stage has been reached, and if not, what to exit with.
    pub(crate) fn exit(&self, awaited: crate::args::Wait) -> Exit {
        match awaited {
            crate::args::Wait::None => Exit::Reached,
            crate::args::Wait::Leader => self.leader_sync.exit(),
            crate::args::Wait::Backend => self.leader_sync.exit().max(self.backend_sync.exit()),
        }
    }

    /// For people: the commit, and a line for each stage.
    pub(crate) fn text(&self, paint: Paint) -> String {
        let (id, leader, backend) = (paint.bold(self.id), self.leader_sync.text(paint), self.backend_sync.text(paint));
        format!("{id}\n  leader   {leader}\n  backend  {backend}")
    }
}

impl StageView {
    /// The stage as it is now.
    pub(crate) fn peek(stage: &SyncStage) -> Self {
        Self::at(stage, Instant::now())
    }

    /// The stage when it has settled, or when the time is over.
    pub(crate) fn at(stage: &SyncStage, deadline: Instant) -> Self {
        match stage.wait_timeout(deadline.saturating_duration_since(Instant::now())) {
            Waited::Settled(outcome) => outcome.into(),
            Waited::Pending(waiting) => Self::Pending { reason: waiting.to_string() },
        }
    }

    /// The stage as a file has it.
    pub(crate) fn found(outcome: Option<Outcome>, reason: impl FnOnce() -> String) -> Self {
        outcome.map_or_else(|| Self::Pending { reason: reason() }, Self::from)
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Ok { .. } | Self::NotApplicable => Exit::Reached,
            Self::Pending { .. } => Exit::Pending,
            Self::Failed(_) => Exit::Failed,
        }
    }

    pub(crate) fn text(&self, paint: Paint) -> String {
        match self {
            Self::Ok { seqs: None, .. } => paint.good("ok").to_string(),
            Self::Ok { seqs: Some(seqs), rebases } => {
                let rebased = match rebases {
                    None | Some(0) => String::new(),
                    Some(1) => ", renumbered once on the way".to_owned(),
                    Some(n) => format!(", renumbered {n} times on the way"),
                };
                format!("{} at {}{rebased}", paint.good("ok"), Places(seqs))
            }
            Self::Pending { reason } => format!("{}: {reason}", paint.waiting("pending")),
            Self::Failed(failure) => failure.text(paint),
            Self::NotApplicable => paint.dim("not applicable").to_string(),
        }
    }
}

impl FailureView {
    /// For people, on one line.
    pub(crate) fn text(&self, paint: Paint) -> String {
        let Self { reason, certainty, events, .. } = self;
        format!("{}: {reason} ({})", paint.bad("failed"), explained(certainty, events))
    }
}

impl From<Outcome> for StageView {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Ok(Settled::Confirmed(confirmation)) => Self::Ok {
                seqs: Some(confirmation.positions.iter().copied().map(Pos::synced).collect()),
                rebases: Some(confirmation.rebases),
            },
            Ok(Settled::NotApplicable) => Self::NotApplicable,
            Ok(_) => Self::Ok { seqs: None, rebases: None },
            Err(error) => Self::Failed(error.into()),
        }
    }
}

impl From<SyncError> for FailureView {
    fn from(error: SyncError) -> Self {
        let class = match error.class() {
            Class::Retryable => "retryable",
            Class::Auth => "auth",
            Class::Rejected => "rejected",
            Class::Conflict => "conflict",
            Class::Closed => "closed",
            _ => "defect",
        };
        let (certainty, confirmed) = match error.certainty() {
            Certainty::NotApplied => ("not_applied", None),
            Certainty::Partial { confirmed } => ("partial", Some(confirmed)),
            _ => ("unknown", None),
        };
        let events = match error.events() {
            Whereabouts::Queued => "queued",
            Whereabouts::Quarantine => "quarantine",
            _ => "handed_back",
        };
        Self { reason: error.to_string(), class, certainty, confirmed, events, error }
    }
}

fn explained(certainty: &str, events: &str) -> String {
    let certainty = match certainty {
        "not_applied" => "the backend does not have it",
        "partial" => "the backend has a part of it",
        _ => "the backend may have it",
    };
    let events = match events {
        "queued" => "it stays in the queue",
        "quarantine" => "its events are in quarantine",
        _ => "its events were handed back",
    };
    format!("{certainty}; {events}")
}

/// Places, the neighbours among them together.
struct Places<'a>(&'a [Pos]);

impl fmt::Display for Places<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut separator = "";
        while let [first, ..] = rest {
            let run = rest.iter().enumerate().take_while(|(i, pos)| pos.global == first.global + *i as u64).count().max(1);
            match run {
                1 => write!(f, "{separator}{first}")?,
                _ => write!(f, "{separator}{first}..{}", rest.get(run - 1).unwrap_or(first))?,
            }
            separator = ", ";
            rest = rest.get(run..).unwrap_or_default();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_said_together() {
        let places = |all: &[u64]| Places(&all.iter().copied().map(Pos::synced).collect::<Vec<_>>()).to_string();
        assert_eq!(places(&[3]), "e3");
        assert_eq!(places(&[3, 4, 5, 9, 11, 12]), "e3..e5, e9, e11..e12");
    }
}
