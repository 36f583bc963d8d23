//! What a machine has been told in its life, taken down from its inputs: what it answers, and what it sends, is judged by this.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::{
    BackendFailure, CommitId, Config, EventId, Input, Materialised, Page, Push, StorageClass, StorageFailure, Time,
};

use super::backend::Backend;
use super::client::Client;
use super::{Violation, World};

/// Transactions that may come to nothing in ten seconds, without one that is committed.
const BARREN_TXNS: u32 = 20;

/// What one process was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// The driver says that there is no network.
    pub(crate) offline: bool,
    /// Since when the backend has not been reached.
    pub(crate) outage: Option<Time>,
    /// Whether the outage counts as final, and when it last did.
    pub(crate) is_final: bool,
    pub(crate) was_final: Option<Time>,
    /// The backend wants other credentials.
    pub(crate) wants_auth: bool,
    /// It was told of another backend, or one that has lost history: what is said below is for the known one.
    pub(crate) shaken: bool,
    /// Failures of storage since it last worked, all of them and those that the machine can't have taken for old ones.
    pub(crate) storage: Vec<StorageFailure>,
    pub(crate) storage_fails: bool,
    /// The file is damaged: it was told so, and it was told so by the transaction that comes next. An answer to a later one may go unheard.
    pub(crate) storage_broken: bool,
    pub(crate) storage_surely_broken: bool,
    /// Transactions that came to nothing since one last committed; and in how short a time, and since when.
    pub(crate) txns: u32,
    barren: (u32, Time),
    /// Failed pushes and pulls since one last worked.
    pub(crate) pushes: u32,
    pub(crate) pulls: u32,
    /// The clock has gone back.
    pub(crate) turned: bool,
    /// A page had a hole, or ended before it should have.
    pub(crate) gap: bool,
    /// How far pulls have shown the backend's log, and which own events were shown there, or acknowledged.
    cursor: u64,
    shown: BTreeSet<EventId>,
    acknowledged: BTreeSet<EventId>,
    /// Commits that the backend has refused alone without saying for ever, with what it said; and any that were refused so.
    pub(crate) stuck: BTreeSet<CommitId>,
    pub(crate) refused: BTreeSet<CommitId>,
    /// Commits that are out of the queue or soon will be: refused for ever, rolled back, or withdrawn.
    pub(crate) doomed: BTreeSet<CommitId>,
    /// The commits of its sessions: which one each was, and when.
    made: BTreeMap<CommitId, (usize, Time)>,
    /// Events that the backend has refused for ever.
    pub(crate) forbidden: BTreeSet<EventId>,
}

impl Heard {
    /// A process starts from this file.
    pub(crate) fn begin(upstream: u64) -> Self {
        Self { cursor: upstream, ..Self::default() }
    }

    fn reached(&mut self, now: Time) {
        // What was on its way before the network went does not bring it back.
        self.outage = self.offline.then_some(now);
        self.no_longer_final(now);
    }

    fn no_longer_final(&mut self, now: Time) {
        if std::mem::take(&mut self.is_final) {
            self.was_final = Some(now);
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Time, config: &Config) {
        let over = |since: Time| config.offline.deadline.is_some_and(|deadline| since.after(deadline) <= now);
        self.is_final |= config.backend && self.outage.is_some_and(over);
        if self.is_final {
            self.was_final = Some(now);
        }
    }

    /// Whether an outage may have counted as final when this commit waited: of a clock that went back, nothing is known.
    pub(crate) fn was_final_for(&self, commit: CommitId, config: &Config) -> bool {
        if self.turned && config.offline.deadline.is_some() {
            return true;
        }
        let made = self.when_made(commit).map_or(Time::ZERO, |(_, at)| at);
        self.is_final || self.was_final.is_some_and(|last| last >= made)
    }

    /// A commit is made.
    pub(crate) fn made(&mut self, now: Time, commit: CommitId) {
        self.made.insert(commit, (self.made.len(), now));
    }

    /// Which of the commits of this process it was, and when it was made; nothing for one of an earlier process.
    pub(crate) fn when_made(&self, commit: CommitId) -> Option<(usize, Time)> {
        self.made.get(&commit).copied()
    }

    /// What users, operating systems and drivers say of their own accord.
    pub(crate) fn said(&mut self, now: Time, input: &Input) {
        match input {
            Input::Offline => {
                self.offline = true;
                self.outage.get_or_insert(now);
            }
            Input::Online => {
                self.offline = false;
                self.no_longer_final(now);
                if let Some(since) = &mut self.outage {
                    *since = now;
                }
            }
            Input::OfflineForGood => {
                self.is_final = true;
                self.was_final = Some(now);
            }
            Input::Authenticated => self.wants_auth = false,
            Input::Withdraw { commit } => {
                self.doomed.insert(*commit);
            }
            _ => {}
        }
    }

    /// The push that is under way was answered.
    pub(crate) fn push_answered(&mut self, now: Time, push: &Push, failure: Option<&BackendFailure>) {
        let Some(failure) = failure else {
            self.pushes = 0;
            self.reached(now);
            self.acknowledged.extend(push.events.iter().map(|own| own.id));
            return;
        };
        self.pushes += 1;
        let commits: BTreeSet<CommitId> = push.events.iter().map(|own| own.commit_id()).collect();
        match failure {
            BackendFailure::Unreachable { .. } => {
                self.outage.get_or_insert(now);
                return;
            }
            BackendFailure::NeedsAuth { .. } => self.wants_auth = true,
            BackendFailure::Unknown { .. } => {
                if commits.len() == 1 {
                    self.stuck.extend(&commits);
                }
                self.refused.extend(commits);
            }
            BackendFailure::Refused { events } => {
                for (index, _) in events {
                    if let Some(own) = push.events.get(*index as usize) {
                        self.doomed.insert(own.commit_id());
                        self.forbidden.insert(own.id);
                    }
                }
            }
            _ => {}
        }
        self.reached(now);
    }

    /// A pull has failed.
    pub(crate) fn pull_failed(&mut self, now: Time, failure: &BackendFailure) {
        self.pulls += 1;
        match failure {
            BackendFailure::Unreachable { .. } => {
                self.outage.get_or_insert(now);
            }
            BackendFailure::NeedsAuth { .. } => {
                self.wants_auth = true;
                self.reached(now);
            }
            BackendFailure::Unknown { .. } | BackendFailure::ServerAhead { .. } | BackendFailure::Refused { .. } => {}
            _ => self.reached(now),
        }
    }

    /// A page has come, of the backend that is known if `known`.
    pub(crate) fn pulled(&mut self, now: Time, page: &Page, known: bool, backend: &Backend) {
        self.reached(now);
        self.shaken |= !known;
        // Whoever is shown a hole, or nothing, may take that for a failure.
        self.pulls += 1;
        self.gap |= page.events.iter().zip(page.events.iter().skip(1)).any(|(a, b)| a.seq + 1 != b.seq);
        self.gap |= page.events.first().is_none_or(|first| first.seq > self.cursor + 1);
        for event in page.events.iter().filter(|_| known) {
            if event.seq == self.cursor + 1 {
                (self.cursor, self.pulls) = (self.cursor + 1, 0);
                self.shown.extend(backend.live().log.get(event.seq as usize - 1).map(|held| held.own.id));
            }
        }
    }

    /// Storage has answered the transaction with this number, after the last one that is known to be committed.
    pub(crate) fn stored(&mut self, now: Time, is_next: bool, outcome: &Materialised) -> Result<(), Violation> {
        match outcome {
            Materialised::Committed { .. } => {
                (self.storage_fails, self.txns, self.barren) = (false, 0, (0, now));
                self.storage.clear();
                return Ok(());
            }
            Materialised::RolledBack { refused } => self.doomed.extend(refused.iter().map(|(commit, _)| *commit)),
            Materialised::Failed(failure) | Materialised::UnknownOutcome(failure) => {
                self.storage_fails |= is_next;
                self.storage_broken |= failure.class == StorageClass::Corrupt;
                self.storage_surely_broken |= is_next && failure.class == StorageClass::Corrupt;
                if !self.storage.contains(failure) {
                    self.storage.push(failure.clone());
                }
            }
            Materialised::Stale => {
                let message =
                    "the file carries another transaction number than this store left in it: was it replaced by a copy?";
                let failure = StorageFailure { class: StorageClass::Other, message: message.into() };
                if !self.storage.contains(&failure) {
                    self.storage.push(failure);
                }
            }
        }
        self.txns += 1;
        let (count, since) = &mut self.barren;
        if now.0 - since.0 > 10_000_000 {
            (*count, *since) = (0, now);
        }
        *count += 1;
        if *count > BARREN_TXNS {
            let what = format!("{count} transactions in {} us, and none committed", now.0 - since.0);
            return Err(Violation::new("V4", what));
        }
        Ok(())
    }

    /// Whether a machine may take this event for accepted. Of a push that the log has moved under, only a pull shows what became of it.
    fn may_be_accepted(&self, id: &EventId) -> bool {
        self.shown.contains(id) || self.acknowledged.contains(id)
    }
}

/// An event that a machine has to push.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToPush {
    id: EventId,
    pub(crate) commit: CommitId,
    /// It was shown or acknowledged, and the machine may have taken note of it.
    pub(crate) may_be_accepted: bool,
}

impl Client {
    /// The own synced events that the file holds and that it does not know to be accepted: what the machine has to push, in its order,
    /// but for those that it may know to be.
    pub(crate) fn to_push(&self, keeps_ids: bool) -> impl Iterator<Item = ToPush> + '_ {
        let through = self.disk.heads.upstream.max(self.disk.heads.acknowledged);
        let rows = self.disk.undoable().filter(move |row| !row.entry.event.client_only && row.entry.seq.pos.global > through);
        let rows = rows.filter_map(|row| Some((row.entry.own_id()?, row.entry.commit_id()?)));
        // Where pulls carry no identities, equal events may be taken for one another.
        let rows = rows.filter(move |(id, _)| !keeps_ids || !self.heard.shown.contains(id));
        rows.map(|(id, commit)| ToPush { id, commit, may_be_accepted: self.heard.may_be_accepted(&id) })
    }
}

impl World {
    /// Nothing is sent over what is refused, or of unknown fate: a push begins with the oldest event that is not known to be accepted,
    /// and leaves none out.
    pub(crate) fn check_fence(&self, c: usize, push: &Push) -> Result<(), Violation> {
        let client = &self.clients[c];
        if client.heard.shaken {
            return Ok(());
        }
        let mut waiting = client.to_push(self.backend.keeps_ids);
        for own in &push.events {
            let next = waiting.find(|next| next.id == own.id || !next.may_be_accepted);
            if next.is_none_or(|next| next.id != own.id) {
                return Err(Violation::new("L5", format!("{:?} is pushed, and what comes next is {next:?}", own.id)));
            }
        }
        Ok(())
    }
}
