//! What a machine still holds when it is closed.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::event::OwnEvent;
use crate::id::CommitId;
use crate::node::Node;

impl Node {
    /// The commits that are admitted and not stored, with their events, in commit order: what a close hands back.
    #[must_use]
    pub fn unpersisted(&self) -> Vec<(CommitId, Vec<OwnEvent>)> {
        let mut commits: BTreeMap<CommitId, Vec<OwnEvent>> = BTreeMap::new();
        let unsent = self.sessions.values().flat_map(|session| session.unsent());
        for own in self.leader.unstored_events().into_iter().chain(unsent.cloned()) {
            commits.entry(own.commit_id()).or_default().push(own);
        }
        commits.into_iter().collect()
    }

    /// Those of them that may be stored all the same: the outcome of their transaction is unknown, and storage has not been able to say
    /// it since. After the next opening the file says it.
    pub fn uncertain(&self) -> impl Iterator<Item = CommitId> + '_ {
        self.leader.uncertain_commits()
    }

    /// The commits whose backend stage is open, in commit order for each session.
    pub fn unresolved(&self) -> impl Iterator<Item = CommitId> + '_ {
        self.sessions.values().flat_map(|session| session.ledger.unresolved())
    }
}
