//! What a script can look at.

use countersign_core::{
    CommitId, Confirmed, Input, Node, Output, PulledEvent, SessionId, Stage, Status, SyncError, Time, Waiting,
};

use super::session_db::SessionDb;
use super::{Outcome, SEED, Script, render, session};

impl Script {
    /// Where the machine stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.node.status()
    }

    /// Whether a session can take a commit, or only has to answer first.
    #[must_use]
    pub fn is_ready(&self, session: SessionId) -> bool {
        self.node.is_ready(session)
    }

    /// What a commit waits for, if its receipt is open.
    #[must_use]
    pub fn waiting(&self, commit: CommitId) -> Option<Waiting> {
        self.node.waiting(commit)
    }

    /// How `leader_sync` has settled, if it has.
    #[must_use]
    pub fn leader(&self, commit: CommitId) -> Option<&Outcome> {
        self.receipts.get(commit, Stage::Leader)
    }

    /// How `backend_sync` has settled, if it has.
    #[must_use]
    pub fn backend(&self, commit: CommitId) -> Option<&Outcome> {
        self.receipts.get(commit, Stage::Backend)
    }

    /// Whether `leader_sync` is Ok.
    #[must_use]
    pub fn persisted(&self, commit: CommitId) -> bool {
        self.leader(commit) == Some(&Outcome::Persisted)
    }

    /// Whether `backend_sync` is known not to apply.
    #[must_use]
    pub fn not_applicable(&self, commit: CommitId) -> bool {
        self.backend(commit) == Some(&Outcome::NotApplicable)
    }

    /// Where the backend has confirmed the commit; nothing if it has not.
    #[must_use]
    pub fn positions(&self, commit: CommitId) -> Vec<u64> {
        self.confirmed(commit).map(|confirmed| confirmed.positions.to_vec()).unwrap_or_default()
    }

    /// How often the commit, confirmed by now, was renumbered.
    #[must_use]
    pub fn rebases(&self, commit: CommitId) -> u32 {
        self.confirmed(commit).unwrap_or_else(|| panic!("{}\n{commit} is not confirmed", self.text)).rebases
    }

    fn confirmed(&self, commit: CommitId) -> Option<&Confirmed> {
        match self.backend(commit) {
            Some(Outcome::Confirmed(confirmed)) => Some(confirmed),
            _ => None,
        }
    }

    /// How `backend_sync` has failed.
    #[must_use]
    pub fn failed(&self, commit: CommitId) -> SyncError {
        self.failure(commit, Stage::Backend)
    }

    /// How `leader_sync` has failed.
    #[must_use]
    pub fn leader_failed(&self, commit: CommitId) -> SyncError {
        self.failure(commit, Stage::Leader)
    }

    fn failure(&self, commit: CommitId, stage: Stage) -> SyncError {
        match self.receipts.get(commit, stage) {
            Some(Outcome::Failed(error)) => error.clone(),
            other => panic!("{}\nthe {stage:?} stage of {commit} has not failed, but is {other:?}", self.text),
        }
    }

    /// The log as stored: `["X'@e1", "A@e2r1"]`.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.disk.log.iter().map(render::entry).collect()
    }

    /// The names of the events in quarantine.
    #[must_use]
    pub fn quarantine(&self) -> Vec<String> {
        self.disk.quarantine.iter().flat_map(|held| held.events.iter().map(|own| own.event.name.to_string())).collect()
    }

    /// The confirmed entries in the store that have no effect.
    #[must_use]
    pub fn skipped(&self) -> Vec<String> {
        self.disk.skipped.iter().map(render::skip).collect()
    }

    /// The events in a session's database.
    #[must_use]
    pub fn database(&self, n: u8) -> Vec<&str> {
        self.sessions.get(&session(n)).map(SessionDb::names).unwrap_or_default()
    }

    /// The number of the last transaction on disk.
    #[must_use]
    pub fn last_txn(&self) -> u64 {
        self.disk.number
    }

    /// The names in the backend's log, in order.
    #[must_use]
    pub fn backend_log(&self) -> Vec<String> {
        self.backend.log.iter().map(|event: &PulledEvent| event.event.name.to_string()).collect()
    }

    /// The transcript so far.
    #[must_use]
    pub fn so_far(&self) -> &str {
        &self.text
    }

    /// Every input so far, for a replay. It belongs to the last process if there was more than one.
    #[must_use]
    pub fn recording(&self) -> &[(Time, Input)] {
        &self.inputs
    }

    /// Every output so far of the last process.
    #[must_use]
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The commits whose failure is stored.
    #[must_use]
    pub fn stored_failures(&self) -> Vec<CommitId> {
        self.disk.failed.keys().copied().collect()
    }

    /// The machine.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// A machine as it was when the recording began, if there was one process only.
    #[must_use]
    pub fn fresh_node(&self) -> Node {
        Node::new(self.config.clone(), self.past[&0].boot(self.config.backend), SEED).expect("an empty store is consistent")
    }
}
