//! What holds of a tail at any time.

use super::{Pending, Tail};

impl Tail {
    /// What [`crate::Node::check`] asks for.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let rule = |holds: bool, what| if holds { Ok(()) } else { Err(what) };
        rule(self.pending.front().is_none_or(|first| !first.own.event.client_only), "the first pending event is synced")?;
        rule(self.backend || self.pending.is_empty(), "nothing is pending without a backend")?;
        rule(self.upstream <= self.head.global, "the upstream head is not after the local one")?;
        rule(!self.backend || self.upstream == self.head.global, "with a backend the settled head is the upstream head")?;
        let acked = || self.pending.iter().take((self.acked() - self.pending_first) as usize);
        let place = |event: &Pending| event.own.event.client_only || self.place_of(event).global <= self.acknowledged;
        rule(acked().all(place), "what is acknowledged stands where that is noted")?;
        let mut waiting = self.pending.iter().skip((self.acked() - self.pending_first) as usize);
        let next = waiting.find(|event| !event.own.event.client_only);
        rule(next.is_none_or(|event| !place(event)), "what is not acknowledged stands behind what is")?;
        rule(self.acked <= self.pending_end() && self.exposed <= self.pending_end(), "marks are within the pending events")?;
        let mut before = self.base;
        for entry in &self.settled {
            rule(entry.seq.pos > before, "settled places ascend")?;
            before = entry.seq.pos;
        }
        rule(before == self.head, "the settled head is the last settled place")?;
        for event in &self.pending {
            let place = self.place_of(event);
            let follows = place == before.next(event.own.event.client_only);
            rule(follows, "pending places follow one another without a gap")?;
            before = place;
        }
        for view in &self.views {
            rule(
                view.settled >= self.settled_first && view.settled <= self.settled_end(),
                "a view is within the settled entries",
            )?;
            rule(view.pending <= self.pending_end(), "a view is within the pending events")?;
            let partial = view.settled < self.settled_end();
            rule(!partial || view.pending <= self.pending_first, "pending events are stored behind all settled ones")?;
            rule(view.durable <= self.pending_end(), "durable events are within the pending ones")?;
        }
        Ok(())
    }
}
