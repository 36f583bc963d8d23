//! The end of the leader's log, as it should be: what storage does not hold yet, and what may still move.
//!
//! Two lists, one behind the other: *settled* entries that will never move again (confirmed by a pull, or local), kept until
//! storage has them, then *pending* ones. A [`View`] says how much of that storage holds, or will hold once the transactions
//! under way have committed; the next transaction is the difference. A failed transaction is forgotten by forgetting its view.
//!
//! Places of pending events are never stored but counted from the settled head, so renumbering a million of them is one
//! increment. Keeps L1 and L2.

mod check;
mod stored;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::event::{Entry, OwnEvent, Standing};
use crate::seq::{GLOBAL_MAX, Pos};
use crate::txn::Heads;

use super::persisting::count_before;
pub(crate) use super::view::View;

/// An own event that may still move.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pending {
    pub(crate) own: OwnEvent,
    /// Whether it is the last synced event of its commit.
    pub(crate) closes: bool,
    /// Counts synced events in this queue; a client-only one has the count of the synced one before it.
    n: u64,
    /// Place among the client-only events after that one; 0 for a synced event.
    client: u32,
    /// The generation in which it had not been rebased yet.
    born: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tail {
    /// Whether synced events wait for a backend. Without one everything settles at once.
    backend: bool,
    /// How often the pending events were renumbered.
    pub(crate) generation: u32,
    /// The last settled place.
    head: Pos,
    /// The last place confirmed by a pull, and its parent.
    upstream: u64,
    upstream_parent: u64,
    /// The last place that an own event has at the backend, as [`Heads::acknowledged`] says.
    acknowledged: u64,
    /// As [`Heads::own_after`] says.
    own_after: u64,
    /// The place before the first settled entry that is held here.
    base: Pos,
    settled: VecDeque<Entry>,
    settled_first: u64,
    pending: VecDeque<Pending>,
    pending_first: u64,
    /// Pending events before this one have been acknowledged by the backend: they don't move any more.
    acked: u64,
    /// Pending events before this one may be in a request that the backend has not answered.
    exposed: u64,
    next_n: u64,
    /// Storage as it is, then as it will be after each transaction under way.
    views: SmallVec<[View; 3]>,
}

impl Tail {
    /// A tail that begins at `head`, after what storage holds.
    pub(crate) fn new(backend: bool, heads: &Heads, head: Pos) -> Self {
        let &Heads { upstream, upstream_parent, acknowledged, own_after, generation, .. } = heads;
        let stored = View { upstream, upstream_parent, acknowledged, own_after, ..View::default() };
        Self {
            backend,
            generation,
            head,
            upstream,
            upstream_parent,
            acknowledged,
            own_after,
            base: head,
            settled: VecDeque::new(),
            settled_first: 0,
            pending: VecDeque::new(),
            pending_first: 0,
            acked: 0,
            exposed: 0,
            next_n: 0,
            views: SmallVec::from_slice(&[stored]),
        }
    }

    /// Everything so far is stored where it stands, and may have been pushed by an earlier process.
    pub(crate) fn loaded(&mut self) {
        self.exposed = self.pending_end();
        let acknowledged = |event: &Pending| !event.own.event.client_only && self.place_of(event).global <= self.acknowledged;
        let acked = self.pending.iter().rposition(acknowledged).map_or(0, |last| last as u64 + 1);
        self.acked = self.pending_first + acked;
        debug_assert!(self.acked <= self.exposed, "what is acknowledged was sent");
        debug_assert!(self.views.len() == 1, "nothing is under way yet");
        let stored = self.complete_view();
        self.views[0] = stored;
        self.trim();
    }

    // What is where.

    pub(crate) fn head(&self) -> Pos {
        self.head
    }

    /// The last place in the log, pending events included.
    pub(crate) fn local_head(&self) -> Pos {
        self.pending.back().map_or(self.head, |last| self.place_of(last))
    }

    pub(crate) fn upstream(&self) -> u64 {
        self.upstream
    }

    pub(crate) fn upstream_parent(&self) -> u64 {
        self.upstream_parent
    }

    /// The last place that an own event has at the backend.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Whether that is stored: then no receipt that has settled can be found open again.
    pub(crate) fn acknowledged_is_stored(&self) -> bool {
        self.stored().acknowledged >= self.acknowledged
    }

    /// Where the backend's log ended when the store began with it; not known for as long as this is [`GLOBAL_MAX`].
    pub(crate) fn own_after(&self) -> u64 {
        self.own_after
    }

    pub(crate) fn has_backend(&self) -> bool {
        self.backend
    }

    pub(crate) fn pending(&self) -> &VecDeque<Pending> {
        &self.pending
    }

    pub(crate) fn get(&self, index: u64) -> Option<&Pending> {
        self.pending.get(usize::try_from(index.checked_sub(self.pending_first)?).ok()?)
    }

    pub(crate) fn pending_first(&self) -> u64 {
        self.pending_first
    }

    pub(crate) fn pending_end(&self) -> u64 {
        self.pending_first + self.pending.len() as u64
    }

    pub(crate) fn settled_end(&self) -> u64 {
        self.settled_first + self.settled.len() as u64
    }

    /// Settled entries that no transaction under way holds.
    pub(crate) fn unstored_settled(&self) -> u64 {
        self.settled_end() - self.planned().settled
    }

    /// Whether storage holds everything as it stands, and how far the backend has confirmed it.
    pub(crate) fn is_stored(&self) -> bool {
        *self.stored() == self.complete_view()
    }

    pub(crate) fn place_of(&self, event: &Pending) -> Pos {
        let first = self.pending.front().map_or(event.n, |front| front.n);
        debug_assert!(event.n >= first && event.n < self.next_n.max(1), "it is one of those that are counted");
        Pos { global: self.head.global + (event.n - first) + 1, client: event.client }
    }

    /// Whether the backend may have this pending event: it was handed to the network, or whether it was is not known.
    pub(crate) fn may_be_sent(&self, event: &Pending) -> bool {
        let place = (event.n, event.client);
        let index = self.pending.partition_point(|earlier| (earlier.n, earlier.client) < place);
        (index as u64) < self.exposed() - self.pending_first
    }

    pub(crate) fn rebases_of(&self, event: &Pending) -> u32 {
        self.generation - event.born
    }

    pub(crate) fn acked(&self) -> u64 {
        self.acked.max(self.pending_first)
    }

    pub(crate) fn exposed(&self) -> u64 {
        self.exposed.max(self.pending_first)
    }

    pub(crate) fn set_acked(&mut self, end: u64) {
        debug_assert!(end <= self.exposed(), "what is acknowledged was sent");
        self.acked = self.acked.max(end);
    }

    /// An own event stands here at the backend, for good.
    pub(crate) fn accept(&mut self, at: u64) {
        self.acknowledged = self.acknowledged.max(at);
    }

    /// All of the backend's log is here.
    pub(crate) fn caught_up(&mut self) {
        debug_assert!(self.own_after == GLOBAL_MAX || self.own_after <= self.upstream, "it is found once");
        if self.own_after == GLOBAL_MAX {
            self.own_after = self.upstream;
        }
    }

    pub(crate) fn set_exposed(&mut self, end: u64) {
        debug_assert!(end <= self.pending_end() && end >= self.acked(), "what is acknowledged was sent");
        self.exposed = end;
    }

    // What changes it.

    /// Puts an own event at the end. Tells whether it is pending; if not, it has settled.
    pub(crate) fn push_own(&mut self, own: OwnEvent, closes: bool, rebases: u32) -> bool {
        let client_only = own.event.client_only;
        let born = self.generation.saturating_sub(rebases);
        if self.backend && !client_only {
            // The usual case.
            self.pending.push_back(Pending { own, closes, n: self.next_n, client: 0, born });
            self.next_n += 1;
            return true;
        }
        let pending = self.backend && !self.pending.is_empty();
        let place = self.local_head().next(client_only);
        let n = if client_only { self.next_n.wrapping_sub(1) } else { self.next_n };
        let event = Pending { own, closes, n, client: place.client, born };
        if pending {
            self.pending.push_back(event);
        } else {
            debug_assert!(self.pending.is_empty(), "nothing settles behind what may still move");
            let entry = self.own_entry(&event, place, Standing::Local);
            self.push_settled(entry);
        }
        pending
    }

    /// Puts an entry behind the settled ones. What is pending then stands elsewhere: call [`Self::rebased`] once after all of them.
    pub(crate) fn push_settled(&mut self, entry: Entry) {
        debug_assert!(entry.standing != Standing::Pending);
        self.settle_at(entry.seq.pos, entry.parent, entry.standing);
        self.settled.push_back(entry);
    }

    /// The first pending event is confirmed where it stands, and so are the client-only ones right behind it.
    pub(crate) fn confirm_first(&mut self) -> Option<Pending> {
        debug_assert!(self.pending.front().is_some_and(|first| !first.own.event.client_only), "only what was sent is confirmed");
        let first = self.settle_first(Standing::Confirmed);
        self.settle_leading_client_only();
        first
    }

    /// Client-only events move only as long as a synced one before them does.
    pub(crate) fn settle_leading_client_only(&mut self) {
        while self.pending.front().is_some_and(|event| event.own.event.client_only) {
            self.settle_first(Standing::Local);
        }
    }

    fn settle_first(&mut self, standing: Standing) -> Option<Pending> {
        let end = self.settled_end();
        let mut stored = self.settled.is_empty();
        for view in &mut self.views {
            let in_place = view.settled == end && view.pending > self.pending_first;
            view.settled += u64::from(in_place);
            stored &= in_place;
        }
        let first = self.pending.pop_front()?;
        // A client-only event that leads stands right behind the settled head, whatever its count says.
        let place = self.head.next(first.own.event.client_only);
        self.pending_first += 1;
        debug_assert!((standing == Standing::Local) == first.own.event.client_only, "what is synced is confirmed (L7)");
        if stored {
            // The usual case: nobody needs the entry any more.
            self.settled_first += 1;
            self.base = place;
            self.settle_at(place, place.parent(), standing);
        } else {
            let entry = self.own_entry(&first, place, standing);
            self.push_settled(entry);
            self.trim();
        }
        Some(first)
    }

    fn settle_at(&mut self, place: Pos, parent: Pos, standing: Standing) {
        debug_assert!(place > self.head && parent < place, "the settled head never goes back (L2)");
        self.head = place;
        if standing == Standing::Confirmed {
            self.upstream = place.global;
            self.upstream_parent = parent.global;
        }
    }

    /// Settled entries came in before what is pending: it moves, and storage has to be told. If `unanswered_are_void`, whatever the
    /// backend has not answered was to follow an event that another one now follows, and can't be accepted any more.
    pub(crate) fn rebased(&mut self, unanswered_are_void: bool) {
        self.generation += 1;
        self.cut(self.pending_first);
        debug_assert!(self.views.iter().all(|view| view.pending <= self.pending_first), "nothing stands as it is stored");
        if unanswered_are_void {
            self.exposed = self.pending_first;
        }
        self.settle_leading_client_only();
        debug_assert!(!unanswered_are_void || self.acked() == self.pending_first, "what is acknowledged has its place for good");
    }

    /// Removes pending events, given by ascending counts; what is behind the first of them moves up. Call [`Self::renumbered`] after
    /// it, or [`Self::rebased`].
    pub(crate) fn remove(&mut self, indices: &[u64]) -> Vec<Pending> {
        let Some(&first) = indices.first() else { return Vec::new() };
        debug_assert!(indices.is_sorted_by(|a, b| a < b), "counts ascend, each once");
        debug_assert!(
            first >= self.pending_first && indices.last() < Some(&self.pending_end()),
            "only what is pending is removed"
        );
        self.cut(first);
        let split = (first - self.pending_first) as usize;
        let mut removed = Vec::with_capacity(indices.len());
        let behind = self.pending.split_off(split);
        let mut goes = indices.iter().copied().peekable();
        for (index, event) in (first..).zip(behind) {
            if goes.next_if_eq(&index).is_some() {
                removed.push(event);
            } else {
                self.pending.push_back(event);
            }
        }
        debug_assert!(goes.peek().is_none() && removed.len() == indices.len(), "everything named is removed");
        self.renumber(split);
        let moved = |mark: &mut u64| *mark -= count_before(indices, *mark);
        moved(&mut self.acked);
        moved(&mut self.exposed);
        for view in &mut self.views {
            moved(&mut view.durable);
        }
        debug_assert!(self.views.iter().all(|view| view.pending <= view.durable), "what is left is as durable as it was");
        removed
    }

    /// What is pending from this one on stands elsewhere now, and nothing before it.
    pub(crate) fn renumbered(&mut self, from: u64) {
        let from = from.saturating_sub(self.pending_first) as usize;
        debug_assert!(
            self.views.iter().all(|view| view.pending <= self.pending_first + from as u64),
            "nothing moves as it is stored"
        );
        if from >= self.pending.len() {
            return;
        }
        self.generation += 1;
        for event in self.pending.range_mut(..from) {
            event.born += 1;
        }
    }

    fn renumber(&mut self, from: usize) {
        let (mut n, mut client) = match from.checked_sub(1).and_then(|i| self.pending.get(i)) {
            Some(before) => (before.n + 1, before.client),
            None => (self.pending.front().map_or(self.next_n, |front| front.n), 0),
        };
        for event in self.pending.range_mut(from..) {
            if event.own.event.client_only {
                client += 1;
                (event.n, event.client) = (n.wrapping_sub(1), client);
            } else {
                client = 0;
                (event.n, event.client) = (n, 0);
                n += 1;
            }
        }
        self.next_n = n;
    }

    /// Pending events stay where they are, and storage judges them anew.
    pub(crate) fn write_anew(&mut self) {
        self.cut(self.pending_first);
    }

    /// From this pending event on, storage no longer has things where they stand.
    fn cut(&mut self, index: u64) {
        for view in &mut self.views {
            if view.pending > index {
                view.pending = index;
                view.beyond = true;
            }
        }
    }
}

#[cfg(test)]
mod tests;
