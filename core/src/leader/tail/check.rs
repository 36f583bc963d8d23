//! What holds of a tail at any time.

use crate::ensure::ensure;
use crate::event::{Origin, Standing};
use crate::seq::{GLOBAL_MAX, Pos};

use super::{Pending, Tail};

impl Tail {
    /// What [`crate::Node::check`] asks for.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        ensure!(self.pending.front().is_none_or(|first| !first.own.event.client_only), "the first pending event is synced");
        ensure!(self.backend || self.pending.is_empty(), "nothing is pending without a backend");
        ensure!(self.upstream <= self.head.global, "the upstream head is not after the local one");
        ensure!(!self.backend || self.upstream == self.head.global, "with a backend the settled head is the upstream head");
        ensure!(self.upstream == 0 || self.upstream_parent < self.upstream, "a parent is before its event");
        ensure!(self.own_after == GLOBAL_MAX || self.own_after <= self.upstream, "where the store began has been pulled");
        self.check_marks()?;
        self.check_places()?;
        self.check_views()
    }

    fn check_marks(&self) -> Result<(), &'static str> {
        ensure!(self.acked <= self.pending_end() && self.exposed <= self.pending_end(), "marks are within the pending events");
        ensure!(self.acked() <= self.exposed(), "what is acknowledged has been sent");
        ensure!(self.acked() <= self.stored().durable.max(self.pending_first), "only what is stored is acknowledged");
        let acked = (self.acked() - self.pending_first) as usize;
        let place = |event: &Pending| event.own.event.client_only || self.place_of(event).global <= self.acknowledged;
        ensure!(self.pending.iter().take(acked).all(place), "what is acknowledged stands where that is noted");
        let next = self.pending.iter().skip(acked).find(|event| !event.own.event.client_only);
        ensure!(next.is_none_or(|event| !place(event)), "what is not acknowledged stands behind what is");
        let last = self.pending.back();
        ensure!(last.is_none_or(|last| last.n.wrapping_add(1) == self.next_n), "the next event is counted after the last one");
        Ok(())
    }

    /// The chain: each entry follows the one before it (L1).
    fn check_places(&self) -> Result<(), &'static str> {
        let mut before = self.base;
        for entry in &self.settled {
            let at = entry.seq.pos;
            ensure!(at > before, "settled places ascend");
            ensure!(entry.seq.generation <= self.generation, "no entry is of a later generation");
            match entry.standing {
                Standing::Pending => return Err("what has settled is not pending"),
                Standing::Confirmed => {
                    ensure!(self.backend && at.client == 0, "only synced events are confirmed, by a backend");
                    ensure!(entry.parent == Pos::synced(before.global), "a confirmed event follows the one before it");
                    ensure!(entry.own_guard().is_none(), "what is confirmed has been judged");
                }
                Standing::Local => {
                    ensure!(entry.event.client_only || !self.backend, "with a backend only client-only events stay local");
                    ensure!(at == before.next(entry.event.client_only), "a local entry stands right behind the one before it");
                    ensure!(entry.parent == at.parent(), "a local entry follows the one before it");
                    ensure!(matches!(entry.origin, Origin::Own { .. }), "only own events are local");
                }
            }
            before = at;
        }
        ensure!(before == self.head, "the settled head is the last settled place");
        for event in &self.pending {
            let place = self.place_of(event);
            ensure!(place == before.next(event.own.event.client_only), "pending places follow one another without a gap");
            ensure!(event.born <= self.generation, "no event is born in a generation to come");
            ensure!(!(event.closes && event.own.event.client_only), "a synced event closes its commit");
            before = place;
        }
        Ok(())
    }

    fn check_views(&self) -> Result<(), &'static str> {
        ensure!((1..=3).contains(&self.views.len()), "storage as it is, and at most two transactions under way");
        for view in &self.views {
            ensure!(
                view.settled >= self.settled_first && view.settled <= self.settled_end(),
                "a view is within the settled entries"
            );
            ensure!(view.pending <= self.pending_end(), "a view is within the pending events");
            let partial = view.settled < self.settled_end();
            ensure!(!partial || view.pending <= self.pending_first, "pending events are stored behind all settled ones");
            ensure!(view.durable <= self.pending_end(), "durable events are within the pending ones");
            ensure!(view.pending <= view.durable, "what is stored where it stands is durable");
            let at = |end: u64| end.max(self.pending_first);
            ensure!(view.beyond || at(view.pending) == at(view.durable), "what nothing has moved stands where it is stored");
            ensure!(view.upstream <= self.upstream, "no more is stored as confirmed than is (L3)");
            ensure!(view.acknowledged <= self.acknowledged, "no more is stored as acknowledged than is");
        }
        for (before, after) in self.views.iter().zip(&self.views[1..]) {
            ensure!(before.settled <= after.settled, "a transaction takes back no settled entry");
            ensure!(before.durable <= after.durable, "a transaction takes back nothing that is durable");
            ensure!(before.upstream <= after.upstream, "the stored cursor never goes back (L2)");
            ensure!(before.acknowledged <= after.acknowledged, "the stored acknowledgement never goes back");
        }
        Ok(())
    }
}
