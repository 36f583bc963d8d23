//! The tail and storage: what storage holds of it, and what the next transaction writes.

use alloc::vec::Vec;

use crate::event::{Entry, Origin, OwnEvent, Standing};
use crate::id::{CommitId, EventId};
use crate::merge::check_chain;
use crate::seq::{Pos, Seq};

use super::{Pending, Tail, View};

impl Tail {
    pub(crate) fn stored(&self) -> &View {
        &self.views[0]
    }

    /// Storage after everything that is under way.
    pub(crate) fn planned(&self) -> &View {
        &self.views[self.views.len() - 1]
    }

    /// Whether whatever storage holds of this tail stands there where it should.
    pub(crate) fn in_place(&self) -> bool {
        let stored = self.stored();
        !stored.beyond && stored.settled == self.settled_end()
    }

    /// How many views there are: storage as it is, and one for each transaction under way.
    pub(crate) fn views(&self) -> usize {
        self.views.len()
    }

    pub(crate) fn plan(&mut self, view: View) {
        let planned = self.planned();
        debug_assert!(view.settled >= planned.settled && view.durable >= planned.durable, "a transaction takes nothing back");
        debug_assert!(!view.beyond && view.pending <= self.pending_end(), "it leaves what stands as it should");
        debug_assert!(view.settled == self.settled_end() || view.pending <= self.pending_first, "settled entries come first");
        self.views.push(view);
    }

    /// The oldest transaction under way has committed.
    pub(crate) fn committed(&mut self) {
        debug_assert!(self.views.len() > 1);
        let before = self.views.remove(0);
        debug_assert!(self.views[0].upstream >= before.upstream, "the stored cursor never goes back (L2)");
        self.trim();
    }

    /// The transactions under way after the first `keep` have failed.
    pub(crate) fn rolled_back(&mut self, keep: usize) {
        debug_assert!(keep < self.views.len(), "what is kept is under way");
        self.views.truncate(1 + keep);
    }

    /// The view that holds everything, as it stands now.
    pub(crate) fn complete_view(&self) -> View {
        View {
            settled: self.settled_end(),
            pending: self.pending_end(),
            beyond: false,
            durable: self.pending_end(),
            upstream: self.upstream,
            upstream_parent: self.upstream_parent,
            acknowledged: self.acknowledged,
            own_after: self.own_after,
        }
    }

    pub(super) fn trim(&mut self) {
        while self.settled_first < self.views[0].settled {
            let Some(entry) = self.settled.pop_front() else { break };
            debug_assert!(entry.seq.pos > self.base);
            self.base = entry.seq.pos;
            self.settled_first += 1;
        }
        debug_assert!(self.settled_first >= self.views[0].settled, "what is stored and settled is let go of (V5)");
    }

    /// Where the synced events of a commit stand for good, as far as storage may hold them elsewhere, and how often they were rebased.
    pub(crate) fn accepted(&self, commit: CommitId) -> impl Iterator<Item = (EventId, u64, u32)> + '_ {
        let settled = self.settled.iter().filter_map(move |entry| match entry.origin {
            Origin::Own { id, rebases, .. } if entry.commit_id() == Some(commit) && !entry.event.client_only => {
                Some((id, entry.seq.pos.global, rebases))
            }
            _ => None,
        });
        let acked = self.pending.iter().take((self.acked() - self.pending_first) as usize);
        let acked = acked.filter(move |event| event.own.commit_id() == commit && !event.own.event.client_only);
        settled.chain(acked.map(|event| (event.own.id, self.place_of(event).global, self.rebases_of(event))))
    }

    /// Removes settled entries that no view holds yet; those behind them move up. Each comes with its count.
    pub(crate) fn remove_unstored_settled(&mut self, goes: impl Fn(&Entry) -> bool) -> Vec<(u64, Entry)> {
        let from = (self.views[0].settled - self.settled_first) as usize;
        debug_assert_eq!(self.views.len(), 1);
        let behind = self.settled.split_off(from);
        self.head = self.settled.back().map_or(self.base, |entry| entry.seq.pos);
        let mut removed = Vec::new();
        for (index, mut entry) in (self.views[0].settled..).zip(behind) {
            if goes(&entry) {
                removed.push((index, entry));
                continue;
            }
            debug_assert!(!entry.seq.pos.is_client_only() || entry.standing == Standing::Local);
            if entry.standing == Standing::Local {
                entry.seq.pos = self.head.next(entry.event.client_only);
                entry.parent = entry.seq.pos.parent();
            }
            debug_assert!(entry.seq.pos > self.head, "what moves up stays behind what is before it (L1)");
            self.head = entry.seq.pos;
            self.settled.push_back(entry);
        }
        removed
    }

    // What the next transaction writes.

    /// The last place that storage is to keep, if it has to undo anything.
    pub(crate) fn undo_to(&self) -> Option<Pos> {
        let view = self.planned();
        if !view.beyond {
            return None;
        }
        if view.pending > self.pending_first {
            return self.get(view.pending - 1).map(|last| self.place_of(last));
        }
        let kept = view.settled.checked_sub(self.settled_first + 1);
        Some(kept.and_then(|i| self.settled.get(i as usize)).map_or(self.base, |entry| entry.seq.pos))
    }

    /// The entries between the planned view and `to`.
    pub(crate) fn entries(&self, to: &View) -> Vec<Entry> {
        let from = self.planned();
        let from_pending = from.pending.max(self.pending_first);
        let settled = (to.settled - from.settled) as usize;
        let pending = to.pending.saturating_sub(from_pending) as usize;
        let mut entries = Vec::with_capacity(settled + pending);
        entries.extend(self.settled.range((from.settled - self.settled_first) as usize..).take(settled).cloned());
        let first = (from_pending - self.pending_first) as usize;
        entries.extend(self.pending.range(first..).take(pending).map(|event| self.entry(event)));
        debug_assert_eq!(entries.len(), settled + pending, "a view is within the tail");
        debug_assert!(
            check_chain(entries.iter().map(|entry| (entry.seq, entry.parent))).is_ok(),
            "a transaction writes a chain (L1)"
        );
        entries
    }

    fn entry(&self, event: &Pending) -> Entry {
        let place = self.place_of(event);
        self.own_entry(event, place, Standing::Pending)
    }

    pub(super) fn own_entry(&self, event: &Pending, place: Pos, standing: Standing) -> Entry {
        let own = &event.own;
        // What is confirmed has been judged for good.
        let guard = own.guard.clone().filter(|_| standing != Standing::Confirmed);
        Entry {
            seq: Seq::new(place, self.generation),
            parent: place.parent(),
            origin: Origin::Own { id: own.id, commit: own.commit, last: own.last, rebases: self.rebases_of(event), guard },
            standing,
            event: own.event.clone(),
        }
    }

    /// The cursor as of the settled entry `end`, and its parent.
    pub(crate) fn upstream_at(&self, end: u64) -> (u64, u64) {
        debug_assert!(end >= self.settled_first && end <= self.settled_end());
        if end == self.settled_end() {
            return (self.upstream, self.upstream_parent);
        }
        let held = end.saturating_sub(self.settled_first) as usize;
        let confirmed = |entry: &&Entry| entry.standing == Standing::Confirmed;
        self.settled.range(..held).rev().find(confirmed).map_or_else(
            || (self.planned().upstream, self.planned().upstream_parent),
            |entry| (entry.seq.pos.global, entry.parent.global),
        )
    }

    /// The last place before the settled entry `end`.
    pub(crate) fn settled_place(&self, end: u64) -> Pos {
        let last = end.checked_sub(self.settled_first + 1).and_then(|i| self.settled.get(i as usize));
        last.map_or(self.base, |entry| entry.seq.pos)
    }

    /// Own events that storage does not hold where they stand, in order.
    pub(crate) fn unstored_own(&self) -> Vec<OwnEvent> {
        let own = |entry: &Entry| match &entry.origin {
            Origin::Own { id, commit, last, guard, .. } => {
                Some(OwnEvent { id: *id, commit: *commit, last: *last, guard: guard.clone(), event: entry.event.clone() })
            }
            Origin::Foreign { .. } => None,
        };
        let settled = self.settled.range((self.stored().settled - self.settled_first) as usize..).filter_map(own);
        settled.chain(self.pending.iter().map(|event| event.own.clone())).collect()
    }
}
