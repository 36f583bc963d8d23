//! What the receipts of a script have settled to, and that they settle as receipts must.

use std::collections::BTreeMap;

use countersign_core::{CommitId, Confirmed, OpenStages, Resolution, SessionId, Stage, SyncError};

/// How a stage has settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `leader_sync` is Ok.
    Persisted,
    /// `backend_sync` is Ok.
    Confirmed(Confirmed),
    /// `backend_sync` does not apply.
    NotApplicable,
    /// It failed.
    Failed(SyncError),
}

#[derive(Clone, Debug, Default)]
struct Receipt {
    leader: Option<Outcome>,
    backend: Option<Outcome>,
}

/// Every receipt of a script.
#[derive(Clone, Debug, Default)]
pub(super) struct Receipts {
    all: BTreeMap<CommitId, Receipt>,
    confirmed: BTreeMap<SessionId, u64>,
}

impl Receipts {
    pub(super) fn admit(&mut self, commit: CommitId) {
        self.all.insert(commit, Receipt::default());
    }

    pub(super) fn get(&self, commit: CommitId, stage: Stage) -> Option<&Outcome> {
        let receipt = self.all.get(&commit)?;
        match stage {
            Stage::Leader => receipt.leader.as_ref(),
            Stage::Backend => receipt.backend.as_ref(),
        }
    }

    pub(super) fn commits(&self) -> impl Iterator<Item = CommitId> {
        self.all.keys().copied()
    }

    /// Takes a resolution; answers which stages it settles, in order.
    pub(super) fn settle(&mut self, resolution: &Resolution) -> Vec<(CommitId, Stage, Outcome)> {
        let mut settled = Vec::new();
        match resolution {
            Resolution::Persisted { session, through } => {
                let of_session = self.all.iter().filter(|(id, _)| id.session == *session && id.ordinal <= *through);
                let open = of_session.filter(|(_, receipt)| receipt.leader.is_none()).map(|(id, _)| *id);
                settled.extend(open.map(|id| (id, Stage::Leader, Outcome::Persisted)));
            }
            Resolution::Confirmed { session, commits } => {
                for confirmed in commits {
                    let id = CommitId { session: *session, ordinal: confirmed.commit };
                    settled.push((id, Stage::Backend, Outcome::Confirmed(confirmed.clone())));
                    let last = self.confirmed.insert(*session, confirmed.commit);
                    assert!(last < Some(confirmed.commit), "{id} is confirmed after {last:?}: out of order");
                }
            }
            Resolution::NotApplicable { commit } => settled.push((*commit, Stage::Backend, Outcome::NotApplicable)),
            Resolution::Failed { commit, stage, error } => settled.push((*commit, *stage, Outcome::Failed(error.clone()))),
            other => panic!("a new resolution: {other:?}"),
        }
        for (commit, stage, outcome) in &settled {
            self.set(*commit, *stage, outcome.clone());
        }
        settled
    }

    fn set(&mut self, commit: CommitId, stage: Stage, outcome: Outcome) {
        let receipt = self.all.get_mut(&commit).expect("only admitted commits settle");
        let slot = match stage {
            Stage::Leader => &mut receipt.leader,
            Stage::Backend => &mut receipt.backend,
        };
        assert_eq!(*slot, None, "the {stage:?} stage of {commit} settles twice, now with {outcome:?}");
        *slot = Some(outcome);
        let backend_ok = matches!(receipt.backend, Some(Outcome::Confirmed(_) | Outcome::NotApplicable));
        assert!(!backend_ok || receipt.leader.is_some(), "the backend stage of {commit} is ok before the leader stage");
    }

    /// After a crash: what only this process knew is open again, and what the machine has open must be open here.
    pub(super) fn reopen(&mut self, commit: CommitId, open: Option<OpenStages>) {
        let Some(receipt) = self.all.get_mut(&commit) else { return };
        if open.is_some_and(|open| open.backend) {
            let ok = receipt.backend.as_ref().is_none_or(|outcome| matches!(outcome, Outcome::Confirmed(_)));
            assert!(ok, "{commit} had settled with {:?} and is found open", receipt.backend);
            receipt.backend = None;
            let confirmed = self.confirmed.entry(commit.session).or_default();
            *confirmed = (*confirmed).min(commit.ordinal - 1);
        }
    }

    /// The file is an older one: failures that it does not know were never said.
    pub(super) fn set_back(&mut self, knows: impl Fn(CommitId) -> bool) {
        for (&commit, receipt) in &mut self.all {
            receipt.backend.take_if(|outcome| matches!(outcome, Outcome::Failed(_)) && !knows(commit));
        }
    }

    /// The process died before the commit was stored: there is no receipt any more.
    pub(super) fn lost(&mut self, commit: CommitId) {
        let lost = self.all.remove(&commit);
        let said = lost.is_some_and(|receipt| receipt.leader == Some(Outcome::Persisted));
        assert!(!said, "{commit} was said to be stored, and is gone");
    }
}
