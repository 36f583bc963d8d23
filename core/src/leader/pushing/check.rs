//! What holds of pushing at any time.

use crate::ensure::ensure;
use crate::time::Time;

use super::super::tail::Tail;
use super::{InFlight, Pushing};

impl Pushing {
    /// What [`crate::Node::check`] asks for.
    pub(in super::super) fn check(&self, tail: &Tail) -> Result<(), &'static str> {
        if let Some(flight) = &self.in_flight {
            ensure!(flight.first <= flight.end, "a push ends after its beginning");
            ensure!(flight.end <= tail.pending_end(), "a push is within the pending events");
            ensure!(flight.exposed_before <= tail.pending_end(), "what was sent before is within the pending events");
            ensure!(flight.commits > 0, "a push is of something");
            if !flight.overtaken {
                flight.check_in_place(tail)?;
            }
        }
        ensure!(self.refused.is_some() == (self.refusals > 0), "refusals are of a batch");
        ensure!(self.commits_max != Some(0), "a batch may have at least one commit");
        ensure!(self.retry.is_sound(), "nothing waits that has not failed");
        if let Some(stuck) = &self.stuck {
            ensure!(self.commits_max == Some(1), "what is stuck is alone");
            ensure!(self.refused.is_some(), "what is stuck has been refused");
            let mut waiting = tail.pending().iter().skip((tail.acked() - tail.pending_first()) as usize);
            let first = waiting.find(|event| !event.own.event.client_only);
            ensure!(
                first.is_some_and(|first| first.own.commit_id() == stuck.commit),
                "what is stuck is what is pushed next (L5)"
            );
        }
        Ok(())
    }

    /// The pull stream that ran when the push under way was sent; 0 if there is none.
    pub(in super::super) fn stream_of_flight(&self) -> u64 {
        self.in_flight.as_ref().map_or(0, |flight| flight.stream)
    }

    pub(in super::super) fn stuck_since(&self) -> Time {
        self.stuck.as_ref().map_or(Time::ZERO, |stuck| stuck.since)
    }
}

impl InFlight {
    /// Nothing has moved since it was sent.
    fn check_in_place(&self, tail: &Tail) -> Result<(), &'static str> {
        ensure!(self.end <= tail.stored().durable, "only stored events are pushed");
        ensure!(self.end <= tail.exposed(), "what is under way may be at the backend");
        ensure!(self.first <= tail.acked(), "nothing is sent over an earlier event (L5)");
        if self.first >= tail.pending_first() {
            let mut sent = (self.first..self.end).filter_map(|index| tail.get(index));
            let first = sent.find(|event| !event.own.event.client_only);
            ensure!(first.is_some_and(|first| tail.place_of(first).global == self.parent + 1), "a push stands where it was sent");
        }
        Ok(())
    }
}
