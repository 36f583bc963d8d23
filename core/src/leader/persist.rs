//! Persisting: what is admitted or pulled becomes storage transactions, each the difference between what storage will hold
//! and what it should hold. While one is syncing, the next gathers (group commit).
//!
//! A failed transaction is forgotten, and the difference is taken anew: nothing has to be taken back by hand. Keeps R3 and S2.

use alloc::sync::Arc;
use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::config::Config;
use crate::effect::{Effect, Notice};
use crate::error::{Poison, Quarantined, StorageClass, StorageFailure, SyncError};
use crate::event::{Entry, Standing};
use crate::id::{CommitId, EffectId, SessionId};
use crate::message::Down;
use crate::mutant::Mutant;
use crate::outbox::Outbox;
use crate::time::Time;
use crate::txn::{Heads, Materialised, Txn};

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

    fn begin(&mut self, config: &Config, out: &mut Outbox) {
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
        debug_assert!(to.settled >= planned.settled);
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
        let txn = Arc::new(txn);
        let effect = Some(out.effect(Effect::Materialise(txn.clone())));
        if self.has(Mutant::ResolveBeforeCommit) {
            let early = txn.marks.iter().map(|&(session, through)| Down::Persisted { session, through });
            self.down.extend(early);
        }
        self.persisting.flights.push(Flight { effect, uncertain: false, txn, admissions, decisions });
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
        (to, end)
    }

    /// Whether settled entries that are still to be stored belong to admitted commits: those can't be cut.
    fn settled_holds_local(&self) -> bool {
        let to = self.tail.complete_view();
        let unstored = View { pending: self.tail.planned().pending, ..to };
        self.tail.unstored_settled() > 0 && self.tail.entries(&unstored).iter().any(|entry| entry.standing == Standing::Local)
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

    /// Storage has answered. Answers to anything but a transaction under way are ignored: told by `false`.
    pub(crate) fn materialised(&mut self, config: &Config, id: EffectId, outcome: Materialised, out: &mut Outbox) -> bool {
        let any = self.has(Mutant::NoStaleGuard);
        let Some(index) = self.persisting.flights.iter().position(|flight| any || flight.effect == Some(id)) else {
            return false;
        };
        match outcome {
            Materialised::Committed { skipped } => {
                if !skipped.is_empty() {
                    out.notify(Notice::Skipped(skipped));
                }
                // The second of two stands on the first: that one is committed too, if its outcome was unknown until now.
                for _ in 0..=index {
                    self.stored(out);
                }
            }
            Materialised::RolledBack { refused } if index == 0 => self.rolled_back(config, refused),
            Materialised::UnknownOutcome(failure) if !self.has(Mutant::ForgetUnknownOutcome) => {
                self.ask_again(index);
                self.in_trouble(config, failure, out);
            }
            // Nothing was done this time; but the time before?
            Materialised::Failed(failure) if self.persisting.flights[index].uncertain => {
                self.ask_again(index);
                self.in_trouble(config, failure, out);
            }
            Materialised::Failed(failure) | Materialised::UnknownOutcome(failure) => {
                self.forget_flights(index);
                self.in_trouble(config, failure, out);
            }
            // The first of two is going to be asked for again: what it comes to decides whether the second one is judged at all.
            Materialised::RolledBack { .. } | Materialised::Stale if index > 0 => self.forget_flights(index),
            Materialised::RolledBack { .. } | Materialised::Stale => {
                self.forget_flights(0);
                let message =
                    "the file carries another transaction number than this store left in it: was it replaced by a copy?";
                self.in_trouble(config, StorageFailure { class: StorageClass::Other, message: message.into() }, out);
            }
        }
        true
    }

    fn ask_again(&mut self, index: usize) {
        let flight = &mut self.persisting.flights[index];
        (flight.effect, flight.uncertain) = (None, true);
    }

    /// Forgets the transactions under way after the first `keep`: they have not happened, nor will they.
    fn forget_flights(&mut self, keep: usize) {
        self.persisting.flights.truncate(keep);
        self.tail.rolled_back(keep);
    }

    fn in_trouble(&mut self, config: &Config, failure: StorageFailure, out: &mut Outbox) {
        if failure.class == StorageClass::Corrupt {
            self.persisting.broken = Some(failure.message.clone());
            self.persisting.retry.reset();
        } else {
            self.wait_for_storage(config);
        }
        if self.persisting.trouble.as_ref() != Some(&failure) {
            out.notify(Notice::StorageTrouble(failure.clone()));
        }
        self.persisting.trouble = Some(failure);
    }

    fn wait_for_storage(&mut self, config: &Config) {
        let first = config.backoff_min / 10;
        self.persisting.retry.fail(self.now, first, config.backoff_cap(), &mut self.jitter);
    }

    fn stored(&mut self, out: &mut Outbox) {
        if self.persisting.trouble.take().is_some() {
            out.notify(Notice::StorageWorks);
        }
        self.persisting.retry.reset();
        let flight = self.persisting.flights.remove(0);
        self.persisting.number = flight.txn.number;
        self.tail.committed();
        if self.tail.acknowledged_is_stored() {
            self.persisting.acknowledged = None;
        }

        let decided = flight.decisions - self.persisting.decisions_first;
        self.persisting.decisions_first = flight.decisions;
        for decision in self.persisting.decisions.drain(..decided as usize) {
            match decision {
                Decision::Fail { quarantined: Quarantined { commit, error, .. }, .. } => {
                    if error.events() == crate::error::Whereabouts::Quarantine {
                        out.notify(Notice::Quarantined { commit, error: error.clone() });
                    }
                    self.down.push(Down::Failed { commit, error });
                }
                Decision::Wipe => self.down.push(Down::Wiped),
                Decision::Release(_) | Decision::Heads => {}
            }
        }
        let admitted = flight.admissions - self.persisting.admissions_first;
        self.persisting.admissions_first = flight.admissions;
        let mut failed_meanwhile = Vec::new();
        for admission in self.persisting.admissions.drain(..admitted as usize) {
            self.persisting.events -= admission.events;
            self.persisting.bytes -= admission.bytes;
            let commit = admission.commit;
            match admission.failed {
                Some(error) if flight.txn.failed.iter().any(|failed| failed.commit == commit) => {
                    self.down.push(Down::Failed { commit, error: *error });
                }
                // It failed while it was being stored.
                Some(error) => failed_meanwhile.push(Decision::queued(commit, *error)),
                None => {}
            }
        }
        failed_meanwhile.into_iter().for_each(|decision| self.persisting.decide(decision));
        for &(session, through) in &flight.txn.marks {
            self.down.push(Down::Persisted { session, through });
        }
        self.down.push(Down::Stored(flight.txn));
    }

    fn rolled_back(&mut self, config: &Config, refused: Vec<(CommitId, Poison)>) {
        self.persisting.retry_until = self.persisting.flights[0].admissions;
        let known = self.persisting.flights[0].txn.heads.acknowledged;
        self.forget_flights(0);
        let error = |(commit, poison)| {
            let error = |certainty| match poison {
                Poison::Materialise { event, message } => SyncError::Materialise { event, message, certainty },
                Poison::Conflict { guard, message } => SyncError::Conflict { guard, message, certainty },
            };
            (commit, error)
        };
        let any = self.withdraw_all(refused.into_iter().map(error).collect());
        // What the backend has acknowledged meanwhile can't be withdrawn: in a transaction that says so, storage skips it.
        if !any && known == self.tail.acknowledged() {
            // The same transaction would end the same: storage does not keep to what it was told, or a copy of the file came back.
            self.pulling.look_again();
            self.wait_for_storage(config);
        }
    }
}

fn set_mark(marks: &mut SmallVec<[(SessionId, u64); 1]>, commit: CommitId) {
    match marks.iter_mut().rev().find(|(session, _)| *session == commit.session) {
        Some((_, through)) => *through = commit.ordinal.max(*through),
        None => marks.push((commit.session, commit.ordinal)),
    }
}
