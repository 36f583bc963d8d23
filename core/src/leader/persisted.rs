//! Persisting: what storage answers.

use alloc::vec::Vec;

use crate::config::Config;
use crate::effect::Notice;
use crate::error::{Poison, Quarantined, StorageClass, StorageFailure, SyncError};
use crate::event::{Entry, Standing};
use crate::id::{CommitId, EffectId};
use crate::message::Down;
use crate::mutant::Mutant;
use crate::outbox::Outbox;
use crate::txn::{Materialised, Skip};

use super::Leader;
use super::persisting::{Decision, Flight};

impl Leader {
    /// Storage has answered. Answers to anything but a transaction under way are ignored: told by `false`.
    pub(crate) fn materialised(&mut self, config: &Config, id: EffectId, outcome: Materialised, out: &mut Outbox) -> bool {
        let any = self.has(Mutant::NoStaleGuard);
        let Some(index) = self.persisting.flights.iter().position(|flight| any || flight.effect == Some(id)) else {
            return false;
        };
        match outcome {
            Materialised::Committed { skipped } => {
                self.hold(index, &skipped);
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

    /// Notes whether anything is held in the transactions up to this one, which have committed.
    fn hold(&mut self, last: usize, skipped: &[Skip]) {
        let is_held = |(index, flight): (usize, &Flight)| {
            if flight.txn.hold_to.is_none() {
                return false;
            }
            let may_be = |entry: &&Entry| entry.standing == Standing::Pending && !entry.is_accepted(&flight.txn.heads);
            // Storage may have forgotten what it skipped in one that it did not answer.
            let forgotten = index < last || flight.uncertain;
            flight.txn.append.iter().filter(may_be).any(|entry| forgotten || skipped.iter().any(|skip| skip.at == entry.seq.pos))
        };
        self.persisting.held |= self.persisting.flights[..=last].iter().enumerate().any(is_held);
    }

    fn ask_again(&mut self, index: usize) {
        debug_assert!(self.persisting.flights[index].effect.is_some(), "it has been answered");
        let flight = &mut self.persisting.flights[index];
        (flight.effect, flight.uncertain) = (None, true);
    }

    /// Forgets the transactions under way after the first `keep`: they have not happened, nor will they.
    fn forget_flights(&mut self, keep: usize) {
        debug_assert!(keep <= self.persisting.flights.len());
        self.persisting.flights.truncate(keep);
        self.tail.rolled_back(keep);
        // If only these had moved anything, there is nothing that has to be written anew.
        self.persisting.judging &= self.tail.planned().beyond || self.persisting.flights.iter().any(|flight| flight.judges);
        debug_assert!(self.tail.views() == self.persisting.flights.len() + 1, "storage is seen as it will be");
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
        // A damaged file is never tried again: nobody would look at the deadline.
        if self.persisting.broken.is_some() {
            return;
        }
        let first = config.backoff_min / 10;
        self.persisting.retry.fail(self.now, first, config.backoff_cap(), &mut self.jitter);
    }

    fn stored(&mut self, out: &mut Outbox) {
        if self.persisting.trouble.take().is_some() {
            out.notify(Notice::StorageWorks);
        }
        self.persisting.retry.reset();
        let flight = self.persisting.flights.remove(0);
        debug_assert!(flight.txn.number == self.persisting.number + 1, "transactions commit one after the other");
        self.persisting.number = flight.txn.number;
        self.persisting.judging &= !flight.judges;
        self.tail.committed();
        if self.tail.acknowledged_is_stored() {
            self.persisting.acknowledged = None;
        }

        debug_assert!(self.tail.stored().acknowledged == flight.txn.heads.acknowledged, "the view is the transaction's");
        debug_assert!(self.tail.stored().upstream == flight.txn.heads.upstream, "the view is the transaction's");

        let decided = flight.decisions - self.persisting.decisions_first;
        debug_assert!(decided <= self.persisting.decisions.len() as u64);
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
        debug_assert!(admitted <= self.persisting.admissions.len() as u64);
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
        debug_assert!(!self.persisting.admissions.is_empty() || (self.persisting.events, self.persisting.bytes) == (0, 0));
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
        debug_assert!(self.persisting.idle(), "what is withdrawn is in no transaction");
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
