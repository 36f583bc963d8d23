//! A session: admits commits, numbers them, keeps what the leader has not stored yet, and holds its receipts.
//!
//! Its database is the leader's state with its own commits on top. The undoable part of it is a stack of units, one an event:
//! first the leader's pending events, then its own that the leader has not stored. What the leader says is merged in memory at
//! once when the session is free, and becomes one transaction on the database: undo, apply, apply again.
//!
//! A session between prepare and finish, or with a transaction under way, takes no events from the leader; they wait, and if
//! too many wait, the session is seeded anew. Marks and names are taken when they come.

mod check;
mod ledger;
mod send;
mod take;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::error::CommitError;
use crate::event::OwnEvent;
use crate::guard::{Batch, Guard};
use crate::id::{CommitId, EffectId, EventId, SessionId};
use crate::leader::Leader;
use crate::seq::Pos;
use crate::txn::{Seed, SessionApplied, Txn, Unit};

pub(crate) use ledger::Ledger;

/// A commit that a session has numbered, between [`crate::Node::prepare`] and [`crate::Node::finish`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prepared {
    /// Its identity.
    pub id: CommitId,
    /// What has to hold of the session's database before its first event.
    pub guard: Option<Arc<Guard>>,
    /// Its events, in order, to be applied to the session's database as one transaction of one unit each.
    pub events: SmallVec<[OwnEvent; 1]>,
}

/// What a session is doing with its database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Waiting for a seed.
    Seeding(EffectId),
    /// Free.
    Ready,
    /// A commit is being applied.
    Preparing,
    /// A transaction is under way.
    Applying(EffectId),
    /// Has to be seeded anew.
    Lost(Arc<str>),
    /// Closed: only its receipts go on.
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    id: SessionId,
    phase: Phase,
    /// Somebody wants to commit: no more events are taken before he has.
    held: bool,
    next_commit: u64,
    next_event: u64,
    /// The leader's last place that has been taken.
    head: Pos,
    /// The number of the last transaction that has been taken.
    taken: u64,
    /// Where the leader's events stand that may still be undone.
    upstream: VecDeque<Pos>,
    /// Own events that the leader has not stored.
    pending: VecDeque<OwnEvent>,
    /// The events of the commit that is being applied.
    preparing: Vec<OwnEvent>,
    /// The first of `pending` that the leader has not admitted.
    admitted: usize,
    /// How many of those before it are synced, and how many client-only ones follow the last of these.
    admitted_synced: u64,
    admitted_after_synced: u32,
    /// Bytes of those that it has not.
    unadmitted_bytes: usize,
    /// The last confirmed event that has been taken, and up to which the database has all of them.
    upstream_taken: u64,
    upstream_applied: u64,
    /// The leader has refused a push: nothing more is sent before its events are taken.
    refused: bool,
    /// Whether it had refused what is sent next: it does so only once.
    again: bool,
    /// Units on the stack of the database, and how many of the oldest of them stand as they should.
    depth: usize,
    agreed: usize,
    /// Units at the bottom that need not be undone any more.
    forget: usize,
    /// What the database does not have yet of the leader's events: first those that have settled, and so many they are (none of its
    /// units stands as it should then), then those of `upstream` behind the units that do.
    unapplied: Vec<Unit>,
    settled: usize,
    waiting: VecDeque<Arc<Txn>>,
    pub(crate) ledger: Ledger,
}

impl Session {
    pub(crate) fn open(id: SessionId, seeding: EffectId) -> Self {
        Self { phase: Phase::Seeding(seeding), ..Self::closed(id, Ledger::new(id)) }
    }

    /// A session that was closed, in this process or an earlier one, and has unsettled receipts.
    pub(crate) fn closed(id: SessionId, ledger: Ledger) -> Self {
        Self {
            id,
            phase: Phase::Closed,
            held: false,
            next_commit: 1,
            next_event: 1,
            head: Pos::ROOT,
            taken: 0,
            upstream: VecDeque::new(),
            pending: VecDeque::new(),
            preparing: Vec::new(),
            admitted: 0,
            admitted_synced: 0,
            admitted_after_synced: 0,
            unadmitted_bytes: 0,
            upstream_taken: 0,
            upstream_applied: 0,
            refused: false,
            again: false,
            depth: 0,
            agreed: 0,
            forget: 0,
            unapplied: Vec::new(),
            settled: 0,
            waiting: VecDeque::new(),
            ledger,
        }
    }

    pub(crate) fn is_of(&self, id: SessionId) -> bool {
        self.id == id
    }

    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Closed)
    }

    /// Whether nothing of a closed session is left to do.
    pub(crate) fn is_done(&self) -> bool {
        debug_assert!(self.is_open() || self.pending.is_empty(), "a closed session has sent everything (L4)");
        !self.is_open() && self.ledger.is_empty()
    }

    pub(crate) fn is_ready(&self) -> bool {
        !matches!(self.phase, Phase::Closed | Phase::Seeding(_) | Phase::Lost(_))
    }

    /// Whether its database is without something that the leader has stored.
    pub(crate) fn is_behind(&self) -> bool {
        !matches!(self.phase, Phase::Ready | Phase::Preparing) || !self.waiting.is_empty()
    }

    /// Whether the leader has been given everything, and no commit is being applied.
    pub(crate) fn is_drained(&self) -> bool {
        self.admitted == self.pending.len() && self.ledger.next_empty().is_none() && !matches!(self.phase, Phase::Preparing)
    }

    /// Stops taking events. What is not admitted yet still has to be sent, so it is kept; the leader answers for the rest.
    pub(crate) fn close(&mut self) {
        self.phase = Phase::Closed;
        self.refused = false;
        self.preparing.clear();
        self.waiting.clear();
        self.upstream.clear();
        self.forget_unapplied();
        self.let_go_of_admitted();
        debug_assert!(self.admitted == 0 && !self.has_news());
    }

    /// Up to which confirmed event the database has everything.
    pub(crate) fn applied_upstream(&self) -> u64 {
        self.upstream_applied
    }

    /// How many of the session's commits come before this one, if the leader has not admitted it.
    pub(crate) fn coming_before(&self, ordinal: u64) -> Option<usize> {
        let mut coming: Vec<u64> = self.unsent().map(|own| own.commit).collect();
        coming.dedup();
        coming.extend(self.ledger.unsent_empty());
        coming.contains(&ordinal).then(|| coming.iter().filter(|&&commit| commit < ordinal).count())
    }

    /// Events and bytes that the leader has not admitted.
    pub(crate) fn unadmitted(&self) -> (usize, usize) {
        (self.pending.len() - self.admitted, self.unadmitted_bytes)
    }

    /// Events that the leader has not admitted.
    pub(crate) fn unsent(&self) -> impl Iterator<Item = &OwnEvent> {
        self.pending.range(self.admitted..)
    }

    // Commits.

    /// Numbers a commit. The limits have been looked at already.
    pub(crate) fn prepare(&mut self, batch: Batch) -> Result<Prepared, CommitError> {
        match &self.phase {
            Phase::Closed => return Err(CommitError::SessionClosed),
            Phase::Seeding(_) | Phase::Lost(_) => return Err(CommitError::SessionNotReady),
            Phase::Applying(_) | Phase::Preparing => {
                self.held = true;
                return Err(CommitError::SessionBusy);
            }
            Phase::Ready => {}
        }
        debug_assert!(self.agreed == self.depth && self.unapplied.is_empty(), "a free session has nothing left to do");
        debug_assert!(self.preparing.is_empty(), "one commit is prepared at a time");
        debug_assert!(self.ledger.last() < self.next_commit, "an ordinal is given once (R8)");
        self.held = false;
        let id = CommitId { session: self.id, ordinal: self.next_commit };
        let Batch { events, guard } = batch;
        let guard = guard.map(Arc::new);
        let guarded = events.iter().position(|event| !event.client_only).unwrap_or(0);
        let mut numbered: SmallVec<[OwnEvent; 1]> = SmallVec::with_capacity(events.len());
        let (first, end) = (self.next_event, self.next_event + events.len() as u64);
        for (index, (ordinal, event)) in (first..end).zip(events).enumerate() {
            let own = OwnEvent {
                id: EventId { session: self.id, ordinal },
                commit: id.ordinal,
                last: ordinal + 1 == end,
                guard: guard.clone().filter(|_| index == guarded),
                event: Arc::new(event),
            };
            numbered.push(own.clone());
            self.preparing.push(own);
        }
        self.phase = Phase::Preparing;
        debug_assert!(numbered.last().is_none_or(|own| own.last && own.id.ordinal + 1 == end), "the last event says so");
        let guards = || numbered.iter().filter(|own| own.guard.is_some()).count();
        debug_assert!(guards() == usize::from(guard.is_some() && !numbered.is_empty()), "a guard is on one event");
        Ok(Prepared { id, events: numbered, guard })
    }

    /// Nobody wants to commit any more: tells whether somebody did.
    pub(crate) fn let_go(&mut self) -> bool {
        core::mem::take(&mut self.held)
    }

    /// The prepared commit is in the database, or nothing happened. `None` if none was prepared: then nobody wants to commit any more.
    pub(crate) fn finish(&mut self, applied: bool) -> Option<CommitId> {
        if !matches!(self.phase, Phase::Preparing) {
            return None;
        }
        self.phase = Phase::Ready;
        self.held = false;
        let id = CommitId { session: self.id, ordinal: self.next_commit };
        if !applied {
            self.preparing.clear();
            return Some(id);
        }
        debug_assert!(self.agreed == self.depth && self.unapplied.is_empty(), "nothing was taken meanwhile");
        let events = self.preparing.len();
        self.next_commit += 1;
        self.next_event += events as u64;
        self.depth += events;
        self.agreed = self.depth;
        match events {
            0 => self.ledger.admit_empty(id.ordinal),
            _ => self.ledger.admit(id.ordinal, self.preparing.iter().any(|own| !own.event.client_only)),
        }
        for own in self.preparing.drain(..) {
            self.unadmitted_bytes += own.held_bytes();
            debug_assert!(own.commit == id.ordinal && own.id.ordinal < self.next_event);
            debug_assert!(self.pending.back().is_none_or(|before| before.id.ordinal < own.id.ordinal), "in their order (L4)");
            self.pending.push_back(own);
        }
        debug_assert!(self.depth == self.stack_should_be(), "the stack is what may be undone");
        debug_assert!(self.ledger.last() == id.ordinal, "each commit has a receipt (R1)");
        Some(id)
    }

    /// Whether it has something to take now.
    pub(crate) fn has_news(&self) -> bool {
        matches!(self.phase, Phase::Ready) && !self.waiting.is_empty()
    }

    /// Whether this commit was made and the leader has not admitted it.
    pub(crate) fn is_coming(&self, ordinal: u64) -> bool {
        self.pending.range(self.admitted..).any(|own| own.commit == ordinal)
    }

    // Answers of the driver.

    /// Whether this is the seed that it waits for.
    pub(crate) fn is_seeding(&self, id: EffectId) -> bool {
        matches!(self.phase, Phase::Seeding(expected) if expected == id)
    }

    /// The seed has come: `false` if it is not the one asked for.
    pub(crate) fn seeded(&mut self, id: EffectId, seed: Option<Seed>, leader: &Leader) -> bool {
        if !matches!(self.phase, Phase::Seeding(expected) if expected == id) {
            return false;
        }
        let Some(seed) = seed else {
            self.phase = Phase::Lost("the snapshot could not be taken".into());
            return true;
        };
        self.head = seed.head.pos;
        self.taken = seed.number;
        self.waiting.retain(|txn| txn.number > seed.number);
        // The seed may hold a transaction of which the leader does not know yet that it was committed.
        let stored = self.ledger.persisted().max(leader.decided_by(self.id, seed.number));
        let gone = self.pending.iter().take_while(|own| own.commit <= stored).count();
        debug_assert!(gone <= self.admitted, "only what was admitted can be stored (L4)");
        self.pending.drain(..gone);
        self.admitted = self.admitted.saturating_sub(gone);
        self.recount_admitted();
        // What is pending stands right behind the last confirmed event.
        self.upstream_taken = seed.pending.first().map_or(seed.head.pos.global, |first| first.seq.pos.global.saturating_sub(1));
        self.upstream_applied = self.upstream_taken;
        self.upstream = seed.pending.iter().map(|entry| entry.seq.pos).collect();
        self.depth = self.upstream.len();
        self.agreed = self.depth;
        self.forget = 0;
        self.forget_unapplied();
        self.refused = false;
        // Whoever wanted to commit into the old database asks again, or has gone.
        self.held = false;
        debug_assert!(self.depth == self.stack_should_be() - self.pending.len(), "a seed holds nothing that is not stored");
        self.phase = Phase::Ready;
        true
    }

    pub(crate) fn applied(&mut self, id: EffectId, outcome: SessionApplied) -> bool {
        if !matches!(self.phase, Phase::Applying(expected) if expected == id) {
            return false;
        }
        self.phase = match outcome {
            SessionApplied::Done => {
                debug_assert!(self.agreed == self.depth && self.unapplied.is_empty(), "the transaction was all that was due");
                self.upstream_applied = self.upstream_taken;
                Phase::Ready
            }
            SessionApplied::Failed { message } => Phase::Lost(message),
        };
        true
    }

    /// Why it has to be seeded anew, if it has.
    pub(crate) fn lost(&self) -> Option<&Arc<str>> {
        match &self.phase {
            Phase::Lost(message) => Some(message),
            _ => None,
        }
    }

    pub(crate) fn seeding(&mut self, id: EffectId) {
        debug_assert!(self.lost().is_some(), "a database that is of use is not seeded anew");
        self.phase = Phase::Seeding(id);
    }

    fn forget_unapplied(&mut self) {
        self.unapplied.clear();
        self.settled = 0;
    }

    /// Everything that was known is gone: the history was reset.
    pub(crate) fn wiped(&mut self) {
        self.waiting.clear();
        (self.upstream_taken, self.upstream_applied) = (0, 0);
        if self.is_open() && !matches!(self.phase, Phase::Seeding(_) | Phase::Preparing) {
            self.phase = Phase::Lost("the history was reset".into());
        }
    }
}
