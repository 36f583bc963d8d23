//! What holds of persisting at any time.

use crate::ensure::ensure;

use super::super::tail::Tail;
use super::Persisting;

impl Persisting {
    /// What [`crate::Node::check`] asks for.
    pub(in super::super) fn check(&self, tail: &Tail) -> Result<(), &'static str> {
        let count = |events: usize, bytes: usize| (events, bytes) == (self.events, self.bytes);
        let (events, bytes) = self
            .admissions
            .iter()
            .fold((0, 0), |(events, bytes), admission| (events + admission.events, bytes + admission.bytes));
        ensure!(count(events, bytes), "unpersisted events and bytes are counted right");
        let mut before = (0, 0);
        for admission in &self.admissions {
            let end = (admission.settled_end, admission.pending_end);
            ensure!(end.0 <= tail.settled_end() && end.1 <= tail.pending_end(), "admitted commits end within the tail");
            ensure!(before.0 <= end.0 && before.1 <= end.1, "admitted commits end one after the other");
            before = end;
        }
        let admitted_end = self.admissions_first + self.admissions.len() as u64;
        let decided_end = self.decisions_first + self.decisions.len() as u64;
        ensure!(self.flights.len() <= 2, "at most two transactions are under way");
        ensure!(tail.views() == self.flights.len() + 1, "there is a view for each transaction under way");
        let mut covered = (self.admissions_first, self.decisions_first);
        for (flight, number) in self.flights.iter().zip(self.number + 1..) {
            ensure!(flight.txn.number == number, "each transaction stands on the one before it");
            ensure!(flight.effect.is_some() || flight.uncertain, "only what may have been committed is asked for again");
            ensure!(
                covered.0 <= flight.admissions && covered.1 <= flight.decisions,
                "a transaction covers what the one before did"
            );
            covered = (flight.admissions, flight.decisions);
        }
        ensure!(covered.0 <= admitted_end, "transactions cover commits that are admitted");
        ensure!(covered.1 <= decided_end, "transactions cover decisions that were made");
        ensure!(
            !self.judging || tail.planned().beyond || self.flights.iter().any(|flight| flight.judges),
            "what is to be judged is written anew"
        );
        ensure!(self.retry_until <= admitted_end, "what was poisoned is admitted");
        ensure!(!self.tries_again() || self.flights.len() <= 1, "poison is looked for in one transaction at a time");
        ensure!(self.retry.is_sound(), "nothing waits that has not failed");
        ensure!(self.broken.is_none() || self.retry.at.is_none(), "a damaged file is not tried again");
        ensure!(self.acknowledged.is_some() || tail.acknowledged_is_stored(), "it is known since when an acknowledgement waits");
        Ok(())
    }
}
