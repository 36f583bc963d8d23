//! Persisting: what is admitted or pulled becomes storage transactions, each the difference between what storage will hold
//! and what it should hold. While one is syncing, the next gathers (group commit).
//!
//! A failed transaction is forgotten, and the difference is taken anew: nothing has to be taken back by hand. Keeps R3 and S2.

use alloc::sync::Arc;
use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::config::Config;
use crate::effect::Effect;
use crate::error::Quarantined;
use crate::event::{Entry, Standing};
use crate::id::{CommitId, SessionId};
use crate::message::Down;
use crate::mutant::Mutant;
use crate::outbox::Outbox;
use crate::seq::Pos;
use crate::time::Time;
use crate::txn::{Heads, Txn};

use super::Leader;
use super::persisting::{Decision, Flight};
use super::tail::View;
impl Leader {
    /// Orders the next transaction, if there is something to store and room for it.
    pub(super) fn persist(&mut self, config: &Config, out: &mut Outbox) {
        if self.persisting.broken.is_some() || !self.persisting.retry.try_now(self.now) {
            return;
        }
        for flight in &mut self.persisting.flights {
            if flight.effect.is_none() {
                flight.effect = Some(out.effect(Effect::Materialise(flight.txn.clone())));
            }
        }
        debug_assert!(self.persisting.flights.iter().all(|flight| flight.effect.is_some()), "all under way are asked for");
        let room = self.room(config);
        while self.persisting.flights.len() < room && self.has_something_to_store(config) {
            self.begin(config, out);
        }
    }

    /// Whether the next transaction has to wait for one that is under way, which holds nothing up but what is admitted meanwhile.
    pub(crate) fn is_gathering(&self, config: &Config) -> bool {
        let flights = &self.persisting.flights;
        flights.len() >= self.room(config) && flights.iter().all(|flight| flight.effect.is_some())
    }

    /// How many transactions may be under way.
    fn room(&self, config: &Config) -> usize {
        if self.persisting.tries_again() { 1 } else { config.txns_in_flight.clamp(1, 2) }
    }

    fn has_something_to_store(&self, config: &Config) -> bool {
        let (admissions, decisions) = self.persisting.planned();
        let new_admissions = admissions < self.persisting.admissions_first + self.persisting.admissions.len() as u64;
        let new_decisions = decisions < self.persisting.decisions_first + self.persisting.decisions.len() as u64;
        if new_admissions || new_decisions {
            return true;
        }
        let planned = self.tail.planned();
        if planned.own_after != self.tail.own_after() || self.acknowledgement_is_due(config) {
            return true;
        }
        let changed = planned.beyond || planned.upstream != self.tail.upstream() || self.tail.unstored_settled() > 0;
        // A rebase costs as much as is pending: while more pages are on their way, it waits until they are as many.
        changed && !(self.rebase_may_wait(config) && self.more_is_coming()) && !self.rebase_waits(config)
    }

    fn rebase_may_wait(&self, config: &Config) -> bool {
        self.tail.planned().beyond && !self.closing && self.room_for_pages(config)
    }

    /// Whether a rebase is not worth its cost yet, and nothing waits for it.
    fn rebase_waits(&self, config: &Config) -> bool {
        self.rebase_may_wait(config) && self.gets_on_without_rebase()
    }

    /// Whether an acknowledgement has waited long enough for something else to be stored with.
    fn acknowledgement_is_due(&self, config: &Config) -> bool {
        self.tail.planned().acknowledged < self.tail.acknowledged()
            && !self.rebase_waits(config)
            && (self.closing || self.persisting.acknowledged.is_none_or(|at| at.after(config.acknowledgement_delay) <= self.now))
    }

    /// When an acknowledgement gets a transaction of its own.
    pub(super) fn acknowledgement_deadline(&self, config: &Config) -> Option<Time> {
        let waits = self.tail.planned().acknowledged < self.tail.acknowledged() && self.persisting.flights.is_empty();
        let waits = waits && !self.rebase_waits(config);
        let at = self.persisting.acknowledged.filter(|_| waits && self.persisting.can_write())?;
        Some(at.after(config.acknowledgement_delay))
    }

    /// Up to where pending commits may be at the backend, with the answer still to be pulled: none of them is called poison before that.
    /// One of an earlier process may have settled by an acknowledgement that is not stored, and settles the same (R1).
    fn hold_to(&self) -> Option<Pos> {
        if self.pulling.caught_up() {
            return None;
        }
        let last = self.tail.exposed().checked_sub(1).filter(|&last| last >= self.tail.acked())?;
        self.tail.get(last).map(|event| self.tail.place_of(event))
    }

    /// What is held is judged as soon as all of the backend's log is here.
    pub(super) fn judge_held(&mut self) {
        if self.persisting.held && self.pulling.caught_up() {
            self.judge_anew();
        }
    }

    /// What is pending is written anew by the next transaction, and judged by it.
    pub(super) fn judge_anew(&mut self) {
        self.tail.write_anew();
        self.persisting.held = false;
        self.persisting.judging = self.tail.planned().beyond;
        for flight in &mut self.persisting.flights {
            flight.judges = false;
        }
    }

    fn begin(&mut self, config: &Config, out: &mut Outbox) {
        debug_assert!(self.persisting.flights.len() < self.room(config) && self.persisting.can_write());
        let (to, admissions) = self.next_view(config);
        let planned = *self.tail.planned();
        let complete = to.settled == self.tail.settled_end();
        let (upstream, upstream_parent) = self.tail.upstream_at(to.settled);
        let to =
            View { upstream, upstream_parent, acknowledged: self.tail.acknowledged(), own_after: self.tail.own_after(), ..to };
        debug_assert!(to.pending >= self.tail.acked(), "what is acknowledged was pushed, so it is in every transaction");
        let (first_admission, first_decision) = self.persisting.planned();
        let decisions = self.persisting.decisions_first + self.persisting.decisions.len() as u64;

        let mut txn = Txn {
            number: self.persisting.number + self.persisting.flights.len() as u64 + 1,
            wipe: false,
            undo_to: self.tail.undo_to(),
            failed: Vec::new(),
            release: Vec::new(),
            append: self.tail.entries(&to),
            hold_to: None,
            heads: Heads {
                upstream,
                upstream_parent,
                acknowledged: to.acknowledged,
                own_after: to.own_after,
                settled: if complete { self.tail.head() } else { self.tail.settled_place(to.settled) },
                generation: self.tail.generation,
                backend: self.backend.clone(),
            },
            marks: self.marks(first_admission, admissions),
        };
        txn.hold_to = self.hold_to().filter(|&to| {
            let first = txn.append.iter().find(|entry| entry.standing == Standing::Pending);
            first.is_some_and(|first| first.seq.pos <= to)
        });
        debug_assert!(to.settled >= planned.settled);
        debug_assert!(to.durable >= planned.durable, "what is durable stays so (L4)");
        debug_assert!(admissions >= first_admission && decisions >= first_decision);
        let heads = &txn.heads;
        debug_assert!(!config.backend || heads.settled.global == heads.upstream, "with a backend, what has settled is confirmed");
        debug_assert!(
            heads.upstream <= self.tail.upstream() && heads.upstream >= planned.upstream,
            "the cursor follows (L2, L3)"
        );
        debug_assert!(heads.acknowledged >= planned.acknowledged, "an acknowledgement is never taken back");
        let first = txn.append.first().map(|entry| entry.seq.pos);
        debug_assert!(txn.undo_to.zip(first).is_none_or(|(to, first)| first > to), "what is appended comes after what is kept");
        debug_assert!(
            !complete
                || to.pending == self.tail.pending_first()
                || txn
                    .append
                    .last()
                    .is_none_or(|last| { to.pending < self.tail.pending_end() || last.seq.pos == self.tail.local_head() }),
            "a transaction of everything ends where the log does"
        );
        let held = self.persisting.admissions_first;
        for admission in self.persisting.admissions.range((first_admission - held) as usize..(admissions - held) as usize) {
            if let Some(error) = admission.failed.as_deref().cloned() {
                txn.failed.push(Quarantined { commit: admission.commit, events: Vec::new(), error });
            }
        }
        for decision in self.persisting.decisions.range((first_decision - self.persisting.decisions_first) as usize..) {
            match decision {
                Decision::Fail { quarantined, decides } => {
                    if *decides {
                        set_mark(&mut txn.marks, quarantined.commit);
                    }
                    txn.failed.push(quarantined.clone());
                }
                Decision::Release(event) => txn.release.push(*event),
                Decision::Heads => {}
                Decision::Wipe => {
                    txn.wipe = true;
                    txn.undo_to = None;
                }
            }
        }
        debug_assert!(!txn.wipe || txn.undo_to.is_none(), "a history that is forgotten is not undone");
        debug_assert!(txn.marks.iter().all(|&(_, through)| through > 0), "a mark is a commit");
        let txn = Arc::new(txn);
        let effect = Some(out.effect(Effect::Materialise(txn.clone())));
        if self.has(Mutant::ResolveBeforeCommit) {
            let early = txn.marks.iter().map(|&(session, through)| Down::Persisted { session, through });
            self.down.extend(early);
        }
        let judges = self.persisting.judging;
        self.persisting.flights.push(Flight { effect, uncertain: false, txn, admissions, decisions, judges });
        self.tail.plan(to);
    }

    /// How far the next transaction goes, and how many admissions that covers.
    fn next_view(&self, config: &Config) -> (View, u64) {
        let planned = self.tail.planned();
        let (first, _) = self.persisting.planned();
        let held = &self.persisting.admissions;
        let mut to = View {
            settled: self.tail.settled_end(),
            // What is durable has to stay so: it is in every transaction that moves it.
            pending: planned.durable.max(planned.pending).max(self.tail.pending_first()),
            beyond: false,
            ..*planned
        };
        let mut end = first;
        let mut events = 0;
        let unlimited = config.backend && self.settled_holds_local();
        for admission in held.range((first - self.persisting.admissions_first) as usize..) {
            // What was in a poisoned transaction stays together: the mark of a refused commit says that all before it are decided.
            let again = self.persisting.tries_again() && end < self.persisting.retry_until;
            let full = !again && events > 0 && events + admission.events > config.txn_events;
            let withheld = self.persisting.tries_again() && !again;
            if !unlimited && (full || withheld) {
                break;
            }
            events += admission.events;
            end += 1;
            to.pending = to.pending.max(admission.pending_end);
        }
        let all = end == self.persisting.admissions_first + held.len() as u64;
        if !config.backend && !all {
            // Without a backend admitted commits settle at once, and this is where the transaction has to end between two of them.
            let last = end.checked_sub(self.persisting.admissions_first + 1).and_then(|i| held.get(i as usize));
            to.settled = last.map_or(planned.settled, |admission| admission.settled_end).max(planned.settled);
        }
        to.durable = to.pending.max(planned.durable);
        debug_assert!((first..=self.persisting.admissions_first + held.len() as u64).contains(&end));
        debug_assert!(to.pending <= self.tail.pending_end() && to.settled <= self.tail.settled_end(), "no more than there is");
        debug_assert!(
            !self.persisting.tries_again() || unlimited || end <= self.persisting.retry_until.max(first),
            "none joins poison"
        );
        (to, end)
    }

    /// Whether settled entries that are still to be stored belong to admitted commits: those can't be cut.
    fn settled_holds_local(&self) -> bool {
        if self.tail.unstored_settled() == 0 {
            return false;
        }
        let settled = View { pending: self.tail.planned().pending, ..self.tail.complete_view() };
        self.tail.entries(&settled).iter().any(|entry| entry.standing == Standing::Local)
    }

    fn marks(&self, from: u64, to: u64) -> SmallVec<[(SessionId, u64); 1]> {
        let first = self.persisting.admissions_first;
        let mut marks: SmallVec<[(SessionId, u64); 1]> = SmallVec::new();
        for admission in self.persisting.admissions.range((from - first) as usize..(to - first) as usize) {
            set_mark(&mut marks, admission.commit);
        }
        marks
    }

    /// The commits in transactions of which nobody knows yet whether they were committed.
    pub(crate) fn uncertain_commits(&self) -> impl Iterator<Item = CommitId> + '_ {
        let uncertain = self.persisting.flights.iter().filter(|flight| flight.uncertain);
        uncertain.flat_map(|flight| flight.txn.append.iter().filter_map(Entry::commit_id))
    }

    /// The last commit of a session that the transactions under way up to this number decide; 0 if they decide none.
    pub(crate) fn decided_by(&self, session: SessionId, number: u64) -> u64 {
        let flights = self.persisting.flights.iter().filter(|flight| flight.txn.number <= number);
        let marks = flights.flat_map(|flight| &flight.txn.marks).filter(|(of, _)| *of == session);
        marks.map(|&(_, through)| through).max().unwrap_or(0)
    }
}

fn set_mark(marks: &mut SmallVec<[(SessionId, u64); 1]>, commit: CommitId) {
    match marks.iter_mut().rev().find(|(session, _)| *session == commit.session) {
        Some((_, through)) => *through = commit.ordinal.max(*through),
        None => marks.push((commit.session, commit.ordinal)),
    }
    debug_assert!(marks.iter().filter(|(session, _)| *session == commit.session).count() == 1, "one mark a session");
}
