//! What a wait for many commits at once has to know: which are open now, and whether they still are.

use alloc::vec::Vec;

use crate::effect::Stage;
use crate::id::SessionId;
use crate::node::Node;

impl Node {
    /// For each session with a commit whose stage is open, of earlier openings too, the last such commit. A commit counts from
    /// [`Node::finish`] on.
    #[must_use]
    pub fn open_commits(&self, stage: Stage) -> Vec<(SessionId, u64)> {
        let last = |session: &crate::session::Session| session.ledger.last_open(stage);
        self.sessions.iter().filter_map(|(&id, session)| Some((id, last(session)?))).collect()
    }

    /// Whether no commit of the session up to this one is open at this stage.
    #[must_use]
    pub fn is_settled_through(&self, stage: Stage, session: SessionId, through: u64) -> bool {
        self.sessions.get(&session).and_then(|found| found.ledger.first_open(stage)).is_none_or(|first| first > through)
    }

    /// Up to which event of the global order a session's database has everything; `None` if there is no such session.
    #[must_use]
    pub fn applied(&self, session: SessionId) -> Option<u64> {
        self.sessions.get(&session).map(crate::session::Session::applied_upstream)
    }
}
