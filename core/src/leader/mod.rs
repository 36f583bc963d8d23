//! The leader: orders persistence, pushes, pulls and rebases, and answers for commits of this and of earlier sessions.
//!
//! It tells sessions only what is committed to disk. One push and one pull are under way at a time, beside at most two storage
//! transactions; local persistence never waits for the network. Nothing later is pushed while an earlier event is refused or
//! its fate unknown (L5): a push always starts at the oldest event that the backend has not acknowledged.

mod admit;
mod ages;
mod check;
mod identity;
mod page;
mod persist;
mod persisted;
mod persisting;
mod policy;
mod pull;
mod pulling;
mod push;
mod pushing;
mod settle;
mod tail;
mod view;
mod waiting;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::backoff::Jitter;
use crate::boot::{Boot, BootError};
use crate::config::Config;
use crate::effect::Reason;
use crate::error::{Quarantined, StorageFailure, SyncError};
use crate::event::{Entry, Origin, OwnEvent, PulledEvent};
use crate::id::{BackendId, ClientId, CommitId, SessionId};
use crate::message::Down;
use crate::mutant::Mutant;
use crate::outbox::Outbox;
use crate::seq::Pos;
use crate::time::Time;
use crate::txn::Heads;
use crate::waiting::LastError;

pub(crate) use admit::Arrival;
use ages::Ages;
use persisting::Persisting;
pub(crate) use policy::Hindrance;
use policy::Policy;
use pulling::Pulling;
use pushing::Pushing;
pub(crate) use tail::Tail;

/// Failures since something last worked, and the last of them.
type Attempts = (u32, Option<Arc<str>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leader {
    client: ClientId,
    tail: Tail,
    persisting: Persisting,
    pushing: Pushing,
    pulling: Pulling,
    policy: Policy,
    backend: Option<BackendId>,
    /// The last commit admitted from each open session.
    admitted: BTreeMap<SessionId, u64>,
    /// Commits of which some synced events are accepted and others are not: where those stand.
    partly: BTreeMap<CommitId, SmallVec<[u64; 1]>>,
    /// Commits whose receipts have failed, with their events still queued.
    failed: BTreeSet<CommitId>,
    /// Quarantined commits that the backend may turn out to hold.
    uncertain: VecDeque<Quarantined>,
    /// Commits that are taken back as soon as it can be said what became of them, and the error that they end in; none if a user
    /// asked.
    withdrawals: BTreeMap<CommitId, Option<SyncError>>,
    /// Synced events, client-only events and bytes that are pending.
    pending_synced: usize,
    pending_client_only: usize,
    pending_bytes: usize,
    /// Kept only where the age of what is pending is limited.
    ages: Ages,
    jitter: Jitter,
    now: Time,
    closing: bool,
    /// The bug that is put back.
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
    /// Messages for sessions, in order.
    pub(crate) down: Vec<Down>,
}

impl Leader {
    pub(crate) fn new(config: &Config, boot: Boot, seed: u64) -> Result<Self, BootError> {
        let heads = boot.heads;
        let mut tail = Tail::new(config.backend, &heads, boot.settled_head);
        let anchor = boot.anchor.map(|entry| anchor(&entry, &boot.client));
        if anchor.as_ref().map_or(0, |anchor| anchor.seq) != heads.upstream {
            return Err(BootError::NoAnchor { upstream: heads.upstream });
        }
        let mut leader = Self {
            client: boot.client,
            persisting: Persisting { held: boot.held && config.backend, ..Persisting::new(boot.number) },
            pushing: Pushing::default(),
            pulling: Pulling::new(anchor),
            policy: Policy::default(),
            backend: heads.backend,
            admitted: BTreeMap::new(),
            partly: BTreeMap::new(),
            failed: boot.failed.into_iter().collect(),
            uncertain: boot.uncertain.into_iter().filter(may_be_found).collect(),
            withdrawals: BTreeMap::new(),
            pending_synced: 0,
            pending_client_only: 0,
            pending_bytes: 0,
            ages: Ages::default(),
            jitter: Jitter(seed),
            now: Time::ZERO,
            closing: false,
            #[cfg(feature = "mutants")]
            mutant: config.mutant,
            down: Vec::new(),
            tail: Tail::new(false, &Heads::default(), Pos::ROOT),
        };
        let last_synced = closing_events(&boot.pending);
        // Where only client-only events are left of a commit, behind what others wait for, the backend has all that it is to have of it.
        let is_open = |(commit, _): &(CommitId, Vec<u64>)| last_synced.contains_key(commit);
        leader.partly = boot.partly_confirmed.into_iter().filter(is_open).map(|(commit, at)| (commit, at.into())).collect();
        for entry in &boot.pending {
            let Origin::Own { id, commit, last, rebases, ref guard } = entry.origin else {
                return Err(BootError::ForeignPending { at: entry.seq.pos });
            };
            let own = OwnEvent { id, commit, last, guard: guard.clone(), event: entry.event.clone() };
            let closes = last_synced.get(&own.commit_id()) == Some(&id);
            if config.backend && !entry.event.client_only && entry.seq.pos.global <= tail.acknowledged() {
                leader.accepted_before(own.commit_id(), closes, entry.seq.pos.global);
            }
            leader.count_pending(own.event.client_only, own.held_bytes(), 1);
            tail.push_own(own, closes, rebases);
            let place = tail.local_head();
            if place != entry.seq.pos {
                return Err(BootError::Gap { expected: place, found: entry.seq.pos });
            }
        }
        tail.loaded();
        if !config.backend {
            (leader.pending_synced, leader.pending_client_only, leader.pending_bytes) = (0, 0, 0);
        }
        leader.tail = tail;
        for (index, since) in boot.pending_since {
            let Some(limit) = config.pending_age else { break };
            leader.ages.admitted(index as u64, 0, since, limit);
        }
        leader.check().map_err(BootError::Inconsistent)?;
        Ok(leader)
    }

    /// As [`Config::has`].
    fn has(&self, mutant: Mutant) -> bool {
        #[cfg(feature = "mutants")]
        return self.mutant == Some(mutant);
        #[cfg(not(feature = "mutants"))]
        {
            let _ = mutant;
            false
        }
    }

    /// It is this late now. Comes before anything is made of an input: waits are counted from here.
    pub(crate) fn tick(&mut self, now: Time) {
        debug_assert!(self.now <= now, "time never goes back");
        self.now = now;
    }

    /// Does whatever can be done now.
    pub(crate) fn settle(&mut self, config: &Config, out: &mut Outbox) {
        self.apply_policies(config);
        self.judge_held();
        if config.backend && self.may_go_ahead() {
            // First: whether a rebase can wait depends on it.
            self.push(config, out);
        }
        self.persist(config, out);
        if config.backend {
            self.pull(config, out);
            self.push(config, out);
        }
    }

    /// When it has to be woken at the latest, and why.
    pub(crate) fn deadline(&self, config: &Config) -> Option<(Time, Reason)> {
        let mut soonest: Option<(Time, Reason)> = None;
        let mut offer = |at: Option<Time>, reason| {
            if let Some(at) = at
                && soonest.is_none_or(|(earlier, _)| at < earlier)
            {
                soonest = Some((at, reason));
            }
        };
        debug_assert!(
            self.persisting.broken.is_none() || self.persisting.retry.at.is_none(),
            "a damaged file is not tried again"
        );
        offer(self.persisting.retry.at, Reason::StorageRetry);
        offer(self.acknowledgement_deadline(config), Reason::Acknowledgement);
        if config.backend && self.may_sync() && !self.closing {
            offer(self.pulling.retry.at, Reason::PullRetry);
            offer(self.next_push(), Reason::PushRetry);
        }
        offer(self.offline_deadline(config), Reason::OfflineDeadline);
        offer(self.stuck_deadline(config), Reason::StuckPolicy);
        soonest
    }

    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    pub(crate) fn is_caught_up(&self) -> bool {
        self.pulling.caught_up()
    }

    /// Whether everything admitted, decided and said is stored.
    pub(crate) fn drained(&self) -> bool {
        self.persisting.drained() && self.tail.acknowledged_is_stored()
    }

    /// No more commits: what is left is stored, and the network has nothing more to do.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    /// Why nothing can be stored any more, if so.
    pub(crate) fn broken(&self) -> Option<&Arc<str>> {
        self.persisting.broken.as_ref()
    }

    pub(crate) fn storage_trouble(&self) -> Option<&StorageFailure> {
        self.persisting.trouble.as_ref()
    }

    pub(crate) fn server_ahead_count(&self) -> u64 {
        self.pushing.server_ahead.0
    }

    /// Failed attempts to push and to pull since each last worked, and what they met.
    pub(crate) fn attempts(&self) -> (Attempts, Attempts) {
        let message = |error: &Option<LastError>| error.as_ref().map(|error| error.message.clone());
        let push = (self.pushing.retry.attempt, message(&self.pushing.last_error));
        (push, (self.pulling.retry.attempt, message(&self.pulling.last_error)))
    }

    pub(crate) fn backend_id(&self) -> Option<&BackendId> {
        self.backend.as_ref()
    }

    /// Counts a pending event of so many bytes, or that it is none any more.
    fn count_pending(&mut self, client_only: bool, bytes: usize, sign: isize) {
        let of = |count: &mut usize, n: usize| {
            debug_assert!(sign > 0 || *count >= n, "no more goes than was counted");
            *count = count.saturating_add_signed(sign * n as isize);
        };
        if client_only {
            of(&mut self.pending_client_only, 1);
        } else {
            of(&mut self.pending_synced, 1);
            of(&mut self.pending_bytes, bytes);
        }
    }
}

/// Of each commit, the last synced event among these entries.
fn closing_events(entries: &[Entry]) -> BTreeMap<CommitId, crate::id::EventId> {
    let synced = entries.iter().filter(|entry| !entry.event.client_only);
    synced.filter_map(|entry| Some((entry.commit_id()?, entry.own_id()?))).collect()
}

/// Whether the backend may turn out to hold something of it: client-only events are never there.
fn may_be_found(quarantined: &Quarantined) -> bool {
    quarantined.events.iter().any(|own| !own.event.client_only)
}

/// The stored event by which a backend is recognised, as the backend sends it.
fn anchor(entry: &Entry, own_client: &ClientId) -> PulledEvent {
    let (client, session) = match &entry.origin {
        Origin::Own { id, .. } => (own_client.clone(), Arc::from(id.session.to_string())),
        Origin::Foreign { client, session, .. } => (client.clone(), session.clone()),
    };
    let (seq, parent) = (entry.seq.pos.global, entry.parent.global);
    PulledEvent { seq, parent, client, session, ids: None, event: entry.event.clone() }
}
