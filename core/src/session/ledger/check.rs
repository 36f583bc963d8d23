//! What holds of a ledger at any time.

use crate::ensure::ensure;

use super::{Ledger, State};

impl Ledger {
    /// What [`crate::Node::check`] asks for.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let mut before = 0;
        for open in &self.open {
            ensure!(before < open.ordinal, "open receipts are in commit order");
            before = open.ordinal;
            let stored = open.ordinal <= self.persisted;
            match &open.state {
                State::Waiting { synced } => ensure!(*synced || !stored, "what the backend stage does not apply to has settled"),
                State::Confirmed(confirmed) => ensure!(confirmed.commit == open.ordinal, "a confirmation stands with its commit"),
                State::Settled => {}
            }
        }
        ensure!(before <= self.last, "open receipts are of commits that were made");
        ensure!(self.persisted <= self.last, "only commits that were made are stored");
        ensure!(
            self.failed_unstored.first().is_none_or(|&first| first > self.persisted),
            "the mark passes what failed before it"
        );
        ensure!(self.failed_unstored.last().is_none_or(|&last| last <= self.last), "only commits that were made fail");
        ensure!(self.empty.iter().is_sorted_by(|a, b| a < b), "commits without events are told of in commit order");
        ensure!(self.empty.front().is_none_or(|&first| first > self.persisted), "what is not told of is not stored");
        ensure!(self.empty.back().is_none_or(|&last| last <= self.last), "only commits that were made are told of");
        ensure!(self.confirmed.is_empty(), "whatever is confirmed in order has been said");
        let settles = |ordinal| ordinal <= self.persisted || self.failed_unstored.contains(&ordinal);
        let front = self.open.front().filter(|front| settles(front.ordinal));
        ensure!(front.is_none_or(|front| matches!(front.state, State::Waiting { .. })), "what has settled is let go of (R7)");
        Ok(())
    }
}
