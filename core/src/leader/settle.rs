//! Commits leave the queue: confirmed by the backend, or withdrawn into quarantine with what is certain about them.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::effect::Confirmed;
use crate::error::{Certainty, Quarantined, SyncError};
use crate::event::{Origin, OwnEvent, PulledEvent, Standing};
use crate::id::{CommitId, SessionId};
use crate::message::Down;
use crate::mutant::Mutant;

use super::Leader;
use super::persisting::Decision;

/// Why a commit is withdrawn that nobody withdraws.
const OVERTAKEN: &str =
    "the backend has a later commit of its session: this one had been taken out of the queue, and the file has lost why";

/// How many commits of one session are mostly confirmed at once, at most: as many as fit a push.
const RUN: usize = 100;

impl Leader {
    /// The backend holds this own event, at its final place, after so many rebases. Called once for each.
    pub(super) fn confirm(&mut self, commit: CommitId, closes: bool, at: u64, rebases: u32) {
        debug_assert!(at > 0, "e0 is before the first event");
        self.tail.accept(at);
        let now = self.now;
        self.persisting.acknowledged.get_or_insert(now);
        if !closes && (!self.has(Mutant::IgnorePageSplit) || self.partly.contains_key(&commit)) {
            self.partly.entry(commit).or_default().push(at);
            return;
        }
        // Mostly there is nothing in any of them, and looking is cheaper than looking up.
        let earlier = if self.partly.is_empty() { None } else { self.partly.remove(&commit) };
        let mut positions = earlier.unwrap_or_default();
        debug_assert!(positions.last().is_none_or(|&before| before < at), "a commit is accepted in its order (R4)");
        positions.push(at);
        if !self.failed.is_empty() {
            self.failed.remove(&commit);
        }
        if !self.withdrawals.is_empty() {
            self.withdrawals.remove(&commit);
        }
        self.pushing.stuck.take_if(|stuck| stuck.commit == commit);
        debug_assert!(!self.partly.contains_key(&commit), "nothing is left of it");
        let confirmed = Confirmed { commit: commit.ordinal, positions, rebases };
        match self.down.last_mut() {
            // They come in runs.
            Some(Down::Confirmed { session, commits }) if *session == commit.session => commits.push(confirmed),
            _ => {
                let mut commits = Vec::with_capacity(RUN);
                commits.push(confirmed);
                self.down.push(Down::Confirmed { session: commit.session, commits });
            }
        }
    }

    /// An event that was found pending had been acknowledged: whoever waited for it knows.
    pub(super) fn accepted_before(&mut self, commit: CommitId, closes: bool, at: u64) {
        if closes {
            self.partly.remove(&commit);
            self.failed.remove(&commit);
        } else {
            self.partly.entry(commit).or_default().push(at);
        }
    }

    /// Takes what is left of a commit out of the queue, into quarantine. Does nothing if nothing is left: told by `false`.
    pub(super) fn withdraw(&mut self, commit: CommitId, error: impl FnOnce(Certainty) -> SyncError) -> bool {
        self.withdraw_all(BTreeMap::from([(commit, error)]))
    }

    /// As [`Self::withdraw`], for many commits in one pass over the queue.
    pub(super) fn withdraw_all(&mut self, mut errors: BTreeMap<CommitId, impl FnOnce(Certainty) -> SyncError>) -> bool {
        let from = (self.tail.acked() - self.tail.pending_first()) as usize;
        let mut found: BTreeMap<CommitId, Vec<u64>> = BTreeMap::new();
        let mut indices = Vec::new();
        for (index, event) in (self.tail.acked()..).zip(self.tail.pending().iter().skip(from)) {
            let commit = event.own.commit_id();
            if errors.contains_key(&commit) {
                found.entry(commit).or_default().push(index);
                indices.push(index);
            }
        }
        debug_assert!(indices.first().is_none_or(|&first| first >= self.tail.acked()), "what is acknowledged stays (L5)");
        let durable = self.tail.stored().durable;
        let mut gone: BTreeMap<CommitId, Gone> = BTreeMap::new();
        for (&commit, indices) in &found {
            let decides = indices.last().is_some_and(|&last| last >= durable);
            gone.insert(commit, Gone { certainty: self.certainty(commit, indices), decides, events: Vec::new() });
        }
        let mut settled: Vec<u64> = Vec::new();
        if self.persisting.idle() {
            let unstored = self.tail.remove_unstored_settled(|entry| {
                // What the backend has confirmed is there to stay: if it can't be applied, storage skips it.
                entry.standing == Standing::Local && entry.commit_id().is_some_and(|commit| errors.contains_key(&commit))
            });
            for (index, entry) in unstored {
                settled.push(index);
                let Origin::Own { id, commit, last, guard, .. } = entry.origin else { continue };
                let own = OwnEvent { id, commit, last, guard, event: entry.event };
                let certainty = self.certainty(own.commit_id(), &[]);
                let gone = gone.entry(own.commit_id()).or_insert(Gone { certainty, decides: true, events: Vec::new() });
                gone.decides = true;
                gone.events.push(own);
            }
        }
        let removed = self.tail.remove(&indices);
        debug_assert_eq!(removed.len(), indices.len());
        if let Some(&first) = indices.first() {
            self.tail.renumbered(first);
        }
        if self.persisting.idle() {
            self.persisting.forget(|commit| errors.contains_key(&commit), &indices, &settled);
        } else {
            self.persisting.pending_removed(&indices);
        }
        self.pushing.removed(&indices);
        self.ages.removed(&indices);
        for event in removed {
            self.count_pending(event.own.event.client_only, event.own.held_bytes(), -1);
            if let Some(gone) = gone.get_mut(&event.own.commit_id()) {
                gone.events.push(event.own);
            }
        }
        self.settle_client_only();
        for commit in errors.keys() {
            self.withdrawals.remove(commit);
        }
        debug_assert!(gone.values().all(|gone| !gone.events.is_empty()), "a commit goes with its events (L4)");
        let any = !gone.is_empty();
        for (commit, Gone { certainty, decides, events }) in gone {
            let Some(error) = errors.remove(&commit) else { continue };
            self.partly.remove(&commit);
            self.failed.remove(&commit);
            debug_assert!(events.is_sorted_by(|a, b| a.id.ordinal < b.id.ordinal), "they stay in their order (L4)");
            let quarantined = Quarantined { commit, events, error: error(certainty) };
            debug_assert!(quarantined.error.events() != crate::error::Whereabouts::Queued, "they are in the queue no more");
            if certainty == Certainty::Unknown {
                self.uncertain.push_back(quarantined.clone());
            }
            self.persisting.decide(Decision::Fail { quarantined, decides });
        }
        any
    }

    /// A session's events stand in the backend in their order (L4). What waits though a later one of its session has come back had been taken
    /// out of the queue, and a file that was set back no longer says so: pushed now, it would stand behind the later one. Only identities
    /// show that.
    pub(super) fn withdraw_overtaken(&mut self, events: &[PulledEvent]) {
        let mut newest: BTreeMap<SessionId, u64> = BTreeMap::new();
        for pulled in events.iter().filter(|pulled| pulled.client == self.client) {
            if let (Some(ids), Ok(session)) = (pulled.ids, pulled.session.parse()) {
                newest.insert(session, ids.ordinal);
            }
        }
        if newest.is_empty() {
            return;
        }
        let mut overtaken = BTreeMap::new();
        let from = (self.tail.acked() - self.tail.pending_first()) as usize;
        for event in self.tail.pending().iter().skip(from).filter(|event| !event.own.event.client_only) {
            let session = event.own.id.session;
            match newest.get(&session) {
                Some(&newest) if event.own.id.ordinal < newest => {
                    overtaken.insert(event.own.commit_id(), |certainty| SyncError::Withdrawn {
                        cause: Some(Arc::from(OVERTAKEN)),
                        certainty,
                    });
                }
                // What follows of this session was made later.
                _ => drop(newest.remove(&session)),
            }
            if newest.is_empty() {
                break;
            }
        }
        if !overtaken.is_empty() {
            self.withdraw_all(overtaken);
        }
    }

    /// Client-only events with nothing synced before them any more.
    pub(super) fn settle_client_only(&mut self) {
        let before = self.tail.pending().len();
        self.tail.settle_leading_client_only();
        debug_assert!(before - self.tail.pending().len() <= self.pending_client_only);
        self.pending_client_only -= before - self.tail.pending().len();
    }

    /// What is certain about pending events of a commit, given by their counts.
    pub(super) fn certainty(&self, commit: CommitId, indices: &[u64]) -> Certainty {
        // A client-only event that stands between sent ones was not sent itself.
        let sent = |index: u64| self.tail.get(index).is_some_and(|event| !event.own.event.client_only);
        let any_exposed = indices.iter().any(|&index| index < self.tail.exposed() && sent(index));
        if any_exposed && !self.has(Mutant::WithdrawInFlight) {
            return Certainty::Unknown;
        }
        match self.partly.get(&commit) {
            Some(positions) => Certainty::Partial { confirmed: u32::try_from(positions.len()).unwrap_or(u32::MAX) },
            None => Certainty::NotApplied,
        }
    }

    /// A commit's receipt fails while its events stay queued.
    pub(super) fn fail_queued(&mut self, commit: CommitId, error: SyncError) {
        debug_assert!(error.events() == crate::error::Whereabouts::Queued);
        if self.failed.insert(commit) {
            self.persisting.fail_queued(commit, error);
        }
    }

    /// The commits with synced events that the backend has not accepted, oldest first.
    pub(super) fn waiting_commits(&self) -> Vec<CommitId> {
        let from = (self.tail.acked() - self.tail.pending_first()) as usize;
        let mut commits: Vec<CommitId> = Vec::new();
        for event in self.tail.pending().iter().skip(from).filter(|event| !event.own.event.client_only) {
            let commit = event.own.commit_id();
            if commits.last() != Some(&commit) {
                commits.push(commit);
            }
        }
        debug_assert!(commits.len() <= self.pending_synced);
        commits
    }
}

/// What of a commit leaves the queue.
struct Gone {
    certainty: Certainty,
    /// Whether this decides the commit: it was not stored before.
    decides: bool,
    events: Vec<OwnEvent>,
}
