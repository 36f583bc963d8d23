//! What stops syncing, and what a user or a policy makes of it: outages, credentials, another backend, stuck commits.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::config::{Config, StuckPolicy};
use crate::effect::Notice;
use crate::error::{BackendFailure, Certainty, InvalidPush, SyncError, Whereabouts};
use crate::id::{BackendId, CommitId};
use crate::input::IdentityPolicy;
use crate::outbox::Outbox;
use crate::seq::Pos;
use crate::time::Time;

use super::persist::{Admission, Decision};
use super::push::Stuck;
use super::{Leader, Tail};

/// Another backend than the one known, or one that lost history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    expected: BackendId,
    received: BackendId,
    policy: IdentityPolicy,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
}

/// What keeps a leader from syncing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hindrance {
    Mismatch { expected: BackendId, received: BackendId, ignored: bool },
    NeedsAuth(Arc<str>),
    Offline,
    Unreachable { since: Time, message: Arc<str> },
    LogBroken { at: u64 },
    Storage(Arc<str>),
}

impl Leader {
    /// Whether pushing and pulling may go on.
    pub(super) fn may_sync(&self) -> bool {
        let policy = &self.policy;
        policy.mismatch.is_none() && policy.needs_auth.is_none() && !policy.offline && self.persisting.broken.is_none()
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
            return Some(Hindrance::Offline);
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
                self.mismatch(config, expected, message, out);
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
        if config.identity == IdentityPolicy::Stop {
            self.fail_all_waiting();
        }
    }

    // What users and policies decide.

    pub(crate) fn offline(&mut self) {
        self.policy.offline = true;
        if self.policy.outage.is_none() {
            self.policy.outage = Some((self.now, Arc::from("there is no network")));
        }
    }

    pub(crate) fn online(&mut self) {
        self.policy.offline = false;
        self.policy.offline_for_good = false;
        self.push_now();
        self.pull_now();
    }

    pub(crate) fn authenticated(&mut self) {
        self.policy.needs_auth = None;
        self.push_now();
        self.pull_now();
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

    pub(crate) fn ask_to_withdraw(&mut self, commit: CommitId) {
        self.withdrawals.entry(commit).or_insert(None);
    }

    pub(crate) fn give_up_offline(&mut self, config: &Config) {
        self.policy.offline_for_good = true;
        if config.offline.withdraw {
            let reason = self.offline_reason();
            for commit in self.waiting_commits() {
                let error = SyncError::IsOffline { reason: reason.clone(), events: Whereabouts::Quarantine };
                self.withdraw_when_answered(commit, error);
            }
        } else {
            self.fail_all_waiting();
        }
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
    fn stopped(&self, certainty: Certainty) -> Option<SyncError> {
        if let Some(Mismatch { expected, received, policy: IdentityPolicy::Stop }) = &self.policy.mismatch {
            let cause = InvalidPush::BackendIdMismatch { expected: expected.clone(), received: received.clone() };
            return Some(SyncError::InvalidPush { cause, certainty, events: Whereabouts::Queued });
        }
        if self.policy.offline_for_good {
            return Some(SyncError::IsOffline { reason: self.offline_reason(), events: Whereabouts::Queued });
        }
        None
    }

    /// A commit made while everything is stopped settles the same at once.
    pub(super) fn fail_if_stopped(&mut self, commit: CommitId) {
        // `NotApplied` is only said of events that have left the queue.
        if let Some(error) = self.stopped(Certainty::Unknown) {
            self.fail_queued(commit, error);
        }
    }

    fn fail_all_waiting(&mut self) {
        for commit in self.waiting_commits() {
            self.fail_if_stopped(commit);
        }
    }

    // What time and circumstances make due.

    pub(super) fn offline_deadline(&self, config: &Config) -> Option<Time> {
        let (since, _) = self.policy.outage.as_ref()?;
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
            && self.can_be_withdrawn(commit)
        {
            self.pushing.policy_withdrew = true;
            self.withdraw(commit, |certainty| SyncError::Withdrawn { cause: Some(message), certainty });
            self.push_now();
        }
        if !self.withdrawals.is_empty() {
            let due: Vec<CommitId> = self.withdrawals.keys().copied().filter(|&commit| self.can_be_withdrawn(commit)).collect();
            for commit in due {
                let error = self.withdrawals.remove(&commit).flatten();
                self.withdraw(commit, |certainty| error.unwrap_or(SyncError::Withdrawn { cause: None, certainty }));
            }
            self.withdrawals.retain(|commit, _| {
                self.admitted.get(&commit.session).is_some_and(|&last| commit.ordinal > last)
                    || self.tail.pending().iter().any(|event| event.own.commit_id() == *commit)
            });
        }
        if self.policy.mismatch.as_ref().is_some_and(|mismatch| mismatch.policy == IdentityPolicy::Reset)
            && self.persisting.idle()
            && !self.pushing.any_in_flight()
        {
            self.reset(config);
        }
    }

    /// A commit can be withdrawn once it is stored, and not while a request with it is unanswered or when the backend has it.
    fn can_be_withdrawn(&self, commit: CommitId) -> bool {
        let first = self.tail.pending_first();
        let mut indices = (first..).zip(self.tail.pending()).filter(|(_, event)| event.own.commit_id() == commit).peekable();
        indices.peek().is_some()
            && indices.all(|(index, _)| index < self.tail.stored().durable && !self.pushing.is_in_flight(index))
    }

    fn withdraw_when_answered(&mut self, commit: CommitId, error: SyncError) {
        if self.can_be_withdrawn(commit) {
            self.withdraw(commit, |_| error);
        } else {
            self.withdrawals.insert(commit, Some(error));
        }
    }

    /// Forgets the confirmed history and puts what is pending into quarantine, in one transaction.
    fn reset(&mut self, config: &Config) {
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
        for commit in commits {
            let cause = InvalidPush::BackendIdMismatch { expected: expected.clone(), received: received.clone() };
            self.withdraw(commit, |certainty| SyncError::InvalidPush { cause, certainty, events: Whereabouts::Quarantine });
        }
        let generation = self.tail.generation;
        self.tail = Tail::new(config.backend, generation, Pos::ROOT, 0, 0);
        for admission in empty {
            // An empty commit has nothing that could go: it settles as if nothing had happened.
            self.persisting.admit(Admission { settled_end: 0, pending_end: 0, ..admission });
        }
        (self.pending_synced, self.pending_client_only, self.pending_bytes) = (0, 0, 0);
        self.uncertain.clear();
        self.partly.clear();
        self.failed.clear();
        self.backend = None;
        self.pulling.forget();
        self.pushing = super::Pushing::default();
    }
}
