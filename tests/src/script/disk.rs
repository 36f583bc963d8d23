//! The least that keeps a store: it interprets storage transactions as the core describes them, and checks what they may do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_core::{
    Boot, Certainty, CommitId, Entry, Guard, Heads, Materialised, Otherwise, Poison, Portion, Pos, Quarantined, Seed, Seq,
    SessionId, Skip, Standing, SyncError, Txn, Whereabouts,
};

/// Events that can't be applied: by name, and if named, only behind another one.
#[derive(Clone, Debug, Default)]
pub(super) struct Poisons(Vec<Refusal>);

#[derive(Clone, Debug)]
struct Refusal {
    event: String,
    behind: Option<String>,
    /// Not with this one before it.
    until: Option<String>,
    /// Not where this one has had its effect.
    needs: Option<String>,
    poison: Poison,
}

impl Poisons {
    pub(super) fn add(&mut self, event: &str, behind: Option<&str>, poison: Poison) {
        self.0.push(Refusal { event: event.to_owned(), behind: behind.map(str::to_owned), until: None, needs: None, poison });
    }

    pub(super) fn add_until(&mut self, event: &str, behind: &str, until: &str, poison: Poison) {
        self.add(event, Some(behind), poison);
        self.0.last_mut().expect("it was added").until = Some(until.to_owned());
    }

    pub(super) fn add_needs(&mut self, event: &str, needs: &str, poison: Poison) {
        self.add(event, None, poison);
        self.0.last_mut().expect("it was added").needs = Some(needs.to_owned());
    }

    fn refuses(&self, log: &[Entry], skipped: &[Skip], entry: &Entry) -> Option<Poison> {
        let is_there = |name: &String| log.iter().any(|other| *other.event.name == **name);
        let has_effect = |name: &String| {
            let applied = |other: &Entry| skipped.iter().all(|skip| skip.at != other.seq.pos);
            log.iter().any(|other| *other.event.name == **name && applied(other))
        };
        let fits = |refusal: &&Refusal| {
            *refusal.event == *entry.event.name
                && refusal.behind.as_ref().is_none_or(is_there)
                && !refusal.until.as_ref().is_some_and(is_there)
                && !refusal.needs.as_ref().is_some_and(has_effect)
        };
        self.0.iter().find(fits).map(|refusal| refusal.poison.clone())
    }
}

/// Whether the guard of [`super::Script::commit_guarded`] holds behind events of these names.
pub(super) fn holds<'a>(guard: &Guard, mut names: impl Iterator<Item = &'a str>) -> bool {
    !names.any(|name| *guard.args == *format!("\"{name}\""))
}

/// A store's file.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) number: u64,
    /// The transaction of which it can't be said whether it was committed: nothing else is tried before it is asked for again.
    pub(super) unknown: Option<u64>,
    pub(super) log: Vec<Entry>,
    pub(super) skipped: Vec<Skip>,
    pub(super) quarantine: Vec<Quarantined>,
    pub(super) failed: BTreeMap<CommitId, SyncError>,
    /// Commits that settled as not applicable, since there was no backend.
    local: BTreeSet<CommitId>,
    /// What was in quarantine when the history was given up.
    forgotten: BTreeSet<CommitId>,
    pub(super) heads: Heads,
    pub(super) marks: BTreeMap<SessionId, u64>,
}

impl Disk {
    /// One transaction, all or nothing.
    pub(super) fn apply(&mut self, txn: &Txn, poisons: &Poisons) -> Materialised {
        if self.unknown.take_if(|unknown| *unknown == txn.number).is_none() && self.unknown.is_some() {
            return Materialised::Stale;
        }
        if txn.number == self.number {
            return Materialised::Committed { skipped: Vec::new() };
        }
        if txn.number != self.number + 1 {
            return Materialised::Stale;
        }
        let mut next = self.clone();
        next.number = txn.number;
        if txn.wipe {
            (next.log, next.skipped, next.heads) = (Vec::new(), Vec::new(), Heads::default());
        }
        if let Some(to) = txn.undo_to {
            next.undo(to);
        }
        next.fail(&txn.failed);
        if txn.wipe {
            next.forgotten.extend(next.quarantine.iter().map(|held| held.commit));
        }
        for event in &txn.release {
            let held = next.quarantine.iter_mut().find(|held| held.events.iter().any(|own| own.id == *event));
            let held = held.expect("only what is in quarantine is released");
            held.events.retain(|own| own.id != *event);
        }
        next.quarantine.retain(|held| !held.events.is_empty());

        let mut refused: Vec<(CommitId, Poison)> = Vec::new();
        let mut skipped = Vec::new();
        for Portion { entries, otherwise } in txn.portions() {
            let mut poison = None;
            for entry in entries {
                next.check_follows(entry);
                let refuses = |guard: &Guard| {
                    let message = "it is there".into();
                    let held = holds(guard, next.log.iter().map(|entry| &*entry.event.name));
                    (!held).then(|| Poison::Conflict { guard: guard.name.clone(), message })
                };
                let guard = entry.own_guard().filter(|_| otherwise != Otherwise::Skipped);
                let found = guard.and_then(|guard| refuses(guard)).or_else(|| poisons.refuses(&next.log, &next.skipped, entry));
                poison = poison.or(found);
                next.log.push(entry.clone());
            }
            match (poison, otherwise) {
                (Some(poison), Otherwise::Refused(commit)) => refused.push((commit, poison)),
                (Some(_), _) => {
                    let skip = |entry: &Entry| Skip { at: entry.seq.pos, reason: "no such row".into() };
                    next.skipped.extend(entries.iter().map(skip));
                    skipped.extend(entries.iter().map(skip));
                }
                (None, _) => {}
            }
        }
        if !refused.is_empty() {
            return Materialised::RolledBack { refused };
        }
        next.set_heads(txn);
        *self = next;
        Materialised::Committed { skipped }
    }

    fn undo(&mut self, to: Pos) {
        for gone in self.log.iter().filter(|entry| entry.seq.pos > to) {
            assert!(gone.seq.pos > self.heads.settled, "{} is settled and is undone", gone.seq);
        }
        self.log.retain(|entry| entry.seq.pos <= to);
        self.skipped.retain(|skip| skip.at <= to);
    }

    fn fail(&mut self, failed: &[Quarantined]) {
        for quarantined in failed {
            self.failed.entry(quarantined.commit).or_insert_with(|| quarantined.error.clone());
            if quarantined.error.events() == Whereabouts::Quarantine {
                for own in &quarantined.events {
                    let in_log = self.log.iter().any(|entry| entry.own_id() == Some(own.id));
                    assert!(!in_log, "{} goes into quarantine and stays in the log", own.event.name);
                }
                self.quarantine.push(quarantined.clone());
            } else {
                assert!(quarantined.events.is_empty(), "events that stay queued are not handed to quarantine");
            }
        }
    }

    fn check_follows(&self, entry: &Entry) {
        let last = self.last();
        let at = entry.seq.pos;
        if entry.standing == Standing::Confirmed {
            // The backend's numbers may have gaps, as long as each event names the one before it.
            assert!(at > last && entry.parent.global == last.global, "{} follows {last}", entry.seq);
        } else {
            assert_eq!(at, last.next(entry.event.client_only), "the log has no gap after {last}");
            assert_eq!(entry.parent, at.parent(), "{} names its parent", entry.seq);
        }
        let twice = entry.own_id().is_some_and(|id| self.log.iter().any(|other| other.own_id() == Some(id)));
        assert!(!twice, "{} is in the log twice", entry.event.name);
    }

    fn set_heads(&mut self, txn: &Txn) {
        let heads = &txn.heads;
        assert!(txn.wipe || heads.upstream >= self.heads.upstream, "the cursor goes back");
        assert!(txn.wipe || heads.settled >= self.heads.settled, "the settled head goes back");
        assert!(txn.wipe || heads.generation >= self.heads.generation, "the generation goes back");
        assert!(heads.settled <= self.last() || self.log.is_empty(), "the settled head is in the log");
        self.heads = heads.clone();
        for entry in &mut self.log {
            let synced = !entry.event.client_only;
            if synced && entry.seq.pos.global <= heads.upstream {
                entry.standing = Standing::Confirmed;
            } else if synced && entry.standing == Standing::Local {
                self.local.extend(entry.commit_id());
            }
        }
        for &(session, through) in &txn.marks {
            let mark = self.marks.entry(session).or_default();
            assert!(through >= *mark, "the mark of a session goes back");
            *mark = through;
        }
    }

    pub(super) fn last(&self) -> Pos {
        self.log.last().map_or(Pos::ROOT, |entry| entry.seq.pos)
    }

    /// The store is opened with a backend or without one: what moves from here on can be undone, and nothing else.
    pub(super) fn open(&mut self, backend: bool) {
        let boot = self.boot(backend);
        self.heads.settled = boot.settled_head;
        self.unknown = None;
    }

    /// What a session's database is seeded with.
    pub(super) fn seed(&self) -> Seed {
        let pending = self.log.iter().filter(|entry| entry.seq.pos > self.heads.settled).cloned().collect();
        Seed { number: self.number, head: Seq::new(self.last(), self.heads.generation), pending }
    }

    /// What a machine with or without a backend starts from.
    pub(super) fn boot(&self, backend: bool) -> Boot {
        let upstream = self.heads.upstream;
        let moves = |entry: &Entry| backend && !entry.event.client_only && entry.seq.pos.global > upstream;
        let first = self.log.iter().position(moves).unwrap_or(self.log.len());
        let (settled, pending) = self.log.split_at(first);
        let anchor = settled.iter().rfind(|entry| entry.standing == Standing::Confirmed).filter(|_| upstream > 0).cloned();
        let mut commits: Vec<CommitId> = pending.iter().filter_map(Entry::commit_id).collect();
        commits.dedup();
        let confirmed = |commit: CommitId| -> Vec<u64> {
            let own = |entry: &&Entry| entry.commit_id() == Some(commit) && entry.standing == Standing::Confirmed;
            settled.iter().filter(own).map(|entry| entry.seq.pos.global).collect()
        };
        let partly = commits.iter().map(|&commit| (commit, confirmed(commit))).filter(|(_, at)| !at.is_empty());
        let uncertain =
            |held: &&Quarantined| held.error.certainty() == Certainty::Unknown && !self.forgotten.contains(&held.commit);
        Boot {
            client: Arc::from(super::CLIENT),
            number: self.number,
            heads: self.heads.clone(),
            settled_head: settled.last().map_or(Pos::ROOT, |entry| entry.seq.pos),
            anchor,
            partly_confirmed: partly.collect(),
            failed: commits.iter().copied().filter(|id| self.failed.contains_key(id) || self.local.contains(id)).collect(),
            pending: pending.to_vec(),
            uncertain: self.quarantine.iter().filter(uncertain).cloned().collect(),
            held: pending.iter().any(|entry| self.is_skipped(entry.seq.pos)),
            pending_since: Vec::new(),
        }
    }

    fn is_skipped(&self, at: Pos) -> bool {
        self.skipped.iter().any(|skip| skip.at == at)
    }
}
