//! What holds of a leader at any time, beyond what holds of each of its parts.

use alloc::collections::BTreeSet;

use crate::ensure::ensure;
use crate::error::Certainty;
use crate::id::{CommitId, EffectId, SessionId};

use super::{Leader, may_be_found};

impl Leader {
    /// What [`crate::Node::check`] asks for.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        self.tail.check()?;
        self.check_counts()?;
        self.persisting.check(&self.tail)?;
        self.pushing.check(&self.tail)?;
        self.pulling.check(&self.tail)?;
        self.policy.check(self.now)?;
        self.ages.check(&self.tail)?;
        self.check_commits()?;
        ensure!(
            !(self.persisting.held && self.pulling.caught_up()),
            "what is held is judged once all of the backend's log is here"
        );
        ensure!(self.pushing.stream_of_flight() <= self.pulling.stream(), "a push knows no stream that is to come");
        ensure!(self.pushing.stuck_since() <= self.now, "nothing has been stuck since a time to come");
        ensure!(!self.pulling.caught_up() || self.policy.mismatch.is_none(), "nobody is caught up with another backend");
        ensure!(self.policy.mismatch.is_none() || self.pulling.is_fresh(), "after a mismatch the backend is asked anew");
        Ok(())
    }

    fn check_counts(&self) -> Result<(), &'static str> {
        let (mut synced, mut bytes) = (0, 0);
        for event in self.tail.pending().iter().filter(|event| !event.own.event.client_only) {
            synced += 1;
            bytes += event.own.held_bytes();
        }
        let client_only = self.tail.pending().len() - synced;
        ensure!(synced == self.pending_synced, "the count of pending synced events is right");
        ensure!(client_only == self.pending_client_only, "the count of pending client-only events is right");
        ensure!(bytes == self.pending_bytes, "the bytes of pending events are counted right");
        Ok(())
    }

    /// What is kept of single commits.
    fn check_commits(&self) -> Result<(), &'static str> {
        for quarantined in &self.uncertain {
            ensure!(quarantined.error.certainty() == Certainty::Unknown, "what is certain is not looked for at the backend");
            ensure!(may_be_found(quarantined), "what is looked for at the backend may be there");
        }
        for positions in self.partly.values() {
            ensure!(!positions.is_empty(), "of a commit that is partly accepted something is");
            ensure!(positions.is_sorted_by(|a, b| a < b), "a commit's accepted places ascend");
            ensure!(positions.iter().all(|&at| at <= self.tail.acknowledged()), "what is accepted of a commit is acknowledged");
        }
        // Mostly there are none of these, and nothing has to be looked through.
        if !self.tail.has_backend() || self.partly.is_empty() && self.failed.is_empty() && self.withdrawals.is_empty() {
            return Ok(());
        }
        let pending: BTreeSet<CommitId> = self.tail.pending().iter().map(|event| event.own.commit_id()).collect();
        ensure!(
            self.partly.keys().all(|commit| pending.contains(commit)),
            "the rest of a commit that is partly accepted is pending"
        );
        ensure!(self.failed.is_subset(&pending), "a commit that has failed and is remembered is queued");
        let is_coming = |commit: &CommitId| self.admitted.get(&commit.session).is_some_and(|&last| commit.ordinal > last);
        let refers = self.withdrawals.keys().all(|commit| pending.contains(commit) || is_coming(commit));
        ensure!(refers || !self.has_looked(), "a commit that is to be withdrawn is pending, or on its way here");
        Ok(())
    }

    /// The last commit admitted from each open session, for [`crate::Node::check`].
    pub(crate) fn admitted(&self) -> impl Iterator<Item = (SessionId, u64)> + '_ {
        self.admitted.iter().map(|(&session, &last)| (session, last))
    }

    /// The effects whose answers are waited for, for [`crate::Node::check`].
    pub(crate) fn awaited(&self) -> impl Iterator<Item = EffectId> + '_ {
        let storage = self.persisting.flights.iter().filter_map(|flight| flight.effect);
        storage.chain(self.pushing.in_flight_id()).chain(self.pulling.outstanding_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::Boot;
    use crate::config::Config;
    use crate::node::Node;

    // Verifies: R1, V5 (what is to be withdrawn is remembered no longer than there is something to withdraw)
    #[test]
    fn a_withdrawal_of_nothing_is_seen_once_it_has_been_looked_at() {
        let config = Config::default();
        let mut leader = Node::new(config.clone(), Boot::of_new_file("me".into()), 1).unwrap().leader;
        let session = SessionId([1; 16]);
        leader.session_opened(session);
        leader.ask_to_withdraw(CommitId { session, ordinal: 1 }, true);
        leader.apply_policies(&config);
        assert_eq!(leader.check(), Ok(()), "the commit is on its way here");
        leader.admitted.clear();
        assert_eq!(leader.check(), Err("a commit that is to be withdrawn is pending, or on its way here"));
        leader.look_at_withdrawals();
        assert_eq!(leader.check(), Ok(()), "it is going to be looked at");
        leader.apply_policies(&config);
        assert!(leader.withdrawals.is_empty());
    }
}
