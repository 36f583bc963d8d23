//! What stops syncing, and what a user or a policy makes of it: outages, credentials, another backend, stuck commits.

mod check;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::config::{Config, StuckPolicy};
use crate::effect::Notice;
use crate::error::{BackendFailure, Certainty, InvalidPush, LOST_HISTORY, SyncError, Whereabouts};
use crate::id::{BackendId, CommitId, EffectId};
use crate::input::IdentityPolicy;
use crate::mutant::Mutant;
use crate::outbox::Outbox;
use crate::seq::{GLOBAL_MAX, Pos};
use crate::time::Time;
use crate::txn::Heads;

use super::ages::Ages;
use super::persisting::{Admission, Decision};
use super::pushing::Stuck;
use super::{Leader, Tail};

/// What stands for the error where the driver says so itself.
const NO_NETWORK: &str = "there is no network";

/// Another backend than the one known, or one that lost history.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mismatch {
    expected: BackendId,
    received: BackendId,
    policy: IdentityPolicy,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Policy {
    pub(super) mismatch: Option<Mismatch>,
    /// The backend wants other credentials.
    needs_auth: Option<Arc<str>>,
    /// The driver says that there is no network.
    offline: bool,
    /// Since when the backend has not been reached, and what was said.
    outage: Option<(Time, Arc<str>)>,
    /// The outage counts as final.
    offline_for_good: bool,
    /// What the withdrawals that wait were last looked at against: nothing comes of looking again before it changes.
    looked: Option<Looked>,
}

/// What decides whether a withdrawal is due: the ends of the tail, how much of it is stored, and the push under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Looked {
    settled_end: u64,
    pending: (u64, u64),
    durable: u64,
    push: Option<EffectId>,
}

/// What keeps a leader from syncing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Hindrance {
    Mismatch { expected: BackendId, received: BackendId, ignored: bool },
    NeedsAuth(Arc<str>),
    Offline { since: Time },
    Unreachable { since: Time, message: Arc<str> },
    LogBroken { at: u64 },
    Storage(Arc<str>),
}

/// What there is of a commit that is to be withdrawn.
struct Found {
    /// All of it is stored, and no request with it is unanswered.
    can_go: bool,
    /// The backend has not accepted all of it.
    waits: bool,
}

impl Leader {
    /// Whether pushing and pulling may go on.
    pub(super) fn may_sync(&self) -> bool {
        let policy = &self.policy;
        policy.mismatch.is_none() && policy.needs_auth.is_none() && !policy.offline && self.persisting.broken.is_none()
    }

    /// Whether nothing but time and room may be in the way of asking the backend what it has.
    pub(super) fn may_pull(&self) -> bool {
        self.may_sync() && !self.closing
    }

    pub(crate) fn hindrance(&self) -> Option<Hindrance> {
        let policy = &self.policy;
        if let Some(message) = &self.persisting.broken {
            return Some(Hindrance::Storage(message.clone()));
        }
        if let Some(Mismatch { expected, received, policy }) = &policy.mismatch {
            let ignored = *policy == IdentityPolicy::Ignore;
            return Some(Hindrance::Mismatch { expected: expected.clone(), received: received.clone(), ignored });
        }
        if let Some(message) = &policy.needs_auth {
            return Some(Hindrance::NeedsAuth(message.clone()));
        }
        if policy.offline {
            return Some(Hindrance::Offline { since: policy.outage.as_ref().map_or(self.now, |(since, _)| *since) });
        }
        if let Some((since, message)) = &policy.outage {
            return Some(Hindrance::Unreachable { since: *since, message: message.clone() });
        }
        self.pulling.broken_at.map(|at| Hindrance::LogBroken { at })
    }

    pub(crate) fn stuck(&self) -> Option<&Stuck> {
        self.pushing.stuck.as_ref()
    }

    // What is learnt about the backend.

    pub(super) fn unreachable(&mut self, message: Arc<str>, out: &mut Outbox) {
        if self.policy.outage.is_none() {
            out.notify(Notice::Unreachable { message: message.clone() });
            self.policy.outage = Some((self.now, message));
        } else if let Some(outage) = &mut self.policy.outage {
            outage.1 = message;
        }
    }

    pub(super) fn reached(&mut self, out: &mut Outbox) {
        self.policy.offline_for_good = false;
        if self.policy.outage.take().is_some() {
            out.notify(Notice::Reachable);
        }
        if self.policy.offline && !self.has(Mutant::ReplyEndsOffline) {
            // A reply that was on its way: there is no network all the same, and waits are counted from here.
            self.policy.outage = Some((self.now, Arc::from(NO_NETWORK)));
        }
    }

    /// Failures after which pushing and pulling pause until something changes.
    pub(super) fn stop_syncing(&mut self, config: &Config, failure: BackendFailure, out: &mut Outbox) {
        match failure {
            BackendFailure::NeedsAuth { message } => {
                if self.policy.needs_auth.is_none() {
                    out.notify(Notice::NeedsAuth { message: message.clone() });
                }
                self.policy.needs_auth = Some(message);
            }
            BackendFailure::Identity { theirs } => {
                let expected = self.backend.clone().unwrap_or_else(|| Arc::from("unknown"));
                self.mismatch(config, expected, theirs, out);
            }
            BackendFailure::Truncated { message } => {
                let expected = self.backend.clone().unwrap_or_else(|| Arc::from("unknown"));
                self.mismatch(config, expected, alloc::format!("{LOST_HISTORY}{message}").into(), out);
            }
            // The others are dealt with where they come in.
            BackendFailure::Unreachable { message, .. } | BackendFailure::Unknown { message } => self.unreachable(message, out),
            BackendFailure::ServerAhead { .. } | BackendFailure::Refused { .. } => {}
        }
    }

    fn mismatch(&mut self, config: &Config, expected: BackendId, received: BackendId, out: &mut Outbox) {
        self.pulling.look_again();
        if self.policy.mismatch.is_some() {
            return;
        }
        out.notify(Notice::BackendIdMismatch { expected: expected.clone(), received: received.clone() });
        self.policy.mismatch = Some(Mismatch { expected, received, policy: config.identity });
        debug_assert!(!self.may_sync(), "nothing is sent to another backend (L8)");
        if config.identity == IdentityPolicy::Stop {
            self.end_all_waiting(config);
        }
    }

    // What users and policies decide.

    pub(crate) fn offline(&mut self) {
        self.policy.offline = true;
        if self.policy.outage.is_none() {
            self.policy.outage = Some((self.now, Arc::from(NO_NETWORK)));
        }
    }

    pub(crate) fn online(&mut self) {
        self.policy.offline = false;
        self.policy.offline_for_good = false;
        // Whoever says so begins a new wait for the backend: the old one may be over its deadline.
        if let Some((since, _)) = &mut self.policy.outage {
            *since = self.now;
        }
        self.push_now();
        self.pull_now();
    }

    pub(crate) fn authenticated(&mut self) {
        self.policy.needs_auth = None;
        self.push_now();
        self.pull_now();
    }

    /// Somebody knows of something newer: the backend is asked at once, unless something else than time is in the way.
    pub(crate) fn refresh(&mut self) {
        if self.may_sync() {
            self.pull_now();
        }
    }

    pub(crate) fn decide(&mut self, decision: IdentityPolicy) {
        match (&mut self.policy.mismatch, decision) {
            (None, _) => {}
            // To look again is what is left of stopping: if it is the known backend by now, everything goes on.
            (mismatch, IdentityPolicy::Stop) => {
                *mismatch = None;
                self.push_now();
                self.pull_now();
            }
            (Some(mismatch), decision) => mismatch.policy = decision,
        }
    }

    /// A user wants a commit back, that a session has on its way here if `is_coming`. Nothing happens if there is nothing to take
    /// back.
    pub(crate) fn ask_to_withdraw(&mut self, commit: CommitId, is_coming: bool) {
        if is_coming || self.tail.pending().iter().any(|event| event.own.commit_id() == commit) {
            self.withdrawals.entry(commit).or_insert(None);
            self.look_at_withdrawals();
        }
    }

    /// There is another withdrawal, or one session fewer.
    pub(super) fn look_at_withdrawals(&mut self) {
        self.policy.looked = None;
    }

    pub(crate) fn give_up_offline(&mut self, config: &Config) {
        self.policy.offline_for_good = true;
        self.end_all_waiting(config);
    }

    fn offline_reason(&self) -> Arc<str> {
        match &self.policy.outage {
            Some((since, message)) => {
                let seconds = self.now.since(*since).as_secs();
                alloc::format!("the backend has not been reached for {seconds} s, and this counts as final: {message}").into()
            }
            None => Arc::from("the network was declared gone for good"),
        }
    }

    /// The error that every commit ends in which now waits for the backend; none if they go on waiting.
    fn stopped(&self, config: &Config) -> Option<SyncError> {
        if let Some(Mismatch { expected, received, policy: IdentityPolicy::Stop }) = &self.policy.mismatch {
            let cause = InvalidPush::BackendIdMismatch { expected: expected.clone(), received: received.clone() };
            // `NotApplied` is only said of events that have left the queue.
            let (certainty, events) = (Certainty::Unknown, Whereabouts::Queued);
            return Some(SyncError::InvalidPush { cause, certainty, events });
        }
        let events = if config.offline.withdraw { Whereabouts::Quarantine } else { Whereabouts::Queued };
        self.policy.offline_for_good.then(|| SyncError::IsOffline { reason: self.offline_reason(), events })
    }

    /// A commit made while everything is stopped settles the same, at once or, if it is to leave the queue, as soon as it can.
    pub(super) fn end_if_stopped(&mut self, config: &Config, commit: CommitId) {
        match self.stopped(config) {
            Some(error) if error.events() == Whereabouts::Quarantine => {
                self.withdrawals.entry(commit).or_insert(Some(error));
                self.look_at_withdrawals();
            }
            Some(error) => self.fail_queued(commit, error),
            None => {}
        }
    }

    fn end_all_waiting(&mut self, config: &Config) {
        for commit in self.waiting_commits() {
            self.end_if_stopped(config, commit);
        }
    }

    // What time and circumstances make due.

    pub(super) fn offline_deadline(&self, config: &Config) -> Option<Time> {
        let (since, _) = self.policy.outage.as_ref()?;
        debug_assert!(*since <= self.now);
        let after = config.offline.deadline?;
        Some(since.after(after)).filter(|_| config.backend && !self.policy.offline_for_good)
    }

    pub(super) fn stuck_deadline(&self, config: &Config) -> Option<Time> {
        let StuckPolicy::WithdrawAfter(after) = config.stuck else { return None };
        // What is under way has to be answered first, and whatever the answer is, it comes as an input.
        let waits = self.pushing.policy_withdrew || self.pushing.any_in_flight();
        let stuck = self.pushing.stuck.as_ref().filter(|_| !waits)?;
        Some(stuck.since.after(after))
    }

    pub(super) fn apply_policies(&mut self, config: &Config) {
        if self.offline_deadline(config).is_some_and(|at| at <= self.now) {
            self.give_up_offline(config);
        }
        if self.stuck_deadline(config).is_some_and(|at| at <= self.now)
            && let Some(Stuck { commit, message, .. }) = self.pushing.stuck.clone()
        {
            // What is stuck was sent, so it is stored; and nothing is under way.
            debug_assert!(!self.pushing.policy_withdrew, "no second commit before a push is accepted");
            self.pushing.policy_withdrew = true;
            let any = self.withdraw(commit, |certainty| SyncError::Withdrawn { cause: Some(message), certainty });
            debug_assert!(any && self.pushing.stuck.is_none(), "what was stuck is out of the way");
            self.push_now();
        }
        self.withdraw_what_can_be();
        if self.policy.mismatch.as_ref().is_some_and(|mismatch| mismatch.policy == IdentityPolicy::Reset)
            && self.persisting.idle()
            && !self.pushing.any_in_flight()
        {
            self.reset(config);
        }
    }

    fn look(&self) -> Looked {
        Looked {
            settled_end: self.tail.settled_end(),
            pending: (self.tail.pending_first(), self.tail.pending_end()),
            durable: self.tail.stored().durable,
            push: self.pushing.in_flight_id(),
        }
    }

    /// Whether nothing has changed since the withdrawals that wait were looked at.
    pub(super) fn has_looked(&self) -> bool {
        self.policy.looked == Some(self.look())
    }

    fn withdraw_what_can_be(&mut self) {
        let looked = self.look();
        if self.withdrawals.is_empty() || self.policy.looked.replace(looked) == Some(looked) {
            return;
        }
        let mut found: BTreeMap<CommitId, Found> = BTreeMap::new();
        for (index, event) in (self.tail.pending_first()..).zip(self.tail.pending()) {
            let commit = event.own.commit_id();
            if self.withdrawals.contains_key(&commit) {
                let found = found.entry(commit).or_insert(Found { can_go: true, waits: false });
                found.can_go &= self.is_stored_and_answered(index);
                found.waits |= index >= self.tail.acked() && !event.own.event.client_only;
            }
        }
        // Of whom the backend has everything that it is to have, nothing is taken back: its receipt has settled (R1).
        found.retain(|_, found| found.waits);
        let due = found.iter().filter(|(_, found)| found.can_go).map(|(&commit, _)| {
            let error = self.withdrawals.remove(&commit).flatten();
            (commit, |certainty| error.unwrap_or(SyncError::Withdrawn { cause: None, certainty }))
        });
        let due = due.collect();
        self.withdraw_all(due);
        let admitted = &self.admitted;
        self.withdrawals.retain(|commit, _| {
            admitted.get(&commit.session).is_some_and(|&last| commit.ordinal > last) || found.contains_key(commit)
        });
    }

    /// A commit can be withdrawn once it is stored, and not while a request with it is unanswered.
    fn is_stored_and_answered(&self, index: u64) -> bool {
        index < self.tail.stored().durable && !self.pushing.is_in_flight(index)
    }

    /// Forgets the confirmed history and puts what is pending into quarantine, in one transaction.
    fn reset(&mut self, config: &Config) {
        debug_assert!(self.persisting.idle() && !self.pushing.any_in_flight(), "nothing may come of the old history any more");
        let Some(Mismatch { expected, received, .. }) = self.policy.mismatch.take() else { return };
        let unstored = self.persisting.clear();
        let mut commits: Vec<CommitId> = Vec::new();
        for event in self.tail.pending() {
            let commit = event.own.commit_id();
            if commits.last() != Some(&commit) {
                commits.push(commit);
            }
        }
        let (empty, unstored): (Vec<_>, Vec<_>) = unstored.into_iter().partition(|admission| admission.events == 0);
        commits.extend(unstored.into_iter().map(|admission| admission.commit));
        commits.sort_unstable();
        commits.dedup();
        self.persisting.decide(Decision::Wipe);
        let gone = |commit| {
            let cause = InvalidPush::BackendIdMismatch { expected: expected.clone(), received: received.clone() };
            (commit, |certainty| SyncError::InvalidPush { cause, certainty, events: Whereabouts::Quarantine })
        };
        self.withdraw_all(commits.into_iter().map(gone).collect());
        debug_assert!(self.tail.acked() == self.tail.pending_end(), "what is left is what had been acknowledged (L4)");
        // What this client's sessions have in the new log already is from before: none of it is what waits now.
        let heads = Heads { generation: self.tail.generation, own_after: GLOBAL_MAX, ..Heads::default() };
        self.tail = Tail::new(config.backend, &heads, Pos::ROOT);
        self.persisting.acknowledged = None;
        for admission in empty {
            // An empty commit has nothing that could go: it settles as if nothing had happened.
            self.persisting.admit(Admission { settled_end: 0, pending_end: 0, ..admission });
        }
        debug_assert!(self.persisting.admissions.iter().all(|admission| admission.events == 0), "no event is left (L8)");
        // What had been acknowledged goes with the history.
        (self.pending_synced, self.pending_client_only, self.pending_bytes) = (0, 0, 0);
        self.ages = Ages::default();
        self.uncertain.clear();
        self.partly.clear();
        self.failed.clear();
        self.backend = None;
        self.pulling.forget();
        self.pushing = super::Pushing::default();
    }
}
