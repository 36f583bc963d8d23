//! Pulling: one page is asked for at a time; what it says is merged into what is pending.
//!
//! Every new stream starts one event before what was pulled last, and that event must come back as it is known: else the
//! backend has lost history. No event is skipped or taken twice, whatever order pages come in. `ServerAhead` makes an active
//! pull, never a parked wait. Keeps L2, L3 and L8.

use alloc::vec::Vec;

use crate::config::Config;
use crate::effect::{Effect, Notice, Pull};
use crate::error::{BackendFailure, Class};
use crate::event::{Entry, Origin, PulledEvent};
use crate::id::EffectId;
use crate::input::Page;
use crate::merge::{self, Delta, Upstream};
use crate::mutant::Mutant;
use crate::outbox::Outbox;
use crate::seq::Pos;
use crate::waiting::LastError;

use super::Leader;
use super::identity::{AgainstBackend, is_same, own_session};
use super::page::{confirmed_entry, contiguous, foreign_entry, is_anchor};
use super::persisting::Decision;
use super::pulling::Outstanding;
use super::tail::Pending;

impl Leader {
    /// Whether there is room for another page.
    pub(super) fn room_for_pages(&self, config: &Config) -> bool {
        let limit = config.pulled_events.max(self.tail.pending().len()) as u64;
        // What has been acknowledged is only handed over, and storage may wait for it: see [`Self::rolled_back`].
        self.tail.unstored_settled() < limit || self.tail.acked() > self.tail.pending_first()
    }

    /// Whether the backend has more that is asked for already, or is going to be before anything else happens.
    pub(super) fn more_is_coming(&self) -> bool {
        let pulling = &self.pulling;
        pulling.more && (pulling.outstanding.is_some() || pulling.retry.at.is_none() && self.may_sync())
    }

    /// Whether what the backend has is being asked for, and the answer is going to come or to fail.
    pub(super) fn is_catching_up(&self) -> bool {
        !self.pulling.caught_up() && self.pulling.retry.at.is_none() && self.may_sync()
    }

    /// Orders the next pull, if one is due.
    pub(super) fn pull(&mut self, config: &Config, out: &mut Outbox) {
        if !self.may_pull() || !self.pulling.retry.try_now(self.now) || !self.room_for_pages(config) {
            return;
        }
        if let Some(outstanding) = &self.pulling.outstanding {
            if !self.pulling.fresh || outstanding.fresh {
                return;
            }
            out.effect(Effect::Abandon { pull: outstanding.effect });
        }
        debug_assert!(!self.pulling.caught_up || !self.pulling.fresh);
        let fresh = core::mem::take(&mut self.pulling.fresh);
        if fresh {
            self.pulling.stream += 1;
            self.pulling.promised = self.tail.acknowledged();
            self.pulling.begun = self.now;
        }
        let after = if fresh { self.tail.upstream_parent() } else { self.tail.upstream() };
        debug_assert!(self.pulling.stream > 0, "the first pull opens a stream");
        debug_assert!(!fresh || after < self.tail.upstream() || after == 0, "a stream starts before the last confirmed event");
        let effect = out.effect(Effect::Pull(Pull { after, fresh, backend: self.backend.clone() }));
        self.pulling.outstanding = Some(Outstanding { effect, fresh });
    }

    /// A page has come.
    pub(crate) fn pulled(&mut self, config: &Config, id: EffectId, page: Page, out: &mut Outbox) -> bool {
        let Some(outstanding) = self.pulling.outstanding.take_if(|outstanding| outstanding.effect == id) else {
            return false;
        };
        self.reached(out);
        self.pulling.last_error = None;
        match &self.backend {
            None => {
                self.backend = Some(page.backend.clone());
                self.persisting.decide(Decision::Heads);
            }
            Some(known) if *known != page.backend => {
                self.stop_syncing(config, BackendFailure::Identity { theirs: page.backend }, out);
                return true;
            }
            Some(_) => {}
        }
        let mut events = page.events;
        if outstanding.fresh
            && let Some(anchor) = &self.pulling.anchor
            && events.first().is_none_or(|first| !is_anchor(anchor, first))
            && !self.has(Mutant::NoAnchor)
        {
            let message = alloc::format!("it no longer holds e{} as it had confirmed it", anchor.seq);
            self.stop_syncing(config, BackendFailure::Truncated { message: message.into() }, out);
            return true;
        }
        self.pulling.more = page.more;
        debug_assert!(self.backend.is_some(), "it is known whose events these are (L8)");
        // The anchor is among what is known.
        let gap = contiguous(&mut events, self.tail.upstream());
        if gap && outstanding.fresh && events.is_empty() {
            self.log_broken(config, out);
            return true;
        }
        if !self.take(&events, out) {
            let message = alloc::format!("it had confirmed e{}, and now holds another event there", self.tail.upstream() + 1);
            self.stop_syncing(config, BackendFailure::Truncated { message: message.into() }, out);
            return true;
        }
        debug_assert!(events.last().is_none_or(|last| last.seq == self.tail.upstream()), "all that could be taken is (L2)");
        self.pulling.retry.reset();
        self.pulling.broken_at = None;
        if gap {
            self.pulling.look_again();
        } else if !page.more && self.tail.upstream() < self.pulling.promised {
            self.ended_short(config, out);
        } else if !self.pulling.fresh {
            self.pulling.caught_up = !page.more;
            if !page.more {
                self.pulling.caught_up_once = true;
                self.pulling.ended_short_at = None;
                self.tail.caught_up();
            }
        }
        true
    }

    /// A stream has shown all that the backend has, and not all that it had acknowledged before. If one that is begun a while later shows
    /// no more, it is lost; some backends take a moment to show what they have taken.
    fn ended_short(&mut self, config: &Config, out: &mut Outbox) {
        let at = self.tail.upstream();
        debug_assert!(at < self.pulling.promised && self.pulling.promised <= self.tail.acknowledged());
        let before = self.pulling.ended_short_at.filter(|&(before, _)| before == at);
        if before.is_some_and(|(_, until)| until <= self.pulling.begun) {
            let message = alloc::format!("it had acknowledged e{}, and its log ends at e{at}", self.pulling.promised);
            self.pulling.ended_short_at = None;
            self.stop_syncing(config, BackendFailure::Truncated { message: message.into() }, out);
            return;
        }
        // Somebody may have had it asked again at once.
        let until = before.map_or_else(|| self.now.after(config.backoff_min / 2), |(_, until)| until);
        self.pulling.ended_short_at = Some((at, until));
        let message = "the backend does not show all that it has acknowledged";
        self.pulling.last_error = Some(LastError::new(Class::Retryable, message));
        self.pulling.look_again();
        self.retry_pull(config);
    }

    fn log_broken(&mut self, config: &Config, out: &mut Outbox) {
        let at = self.tail.upstream();
        if self.pulling.broken_at != Some(at) {
            out.notify(Notice::BackendLogBroken { at });
        }
        self.pulling.broken_at = Some(at);
        self.pulling.look_again();
        self.retry_pull(config);
    }

    /// The pull has failed.
    pub(crate) fn pull_failed(&mut self, config: &Config, id: EffectId, failure: BackendFailure, out: &mut Outbox) -> bool {
        if self.pulling.outstanding.take_if(|outstanding| outstanding.effect == id).is_none() {
            return false;
        }
        self.pulling.more = false;
        self.pulling.look_again();
        match failure {
            BackendFailure::Unreachable { message, .. } => {
                self.pulling.last_error = Some(LastError::new(Class::Retryable, message.clone()));
                self.unreachable(message, out);
                self.retry_pull(config);
            }
            BackendFailure::Unknown { message } => {
                self.pulling.last_error = Some(LastError::new(Class::Retryable, message));
                self.retry_pull(config);
            }
            BackendFailure::ServerAhead { .. } | BackendFailure::Refused { .. } => {
                self.pulling.last_error = Some(LastError::new(Class::Defect, "the backend answered a pull as if it were a push"));
                self.retry_pull(config);
            }
            other => {
                self.reached(out);
                self.stop_syncing(config, other, out);
            }
        }
        true
    }

    fn retry_pull(&mut self, config: &Config) {
        self.pulling.retry.fail(self.now, config.backoff_min, config.backoff_cap(), &mut self.jitter);
    }

    pub(super) fn pull_now(&mut self) {
        self.pulling.retry.reset();
        self.pulling.look_again();
    }

    /// Merges contiguous events into the tail. Tells `false`, having done nothing, if they contradict an acknowledgement.
    fn take(&mut self, events: &[PulledEvent], out: &mut Outbox) -> bool {
        let Some(last) = events.last() else { return true };
        let first = self.tail.pending_first();
        let acked = self.tail.acked();
        let mut backend = AgainstBackend::new(&self.client, &self.tail, &self.uncertain);
        let head = Pos::synced(self.tail.upstream());
        let Ok(delta) = merge::merge(self.tail.pending(), head, &Upstream::Advance(events), &mut backend) else {
            // `contiguous` has let nothing through that the merge could refuse.
            debug_assert!(false, "contiguous events after the upstream head merge");
            return true;
        };
        let (taken, moved) = match delta {
            Delta::Advance { taken, .. } => (taken, Vec::new()),
            Delta::Rebase { taken, moved, .. } => (taken, moved),
        };
        debug_assert!(taken <= events.len() && taken <= self.tail.pending().len(), "each event is confirmed by one");
        if self.contradicts(acked, events.len(), taken, &moved) {
            return false;
        }
        if self.persisting.may_hold() {
            // What was held is applied at its place, or skipped event by event there, as everywhere else (S4).
            self.judge_anew();
        }
        self.pulling.anchor = Some(last.clone());
        self.pushing.upstream_moved();
        for event in &events[..taken] {
            self.confirm_first(acked);
            debug_assert!(self.tail.upstream() == event.seq, "it is confirmed where it stands");
        }
        if taken < events.len() {
            if self.pulling.caught_up() && self.tail.stored().beyond {
                self.pushing.outrun();
            }
            self.take_others(events, taken, (first, acked), &moved, out);
            self.withdraw_overtaken(&events[taken..]);
        }
        true
    }

    /// Whether a page puts another event where an acknowledged one stands. The same one with other bytes is none.
    fn contradicts(&self, acked: u64, page: usize, taken: usize, moved: &[(usize, usize)]) -> bool {
        debug_assert!(moved.is_sorted_by(|a, b| a.0 < b.0), "what has moved is named in the page's order");
        let acked = (acked - self.tail.pending_first()) as usize;
        let pending = self.tail.pending().iter().take(acked).enumerate();
        let synced = pending.filter(|(_, event)| !event.own.event.client_only).map(|(index, _)| index);
        synced.enumerate().take(page).skip(taken).any(|stands| moved.binary_search(&stands).is_err())
    }

    /// The first pending event has come back where it stands.
    fn confirm_first(&mut self, acked: u64) {
        let index = self.tail.pending_first();
        if index >= acked
            && let Some(event) = self.tail.get(index)
        {
            let (at, rebases) = (self.tail.place_of(event).global, self.tail.rebases_of(event));
            self.confirm(event.own.commit_id(), event.closes, at, rebases);
        }
        let before = self.tail.pending().len();
        let Some(event) = self.tail.confirm_first() else { return };
        debug_assert!(!event.own.event.client_only && self.tail.pending().len() < before);
        self.count_pending(event.own.event.client_only, event.own.held_bytes(), -1);
        self.pending_client_only -= before - 1 - self.tail.pending().len();
    }

    /// Events that are not the next pending ones: others' events, and own ones at other places.
    fn take_others(
        &mut self,
        events: &[PulledEvent],
        taken: usize,
        (first, acked): (u64, u64),
        moved: &[(usize, usize)],
        out: &mut Outbox,
    ) {
        let events = &events[taken..];
        let mut indices: Vec<u64> = moved.iter().map(|&(_, index)| first + index as u64).collect();
        indices.sort_unstable();
        let removed = self.tail.remove(&indices);
        debug_assert_eq!(removed.len(), moved.len(), "each own event comes back once (L4)");
        self.pushing.removed(&indices);
        self.ages.removed(&indices);
        self.persisting.pending_removed(&indices);
        let waiting = self.tail.pending().len();
        let mut moved = moved.iter().peekable();
        let mut any_foreign = false;
        for (i, pulled) in (taken..).zip(events) {
            let own = moved.next_if(|&&(incoming, _)| incoming == i).and_then(|&(_, index)| {
                let index = first + index as u64;
                Some((removed.get(indices.binary_search(&index).ok()?)?, index < acked))
            });
            let entry = match own {
                Some((own, acked)) => self.come_back(own, acked, pulled, out),
                None => match self.release(pulled, out) {
                    Some(origin) => confirmed_entry(pulled, origin, pulled.event.clone()),
                    None => {
                        any_foreign = true;
                        foreign_entry(pulled)
                    }
                },
            };
            self.tail.push_settled(entry);
        }
        debug_assert!(moved.peek().is_none(), "everything that was removed has come back (L4)");
        if waiting > 0 {
            // An own event may be the first of a batch that has been taken whole, with the rest of it on the next page.
            self.tail.rebased(self.pulling.caught_up_once && any_foreign);
            self.pending_client_only -= waiting - self.tail.pending().len();
            out.notify(Notice::Rebased {
                events: self.tail.pending().len(),
                behind: events.len(),
                generation: self.tail.generation,
            });
        }
        self.pushing.overtaken();
    }

    /// A pending event has come back at another place, or with other bytes.
    fn come_back(&mut self, own: &Pending, acked: bool, pulled: &PulledEvent, out: &mut Outbox) -> Entry {
        debug_assert!(!own.own.event.client_only, "client-only events never come back (L7)");
        self.count_pending(own.own.event.client_only, own.own.held_bytes(), -1);
        // An acknowledged one stands where it stood, and its receipt knows.
        let rebases = self.tail.rebases_of(own) + u32::from(!acked);
        if !acked {
            self.confirm(own.own.commit_id(), own.closes, pulled.seq, rebases);
        }
        let event = if own.own.event.says_the_same(&pulled.event) {
            own.own.event.clone()
        } else {
            out.notify(Notice::EchoDiffers { commit: own.own.commit_id(), at: Pos::synced(pulled.seq) });
            pulled.event.clone()
        };
        let (id, commit, last) = (own.own.id, own.own.commit, own.own.last);
        confirmed_entry(pulled, Origin::Own { id, commit, last, rebases, guard: None }, event)
    }

    /// If this is a quarantined event, takes it out of quarantine. Its receipt stays as it settled.
    fn release(&mut self, pulled: &PulledEvent, out: &mut Outbox) -> Option<Origin> {
        let session = own_session(&self.client, self.tail.own_after(), pulled)?;
        let is_it = |own: &crate::event::OwnEvent| !own.event.client_only && is_same(own, session, pulled);
        let (at, index) = self
            .uncertain
            .iter()
            .enumerate()
            .find_map(|(at, quarantined)| Some((at, quarantined.events.iter().position(is_it)?)))?;
        let quarantined = self.uncertain.get_mut(at)?;
        debug_assert!(
            quarantined.error.certainty() == crate::error::Certainty::Unknown,
            "only what is unknown is found again (R6)"
        );
        let own = quarantined.events.remove(index);
        if quarantined.events.iter().all(|own| own.event.client_only) {
            self.uncertain.remove(at);
        }
        self.persisting.decide(Decision::Release(own.id));
        out.notify(Notice::Released { commit: own.commit_id(), at: Pos::synced(pulled.seq) });
        Some(Origin::Own { id: own.id, commit: own.commit, last: own.last, rebases: 0, guard: None })
    }
}
