//! Taking what the leader has stored.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::effect::{Effect, Notice};
use crate::error::Whereabouts;
use crate::event::{Entry, OwnEvent, Standing};
use crate::merge::{self, Boundary, Delta};
use crate::outbox::Outbox;
use crate::seq::Pos;
use crate::txn::{Heads, SessionTxn, Txn, Unit};

use super::{Phase, Session};

/// Units at the bottom of the stack that are kept before the database is told to forget them: one transaction for many.
pub(super) const FORGET_AT: usize = 256;

impl Session {
    /// The leader has stored something. It is taken now or, if the session is busy, later.
    pub(crate) fn stored(&mut self, txn: &Arc<Txn>, backlog: usize) {
        if !self.is_open() || matches!(self.phase, Phase::Lost(_)) {
            return;
        }
        if self.waiting.len() >= backlog {
            // The last one stays: its number shows what is missing, as soon as the session is free, or what a seed that comes late lacks.
            self.waiting.clear();
        }
        debug_assert!(self.waiting.back().is_none_or(|before| before.number < txn.number), "it is told in the order of storage");
        self.waiting.push_back(txn.clone());
        debug_assert!(self.waiting.len() <= backlog.max(1) || matches!(self.phase, Phase::Seeding(_)), "no queue grows (V5)");
    }

    /// Takes what waits, if the session is free, and orders one transaction for all of it.
    pub(crate) fn take(&mut self, out: &mut Outbox) {
        if !matches!(self.phase, Phase::Ready) || self.held {
            return;
        }
        let any = !self.waiting.is_empty();
        while let Some(txn) = self.waiting.pop_front() {
            if txn.number <= self.taken {
                // The seed had it already.
                continue;
            }
            if txn.number != self.taken + 1 {
                self.phase = Phase::Lost("it fell too far behind the leader".into());
                return;
            }
            self.taken = txn.number;
            self.take_one(&txn, out);
            if !matches!(self.phase, Phase::Ready) {
                return;
            }
        }
        self.refused &= !any;
        if self.agreed < self.depth || self.settled > 0 || self.stack_should_be() > self.depth || self.forget >= FORGET_AT {
            let txn = self.transaction();
            debug_assert!(txn.undo > 0 || txn.forget > 0 || !txn.apply.is_empty(), "a transaction does something");
            let id = out.effect(Effect::Session { session: self.id, txn });
            self.phase = Phase::Applying(id);
        } else {
            self.upstream_applied = self.upstream_taken;
        }
    }

    pub(super) fn stack_should_be(&self) -> usize {
        self.upstream.len() + self.pending.len()
    }

    fn transaction(&mut self) -> SessionTxn {
        let mut apply = core::mem::take(&mut self.unapplied);
        self.settled = 0;
        let own = |own: &OwnEvent| Unit {
            event: own.event.clone(),
            commit: Some(own.commit_id()),
            guard: own.guard.clone(),
            undoable: true,
        };
        apply.extend(self.pending.iter().map(own).skip(self.agreed.saturating_sub(self.upstream.len())));
        let txn = SessionTxn { undo: self.depth - self.agreed, forget: core::mem::take(&mut self.forget), apply };
        let undoable = txn.apply.iter().filter(|unit| unit.undoable).count();
        debug_assert!(self.agreed + undoable == self.stack_should_be(), "the transaction leaves what may be undone (S3)");
        debug_assert!(txn.apply.is_sorted_by_key(|unit| unit.undoable), "what has settled comes below");
        self.depth = self.stack_should_be();
        self.agreed = self.depth;
        txn
    }

    fn take_one(&mut self, txn: &Txn, out: &mut Outbox) {
        if txn.wipe {
            self.phase = Phase::Lost("the history was reset".into());
            return;
        }
        if let Some(to) = txn.undo_to {
            let kept = self.upstream.partition_point(|at| *at <= to);
            self.upstream.truncate(kept);
            self.unapplied.truncate(self.settled + kept.saturating_sub(self.agreed));
            self.agreed = self.agreed.min(kept);
            self.head = self.head.min(to);
        }
        self.take_failures(txn);

        let upstream = match txn.undo_to {
            Some(_) => merge::Upstream::Rebase(&txn.append[..]),
            None => merge::Upstream::Advance(&txn.append[..]),
        };
        let mut boundary = AgainstLeader { session: self.id };
        let delta = match merge::merge(&self.pending, self.head, &upstream, &mut boundary) {
            Ok(delta) => delta,
            Err(error) => {
                debug_assert!(false, "{error}");
                out.notify(Notice::Reseeding { session: self.id, message: alloc::format!("{error}").into() });
                self.phase = Phase::Lost(alloc::format!("{error}").into());
                return;
            }
        };
        let (in_place, mut moved) = match delta {
            Delta::Advance { taken, .. } => (taken, Vec::new()),
            Delta::Rebase { taken, moved, .. } => (taken, moved),
        };
        let taken = self.whole_commits(in_place);
        debug_assert!(taken <= in_place && in_place <= self.admitted, "only what was admitted comes back");
        moved.splice(0..0, (taken..in_place).map(|index| (index, index)));
        for entry in &txn.append[..taken] {
            // The first pending event, where it stands: the unit stays, and now counts as one of the leader's.
            self.pop_pending();
            self.put(entry, &txn.heads);
        }
        self.remove_moved(&moved, taken);
        for entry in &txn.append[taken..] {
            self.agreed = self.agreed.min(self.upstream.len());
            self.put(entry, &txn.heads);
        }
        self.settle(txn.heads.settled);
        // A store without a backend seeds with places of its own, which no global order knows of.
        self.upstream_taken = self.upstream_taken.max(txn.heads.upstream);
    }

    /// Of so many pending events, those of commits that end among them. A commit that others' events have come into was judged in
    /// parts by the leader and as a whole here: what is in place of it has to be applied again.
    fn whole_commits(&self, events: usize) -> usize {
        debug_assert!(events <= self.pending.len());
        let Some(next) = self.pending.get(events) else { return events };
        events - self.pending.range(..events).rev().take_while(|own| own.commit == next.commit).count()
    }

    /// Puts a stored entry behind the leader's others. What the backend has is applied or left out by itself, as it was there.
    fn put(&mut self, entry: &Entry, heads: &Heads) {
        let at = entry.seq.pos;
        debug_assert!(at > self.head, "the leader's entries come in their order (L1)");
        self.head = at;
        if entry.standing != Standing::Pending {
            // Whatever stands before a settled entry is settled too.
            self.settle(at);
        }
        // A unit that is on the stack already, and stands as it should, is never applied again.
        if self.upstream.len() >= self.agreed {
            let commit = if entry.is_accepted(heads) { None } else { entry.commit_id() };
            self.unapplied.push(Unit { event: entry.event.clone(), commit, guard: entry.guard(heads).cloned(), undoable: true });
        }
        self.upstream.push_back(at);
        if entry.standing != Standing::Pending {
            self.settle(at);
        }
    }

    /// The leader's entries up to here will never be undone.
    fn settle(&mut self, to: Pos) {
        while self.upstream.front().is_some_and(|at| *at <= to) {
            self.upstream.pop_front();
            if self.agreed > 0 {
                self.agreed -= 1;
                self.depth -= 1;
                self.forget += 1;
            } else {
                let unit = &mut self.unapplied[self.settled];
                debug_assert!(unit.undoable, "a unit settles once");
                (unit.undoable, unit.commit, unit.guard) = (false, None, None);
                self.settled += 1;
            }
        }
    }

    /// Own events that the leader has put elsewhere than the session had. `taken` went from the front since they were counted.
    fn remove_moved(&mut self, moved: &[(usize, usize)], taken: usize) {
        if moved.is_empty() {
            return;
        }
        let mut indices: Vec<usize> = moved.iter().map(|&(_, index)| index - taken).collect();
        indices.sort_unstable();
        debug_assert!(indices.iter().all(|&index| index < self.admitted), "only what was admitted comes back");
        self.remove_pending(&indices);
    }

    /// Commits that are in quarantine now don't wait for the leader any more.
    fn take_failures(&mut self, txn: &Txn) {
        let gone = |own: &OwnEvent| {
            let quarantined = |failed: &&crate::error::Quarantined| failed.error.events() == Whereabouts::Quarantine;
            txn.failed.iter().filter(quarantined).any(|failed| failed.commit == own.commit_id())
        };
        if txn.failed.iter().any(|failed| failed.commit.session == self.id) {
            let indices: Vec<usize> = (0..self.pending.len()).filter(|&i| gone(&self.pending[i])).collect();
            self.remove_pending(&indices);
        }
    }

    fn remove_pending(&mut self, indices: &[usize]) {
        let Some(&first) = indices.first() else { return };
        debug_assert!(indices.is_sorted_by(|a, b| a < b), "indices ascend, each once");
        let left = self.pending.len() - indices.len();
        self.agreed = self.agreed.min(self.upstream.len() + first);
        self.admitted -= indices.iter().filter(|&&index| index < self.admitted).count();
        let mut goes = indices.iter().copied().peekable();
        let mut index = 0;
        self.pending.retain(|_| {
            let stays = goes.next_if_eq(&index).is_none();
            index += 1;
            stays
        });
        debug_assert_eq!(self.pending.len(), left, "only these go (L4)");
        self.recount_admitted();
    }
}

/// Who is who between session and leader: events keep their identity.
struct AgainstLeader {
    session: crate::id::SessionId,
}

impl Boundary<OwnEvent, Entry> for AgainstLeader {
    fn position(&self, incoming: &Entry) -> Pos {
        incoming.seq.pos
    }

    fn passes_over(&self, _pending: &OwnEvent) -> bool {
        false
    }

    fn same(&mut self, pending: &OwnEvent, incoming: &Entry) -> bool {
        // Only the order counts: the leader may have renumbered the event, with nothing new before it.
        incoming.own_id() == Some(pending.id)
    }

    fn elsewhere(&mut self, pending: &VecDeque<OwnEvent>, from: usize, incoming: &Entry) -> Option<usize> {
        let id = incoming.own_id().filter(|id| id.session == self.session)?;
        // Pending events are in the order of their ordinals.
        let index = pending.partition_point(|own| own.id.ordinal < id.ordinal);
        pending.get(index).filter(|own| own.id == id && index >= from).map(|_| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Origin};
    use crate::id::{EventId, SessionId};
    use crate::seq::Seq;
    use crate::session::Ledger;

    fn own(ordinal: u64) -> OwnEvent {
        let id = EventId { session: SessionId([1; 16]), ordinal };
        let event = Event { name: "A".into(), args: "null".into(), client_only: false };
        OwnEvent { id, commit: ordinal, last: true, guard: None, event: Arc::new(event) }
    }

    /// The entry at `global`: the own event with this ordinal, or another session's.
    fn entry(global: u64, ordinal: Option<u64>) -> Entry {
        let mut own = own(ordinal.unwrap_or(1));
        if ordinal.is_none() {
            own.id.session = SessionId([2; 16]);
        }
        let (id, commit) = (own.id, own.commit);
        Entry {
            seq: Seq::new(Pos::synced(global), 0),
            parent: Pos::synced(global - 1),
            origin: Origin::Own { id, commit, last: true, rebases: 0, guard: None },
            standing: Standing::Pending,
            event: own.event,
        }
    }

    // Verifies: S3 (of events that come back, some in place and some moved, the right ones stop waiting)
    #[test]
    fn what_comes_back_in_place_and_moved_leaves_the_rest_waiting() {
        let id = SessionId([1; 16]);
        let mut session = Session { phase: Phase::Ready, ..Session::closed(id, Ledger::new(id)) };
        session.pending.extend((1..=5).map(own));
        (session.admitted, session.depth, session.agreed) = (3, 5, 5);
        session.recount_admitted();
        let txn = Txn {
            number: 1,
            wipe: false,
            undo_to: None,
            failed: Vec::new(),
            release: Vec::new(),
            hold_to: None,
            append: [(1, Some(1)), (2, Some(2)), (3, None), (4, Some(3))].map(|(global, ordinal)| entry(global, ordinal)).into(),
            heads: Heads::default(),
            marks: [(id, 3)].into_iter().collect(),
        };
        let mut out = Outbox::default();
        session.stored(&Arc::new(txn), 8);
        session.take(&mut out);
        assert_eq!(session.pending.iter().map(|own| own.id.ordinal).collect::<Vec<_>>(), [4, 5]);
        assert_eq!((session.admitted, session.upstream.len()), (0, 4));
        let crate::Output::Effect { effect: Effect::Session { txn, .. }, .. } = out.pop().unwrap() else {
            panic!("its database is brought to where it should be");
        };
        assert_eq!((txn.undo, txn.apply.len()), (3, 4));
    }
}
