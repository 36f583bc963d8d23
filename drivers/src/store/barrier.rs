//! Waiting for everything that was committed so far.

use std::collections::BTreeMap;

use countersign_core::{CommitId, Node, SessionId, Stage, SyncError};

use super::Store;
use crate::receipt::{Endless, Look, Milestone, Watching};

/// Why not everything that a barrier covers has come there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BarrierError {
    /// Everything has settled, and these commits have failed.
    #[error("{} of the commits have failed, {} first: {error}", .commits.len(), .commits[0])]
    Failed {
        /// Those that have failed, as they did. There is at least one.
        commits: Vec<CommitId>,
        /// How the first of them has failed. The receipts of the others say how they have.
        error: SyncError,
    },
    /// The store was closed first. What was persisted goes on after the next opening.
    #[error("the store was closed before everything had come there; what was persisted goes on after the next opening")]
    Closed,
    /// The wait comes from inside a query or a materialiser.
    #[error("a wait inside a query or a materialiser, or on a store's own thread, would hold up what it waits for: wait outside")]
    Inside,
}

impl Endless for BarrierError {
    fn inside() -> Self {
        Self::Inside
    }
}

impl Store {
    /// Waits for a stage of everything that was admitted before this call: by every session of the store, closed ones and those of
    /// earlier openings too.
    ///
    /// A commit is admitted when `commit` returns, so everything whose `commit` has returned before this call, on whichever thread, is
    /// covered. One whose `commit` is still running on another thread is covered or not; whichever it is, the barrier neither waits for
    /// later ones nor skips an earlier one of the same session. A commit whose stage has settled before the call, failed ones
    /// included, is not covered: there is nothing left to wait for.
    ///
    /// `Ok` if the stage of each covered commit has settled as `Ok` or `NotApplicable`. Waiting changes nothing, as with a stage; what
    /// keeps a stage open without end (see [`crate::SyncStage`]) keeps the barrier.
    pub fn barrier(&self, stage: Stage) -> Milestone<BarrierError> {
        self.shared().with(|hub, _| {
            if hub.ended {
                return Milestone::ended(Err(BarrierError::Closed));
            }
            let open = hub.node.open_commits(stage);
            let covered: BTreeMap<_, _> = open.iter().copied().collect();
            hub.goals.seek(Barrier { stage, covered, open, failed: Vec::new(), first: None }, &hub.node)
        })
    }
}

struct Barrier {
    stage: Stage,
    /// The last commit of each session that is covered.
    covered: BTreeMap<SessionId, u64>,
    /// Those of which some are open.
    open: Vec<(SessionId, u64)>,
    failed: Vec<CommitId>,
    first: Option<SyncError>,
}

impl Watching for Barrier {
    type Error = BarrierError;

    fn failed(&mut self, commit: CommitId, stage: Stage, error: &SyncError) {
        if stage == self.stage && self.covered.get(&commit.session).is_some_and(|&last| commit.ordinal <= last) {
            self.failed.push(commit);
            self.first.get_or_insert_with(|| error.clone());
        }
    }

    fn look(&mut self, node: &Node) -> Look<BarrierError> {
        self.open.retain(|&(session, last)| !node.is_settled_through(self.stage, session, last));
        if !self.open.is_empty() {
            return Look::NotYet;
        }
        Look::Answer(match self.first.take() {
            None => Ok(()),
            Some(error) => Err(BarrierError::Failed { commits: std::mem::take(&mut self.failed), error }),
        })
    }

    fn closed(&self) -> BarrierError {
        BarrierError::Closed
    }
}
