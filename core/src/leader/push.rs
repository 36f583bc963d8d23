//! Pushing: one batch at a time, always from the oldest event that the backend has not acknowledged.
//!
//! A commit that fits one push is never split over two. A batch whose fate is unknown is sent again only under the same
//! parent, where the backend refuses it if it had taken it, or after a pull that covers it (L6). A batch that is refused again
//! and again on an unchanged head is taken apart at commit borders until the culprit is alone.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::config::Config;
use crate::effect::{Effect, Notice, Push};
use crate::error::{BackendFailure, Class, SyncError};
use crate::event::OwnEvent;
use crate::id::EffectId;
use crate::mutant::Mutant;
use crate::outbox::Outbox;
use crate::time::Time;
use crate::waiting::LastError;

use super::Leader;
use super::pushing::{InFlight, Stuck};

/// Pushing goes ahead of the disk after this many times in a row that others were faster, the backend's refusals among them: else a busy
/// log could starve a client (V6). It does so until the disk has caught up.
const AHEAD_STREAK: u32 = 2;

/// A rebase costs as much as is pending. While pushes get on without it, it waits until this part of that has been pulled.
const WORTH_A_REBASE: u64 = 4;

impl Leader {
    /// Whether there is anything that the backend has not acknowledged, and nothing but time may be in the way of sending it.
    pub(super) fn wants_push(&self) -> bool {
        let ready = self.pushing.in_flight.is_none() && self.may_sync() && self.pulling.caught_up();
        ready && !self.closing && self.tail.acked() < self.tail.pending_end()
    }

    /// When a push that has failed is tried again, if there is still something to push.
    pub(super) fn next_push(&self) -> Option<Time> {
        self.pushing.retry.at.filter(|_| self.wants_push())
    }

    /// Orders the next push, if one is due.
    pub(super) fn push(&mut self, config: &Config, out: &mut Outbox) {
        if !self.wants_push() || !self.pushing.retry.try_now(self.now) {
            return;
        }
        let first = if self.has(Mutant::NoFence) { self.tail.exposed() } else { self.tail.acked() };
        let first = if self.has(Mutant::OvertakeStuck) { self.behind_stuck(first) } else { first };
        let stored = self.tail.stored();
        if stored.own_after != self.tail.own_after() || self.persisting.is_judging() {
            return;
        }
        // Normally the rebase is on disk before its result is pushed: it may show that a commit no longer applies.
        let ahead = !self.tail.in_place();
        if ahead && !self.may_go_ahead() {
            return;
        }
        // Client-only events may have settled before they were stored.
        let end = stored.durable.max(first);
        #[cfg_attr(not(feature = "mutants"), expect(unused_mut, reason = "the switch is not in this build"))]
        let Some(mut batch) = self.batch(config, first, end, ahead) else { return };
        #[cfg(feature = "mutants")]
        if let Some(believed) = self.pushing.believed.take() {
            batch.parent = believed;
        }
        debug_assert!((first + 1..=end).contains(&batch.end), "a batch is of what may be sent, and of something");
        debug_assert!(first == self.tail.acked() || self.has(Mutant::NoFence), "nothing is sent over an earlier event (L5)");
        debug_assert!(batch.end <= stored.durable, "only what is stored is sent");
        debug_assert!(
            batch.parent >= self.tail.upstream() || self.has(Mutant::PushAgainWithoutPull),
            "it follows what is confirmed"
        );
        let exposed_before = self.tail.exposed();
        let push = Push { parent: batch.parent, backend: self.backend.clone(), events: batch.events };
        let effect = out.effect(Effect::Push(push));
        self.tail.set_exposed(exposed_before.max(batch.end));
        self.pushing.in_flight = Some(InFlight {
            effect,
            parent: batch.parent,
            first,
            end: batch.end,
            commits: batch.commits,
            exposed_before,
            stream: self.pulling.stream(),
            overtaken: false,
        });
    }

    /// The wrong place to begin at.
    fn behind_stuck(&self, first: u64) -> u64 {
        let Some(stuck) = &self.pushing.stuck else { return first };
        let behind = (first..).zip(self.tail.pending().iter().skip((first - self.tail.pending_first()) as usize));
        behind.take_while(|(_, event)| event.own.commit_id() == stuck.commit).last().map_or(first, |(last, _)| last + 1)
    }

    /// Whether a push may be sent though storage does not hold yet what it stands on.
    pub(super) fn may_go_ahead(&self) -> bool {
        // A rebase that is lost is found again at the backend; a withdrawal that is lost would put a commit behind later ones.
        self.pushing.ahead_streak >= AHEAD_STREAK && !self.persisting.decides_any()
    }

    /// Whether pushes get on without the disk, so that a rebase can wait until it is worth its cost.
    pub(super) fn gets_on_without_rebase(&self) -> bool {
        let pulled = self.tail.unstored_settled();
        let gets_on = self.pushing.in_flight.is_some() || self.is_catching_up();
        gets_on && self.may_go_ahead() && pulled * WORTH_A_REBASE < self.tail.pending().len() as u64
    }

    fn batch(&self, config: &Config, first: u64, end: u64, ahead: bool) -> Option<Batch> {
        let commits_max = self.pushing.commits_max.unwrap_or(u32::MAX);
        let skip = (first - self.tail.pending_first()) as usize;
        debug_assert!(first >= self.tail.acked() && end <= self.tail.pending_end());
        let room = config.push_events.min(self.tail.pending().len());
        let mut batch = Batch { parent: 0, events: Vec::with_capacity(room), end: first, commits: 0 };
        let mut bytes = 0;
        // Where the commit that is being added starts, in events and as a count; and whether it has been counted: only one with
        // something to send is.
        let mut start = (0, first);
        let (mut commit, mut counted) = (None, false);
        for (index, event) in (first..end).zip(self.tail.pending().iter().skip(skip)) {
            let of = event.own.commit_id();
            if commit != Some(of) {
                (commit, counted) = (Some(of), false);
                start = (batch.events.len(), index);
            }
            if ahead && event.own.guard.is_some() {
                // Only storage can tell whether it holds there.
                batch.end = start.1;
                break;
            }
            if event.own.event.client_only && !self.has(Mutant::PushClientOnly) {
                batch.end = index + 1;
                continue;
            }
            if !counted {
                if batch.commits == commits_max {
                    batch.end = start.1;
                    return Some(batch);
                }
                batch.commits += 1;
                counted = true;
            }
            let size = event.own.event.encoded_bytes();
            let full = batch.events.len() == config.push_events || bytes + size > config.push_bytes;
            if full && !batch.events.is_empty() {
                // Only a commit that is larger than a push, and so starts one, is split.
                if start.0 > 0 {
                    batch.events.truncate(start.0);
                    batch.end = start.1;
                    batch.commits -= 1;
                }
                return Some(batch);
            }
            if batch.events.is_empty() {
                batch.parent = self.tail.place_of(event).global - 1;
            }
            debug_assert!(batch.events.is_empty() || bytes + size <= config.push_bytes, "a batch fits a push");
            bytes += size;
            batch.events.push(OwnEvent { guard: None, ..event.own.clone() });
            batch.end = index + 1;
        }
        debug_assert!(batch.events.len() <= config.push_events.max(1), "a batch fits a push");
        debug_assert!((batch.commits > 0) != batch.events.is_empty(), "only commits with something to send are counted");
        Some(batch).filter(|batch| !batch.events.is_empty())
    }

    /// The backend has taken the batch.
    pub(crate) fn push_ok(&mut self, id: EffectId, out: &mut Outbox) -> bool {
        let any = self.has(Mutant::NoStaleGuard);
        let Some(flight) = self.pushing.in_flight.take_if(|flight| any || flight.effect == id) else { return false };
        self.reached(out);
        self.pushing.retry.reset();
        self.pushing.last_error = None;
        if self.tail.in_place() {
            self.pushing.ahead_streak = 0;
        }
        self.pushing.refused = None;
        self.pushing.refusals = 0;
        self.pushing.stuck = None;
        self.pushing.policy_withdrew = false;
        self.pushing.commits_max = self.pushing.commits_max.and_then(|max| max.checked_mul(2)).filter(|&max| max < 1 << 16);
        if flight.overtaken && !self.has(Mutant::ReceiptsBySeq) {
            // The history that was pulled meanwhile has no room for this batch, or holds it already: the pull decides.
            self.pulling.look_again();
            return true;
        }
        debug_assert!(flight.end <= self.tail.exposed() || self.has(Mutant::ReceiptsBySeq), "what is acknowledged was sent");
        for index in flight.first.max(self.tail.acked())..flight.end {
            let Some(event) = self.tail.get(index).filter(|event| !event.own.event.client_only) else { continue };
            let (at, rebases) = (self.tail.place_of(event).global, self.tail.rebases_of(event));
            self.confirm(event.own.commit_id(), event.closes, at, rebases);
        }
        self.tail.set_acked(flight.end);
        if flight.stream != self.pulling.stream() && self.tail.acknowledged() > self.tail.upstream() {
            // The stream was begun before this was known: only a new one has to show it.
            self.pulling.look_again();
        }
        true
    }

    /// The backend has not taken the batch, or has not said so.
    pub(crate) fn push_failed(&mut self, config: &Config, id: EffectId, failure: BackendFailure, out: &mut Outbox) -> bool {
        let Some(flight) = self.pushing.in_flight.take_if(|flight| flight.effect == id) else { return false };
        // Any other refusal may be that of a copy which came after the first had been taken: a pull will tell.
        let surely_refused =
            matches!(failure, BackendFailure::Unreachable { maybe_applied: false, .. } | BackendFailure::Refused { .. });
        let surely_refused =
            surely_refused || self.has(Mutant::ErrorIsRefusal) && matches!(failure, BackendFailure::Unknown { .. });
        if surely_refused && !flight.overtaken {
            self.tail.set_exposed(flight.exposed_before.max(self.tail.pending_first()));
        }
        match failure {
            BackendFailure::Unreachable { message, .. } => {
                self.pushing.last_error = Some(LastError::new(Class::Retryable, message.clone()));
                self.unreachable(message, out);
                self.retry_push(config);
                // There may be nothing to push again; a pull shows what became of the batch, and whether the backend is there.
                self.pulling.look_again();
            }
            BackendFailure::ServerAhead { head } => {
                self.reached(out);
                self.server_ahead(config, &flight, head, out);
            }
            BackendFailure::Refused { events } => {
                self.reached(out);
                self.refused(config, &flight, &events);
            }
            BackendFailure::Unknown { message } => {
                self.reached(out);
                self.refused_for_now(config, &flight, message, out);
            }
            other => {
                self.reached(out);
                self.stop_syncing(config, other, out);
            }
        }
        true
    }

    fn retry_push(&mut self, config: &Config) {
        self.pushing.retry.fail(self.now, config.backoff_min, config.backoff_cap(), &mut self.jitter);
    }

    fn server_ahead(&mut self, config: &Config, flight: &InFlight, head: u64, out: &mut Outbox) {
        self.pushing.server_ahead += 1;
        self.pushing.ahead_streak += 1;
        if flight.overtaken {
            return;
        }
        if head < flight.parent {
            // A batch follows what the backend has confirmed, by a pull or by an acknowledgement.
            let message = alloc::format!("its log ends at e{head}, and it had confirmed e{}", flight.parent);
            self.stop_syncing(config, BackendFailure::Truncated { message: message.into() }, out);
            return;
        }
        #[cfg(feature = "mutants")]
        if self.has(Mutant::PushAgainWithoutPull) {
            self.pushing.believed = Some(head);
            return;
        }
        debug_assert!(self.pushing.in_flight.is_none());
        self.pulling.look_again();
        self.pushing.ahead_without_news += 1;
        if self.pushing.ahead_without_news > 1 {
            // It says that it is ahead, and has nothing to show for it. Asking at once again would be a busy loop.
            let message = "the backend says that it is ahead, and shows nothing new";
            self.pushing.last_error = Some(LastError::new(Class::Retryable, message));
            self.retry_push(config);
        }
    }

    fn refused(&mut self, config: &Config, flight: &InFlight, events: &[(u32, Arc<str>)]) {
        let mut synced = Vec::new();
        if !flight.overtaken {
            let own = (flight.first..flight.end).filter_map(|index| self.tail.get(index));
            synced.extend(own.filter(|event| !event.own.event.client_only).map(|event| event.own.commit_id()));
        }
        debug_assert!(flight.overtaken || !synced.is_empty(), "a push is of something that may be refused");
        let mut any = false;
        for (index, message) in events {
            let Some(&commit) = synced.get(*index as usize) else { continue };
            any = true;
            let message = message.clone();
            self.withdraw(commit, |certainty| SyncError::Rejected { message, certainty });
        }
        if !any {
            // A refusal that names nothing we sent: wait rather than send the same at once.
            self.retry_push(config);
        }
    }

    fn refused_for_now(&mut self, config: &Config, flight: &InFlight, message: Arc<str>, out: &mut Outbox) {
        self.pushing.last_error = Some(LastError::new(Class::Rejected, message.clone()));
        self.pulling.look_again();
        self.retry_push(config);
        let at = (flight.first, flight.parent);
        if self.pushing.refused != Some(at) {
            self.pushing.refused = Some(at);
            self.pushing.refusals = 0;
        }
        self.pushing.refusals += 1;
        if self.pushing.refusals < config.refusals_before_bisect || flight.overtaken {
            return;
        }
        debug_assert!(flight.commits > 0 && self.pushing.refused == Some(at));
        if flight.commits > 1 {
            debug_assert!(
                self.pushing.commits_max.is_none_or(|max| flight.commits <= max),
                "each batch is at most half of the last"
            );
            self.pushing.commits_max = Some((flight.commits / 2).max(1));
            self.pushing.retry.reset();
            return;
        }
        self.pushing.commits_max = Some(1);
        // Client-only events that wait for an echo may stand before the culprit.
        let mut sent = (flight.first..flight.end).filter_map(|index| self.tail.get(index));
        let Some(event) = sent.find(|event| !event.own.event.client_only) else { return };
        let commit = event.own.commit_id();
        if self.pushing.stuck.as_ref().is_none_or(|stuck| stuck.commit != commit) {
            out.notify(Notice::Stuck { commit, message: message.clone() });
            self.pushing.stuck = Some(Stuck { commit, since: self.now, message });
        }
    }

    pub(super) fn push_now(&mut self) {
        self.pushing.retry.reset();
    }
}

struct Batch {
    parent: u64,
    events: Vec<OwnEvent>,
    /// The count after the last event.
    end: u64,
    commits: u32,
}
