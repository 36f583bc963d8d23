//! The simulated store file: transactions are carried out to the letter, and everything about them is checked.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_core::{
    Boot, Certainty, CommitId, Entry, EventId, Heads, Materialised, Origin, Otherwise, Poison, Portion, Pos, Quarantined, Seed,
    Seq, SessionId, Skip, Standing, SyncError, Txn, Whereabouts,
};

use super::Violation;
use super::backend::{Backend, Incarnation};
use super::state::{State, Undo};

#[derive(Clone, Debug, Hash)]
pub(crate) struct Row {
    pub(crate) entry: Entry,
    pub(crate) undo: Option<Undo>,
    pub(crate) skipped: bool,
    /// Whether that is for now: it is judged again.
    held: bool,
}

#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Disk {
    pub(crate) number: u64,
    pub(crate) heads: Heads,
    pub(crate) log: Vec<Row>,
    pub(crate) state: State,
    pub(crate) quarantine: Vec<Quarantined>,
    /// Events in the log that are own, and events in quarantine.
    pub(crate) stored: BTreeSet<EventId>,
    pub(crate) quarantined: BTreeSet<EventId>,
    /// Outcomes of receipts that have failed, events queued or not.
    pub(crate) failed: BTreeMap<CommitId, SyncError>,
    pub(crate) marks: BTreeMap<SessionId, u64>,
    /// Commits that could not be applied and were held, at any time.
    pub(crate) held: BTreeSet<CommitId>,
    /// States after each transaction, newest last, as far back as a session may be.
    pub(crate) states: BTreeMap<u64, State>,
    last: Option<Arc<Txn>>,
    /// A transaction of this process whose outcome is not known: nothing else is tried before it is asked for again.
    pub(crate) unsettled: Option<u64>,
    /// Whether all history was given up once.
    pub(crate) wiped: bool,
    /// Events that the known backend had, or that only this file had, and that went with the history.
    cleared: BTreeSet<EventId>,
    /// What was in quarantine then: the backend of today has none of it.
    forgotten: BTreeSet<CommitId>,
}

impl Disk {
    /// One transaction. An error is a broken contract, not a fault.
    pub(crate) fn run(&mut self, txn: &Arc<Txn>, backend: &Backend) -> Result<Materialised, Violation> {
        if txn.number == self.number {
            if self.last.as_ref() != Some(txn) {
                return Err(Violation::new(
                    "S2",
                    format!("transaction {} is another one when it is asked for again", txn.number),
                ));
            }
            return Ok(Materialised::Committed { skipped: Vec::new() });
        }
        if txn.number != self.number + 1 {
            return Ok(Materialised::Stale);
        }
        let (mut state, kept) = self.undone(txn)?;
        let before = if txn.wipe { Pos::ROOT } else { self.log[..kept].last().map_or(Pos::ROOT, |row| row.entry.seq.pos) };
        self.check_chain(txn, before)?;
        let (rows, refused, skipped) = applied(&mut state, txn);
        if !refused.is_empty() {
            return Ok(Materialised::RolledBack { refused });
        }
        self.commit(txn, kept, rows, state, backend)?;
        self.check_heads(txn, backend)?;
        Ok(Materialised::Committed { skipped })
    }

    fn undone(&self, txn: &Txn) -> Result<(State, usize), Violation> {
        if txn.wipe {
            return Ok((State::default(), 0));
        }
        let kept = txn.undo_to.map_or(self.log.len(), |to| self.log.partition_point(|row| row.entry.seq.pos <= to));
        let mut state = self.state.clone();
        for row in self.log[kept..].iter().rev() {
            if row.entry.seq.pos <= self.heads.settled {
                return Err(Violation::new("L2", format!("{} is settled and was undone", row.entry.seq)));
            }
            // Where the backend has changed its bytes it is applied again, at its place.
            let stays = |entry: &Entry| entry.seq.pos == row.entry.seq.pos && entry.own_id() == row.entry.own_id();
            if row.entry.is_accepted(&self.heads) && !txn.append.iter().any(stays) {
                return Err(Violation::new("L2", format!("{} is acknowledged and was undone", row.entry.seq)));
            }
            if let Some(undo) = &row.undo {
                state.undo(undo);
            }
        }
        Ok((state, kept))
    }

    fn check_chain(&self, txn: &Txn, mut before: Pos) -> Result<(), Violation> {
        for entry in &txn.append {
            let at = entry.seq.pos;
            if at != before.next(entry.event.client_only) || entry.parent != at.parent() {
                return Err(Violation::new("L1", format!("{} (parent {}) is appended after {before}", entry.seq, entry.parent)));
            }
            before = at;
        }
        Ok(())
    }

    fn commit(&mut self, txn: &Arc<Txn>, kept: usize, rows: Vec<Row>, state: State, backend: &Backend) -> Result<(), Violation> {
        let (mut undone, mut accepted) = (Vec::new(), Vec::new());
        self.held.extend(rows.iter().filter(|row| row.held).filter_map(|row| row.entry.commit_id()));
        for row in self.log.drain(kept..) {
            let Some(id) = row.entry.own_id() else { continue };
            self.stored.remove(&id);
            let at = row.entry.seq.pos;
            // A client-only event is history as soon as nothing before it waits, and that may be in the same breath.
            let is_history = at <= self.heads.settled || at.global <= self.heads.acknowledged || row.entry.event.client_only;
            let is_history = is_history || backend.incarnations.iter().any(|incarnation| incarnation.holds(&id));
            (if txn.wipe && is_history { &mut accepted } else { &mut undone }).push(id);
        }
        self.cleared.extend(accepted);
        self.wiped |= txn.wipe;
        for failed in &txn.failed {
            let before = self.failed.entry(failed.commit);
            if matches!(before, Slot::Occupied(_)) && failed.error.events() != Whereabouts::Quarantine {
                return Err(Violation::new("R1", format!("{} fails again", failed.commit)));
            }
            before.or_insert_with(|| failed.error.clone());
            if failed.error.events() == Whereabouts::Quarantine {
                for own in &failed.events {
                    if self.stored.contains(&own.id) || !self.quarantined.insert(own.id) {
                        return Err(Violation::new("L4", format!("{:?} is quarantined and elsewhere", own.id)));
                    }
                }
                self.quarantine.push(failed.clone());
            }
        }
        if txn.wipe {
            self.forgotten.extend(self.quarantine.iter().map(|quarantined| quarantined.commit));
        }
        for id in &txn.release {
            let found = self.quarantined.remove(id);
            self.quarantine.iter_mut().for_each(|quarantined| quarantined.events.retain(|own| own.id != *id));
            if !found {
                return Err(Violation::new("L4", format!("{id:?} is released and was not in quarantine")));
            }
        }
        for row in rows {
            if let Some(id) = row.entry.own_id()
                && (!self.stored.insert(id) || self.quarantined.contains(&id))
            {
                return Err(Violation::new("L4", format!("{id:?} is appended at {} and is there already", row.entry.seq)));
            }
            self.log.push(row);
        }
        if let Some(id) = undone.iter().find(|id| !self.holds(id)) {
            return Err(Violation::new("L4", format!("{id:?} is undone, and then nowhere")));
        }
        self.state = state;
        self.number = txn.number;
        self.states.insert(self.number, self.state.clone());
        while self.states.len() > 8 {
            self.states.pop_first();
        }
        self.last = Some(txn.clone());
        for &(session, through) in &txn.marks {
            let mark = self.marks.entry(session).or_insert(0);
            *mark = through.max(*mark);
        }
        Ok(())
    }

    fn check_heads(&mut self, txn: &Txn, backend: &Backend) -> Result<(), Violation> {
        let (old, new) = (&self.heads, &txn.heads);
        let back = new.upstream < old.upstream || new.settled < old.settled;
        let back = back || new.acknowledged < old.acknowledged;
        if (back && !txn.wipe) || new.generation < old.generation {
            return Err(Violation::new("L2", format!("the heads went back from {old:?} to {new:?}")));
        }
        let from = if txn.wipe { Pos::ROOT } else { old.settled };
        let from = self.log.partition_point(|row| row.entry.seq.pos <= from);
        let to = self.log.partition_point(|row| row.entry.seq.pos <= new.settled);
        for row in &mut self.log[from..to] {
            row.undo = None;
        }
        self.heads = new.clone();
        let last = self.log.iter().rposition(|row| row.entry.seq.pos == Pos::synced(new.upstream));
        if new.upstream > 0 && last.is_none() {
            return Err(Violation::new("L3", format!("the cursor is e{}, and there is no such entry", new.upstream)));
        }
        if new.settled < Pos::synced(new.upstream) || self.log.last().map_or(Pos::ROOT, |row| row.entry.seq.pos) < new.settled {
            return Err(Violation::new("L3", format!("settled {} is not between cursor and head", new.settled)));
        }
        if self.log[to..].iter().any(|row| row.entry.standing != Standing::Pending) {
            return Err(Violation::new("L3", "an entry after the settled ones is not pending"));
        }
        self.check_history(from, backend)
    }

    /// The confirmed entries from this row on are what the backend holds, in one of its incarnations.
    pub(crate) fn check_history(&self, from: usize, backend: &Backend) -> Result<(), Violation> {
        let Some(id) = &self.heads.backend else { return Ok(()) };
        let through = |end: u64| {
            let synced = self.log[from..].iter().filter(|row| !row.entry.event.client_only);
            synced.take_while(move |row| row.entry.seq.pos.global <= end)
        };
        let is_in = |row: &Row, incarnation: &Incarnation| {
            incarnation.log.get(row.entry.seq.pos.global as usize - 1).is_some_and(|held| {
                let author = match &row.entry.origin {
                    Origin::Own { id, .. } if backend.keeps_ids => *id == held.own.id,
                    Origin::Own { id, .. } => id.session == held.own.id.session,
                    Origin::Foreign { client, session, .. } => {
                        *client == held.client && **session == *held.own.id.session.to_string()
                    }
                };
                // What is acknowledged and not pulled yet is as it was said, and the backend may have changed it.
                let pulled = row.entry.seq.pos.global <= self.heads.upstream;
                let said = if pulled { &held.own.event } else { &held.said };
                author && said.says_the_same(&row.entry.event)
            })
        };
        let incarnations = || backend.incarnations.iter().filter(|incarnation| incarnation.id == *id);
        let pulled = incarnations().any(|incarnation| through(self.heads.upstream).all(|row| is_in(row, incarnation)));
        // A backend that has lost an event and has another in its place takes what follows it: only a pull shows that.
        let holds =
            pulled && through(self.heads.acknowledged).all(|row| incarnations().any(|incarnation| is_in(row, incarnation)));
        if holds {
            return Ok(());
        }
        Err(Violation::new("L8", format!("the confirmed log up to e{} is not that of {id}", self.heads.upstream)))
    }

    /// Whether this event is in the log or in quarantine, or has gone with a history that was given up.
    pub(crate) fn holds(&self, id: &EventId) -> bool {
        self.stored.contains(id) || self.quarantined.contains(id) || self.cleared.contains(id)
    }

    /// Whether this event has gone with a history that was given up.
    pub(crate) fn has_cleared(&self, id: &EventId) -> bool {
        self.cleared.contains(id)
    }

    /// Rows that may still be undone.
    pub(crate) fn undoable(&self) -> impl Iterator<Item = &Row> + Clone {
        let from = self.log.partition_point(|row| row.entry.seq.pos <= self.heads.settled);
        self.log[from..].iter()
    }

    pub(crate) fn seed(&self) -> Seed {
        Seed {
            number: self.number,
            head: self.log.last().map_or(Seq::new(Pos::ROOT, self.heads.generation), |row| row.entry.seq),
            pending: self.undoable().map(|row| row.entry.clone()).collect(),
        }
    }

    /// What a process finds that opens the file.
    pub(crate) fn boot(&self, client: &Arc<str>) -> Boot {
        let pending: Vec<Entry> = self.undoable().map(|row| row.entry.clone()).collect();
        let commits: BTreeSet<CommitId> = pending.iter().filter_map(Entry::commit_id).collect();
        let mut partly: BTreeMap<CommitId, Vec<u64>> = BTreeMap::new();
        for row in self.log.iter().filter(|row| row.entry.seq.pos <= self.heads.settled && !row.entry.event.client_only) {
            if let Some(commit) = row.entry.commit_id().filter(|commit| commits.contains(commit)) {
                partly.entry(commit).or_default().push(row.entry.seq.pos.global);
            }
        }
        let settled = self.log.len() - pending.len();
        let anchor = self.log[..settled].iter().rev().find(|row| row.entry.seq.pos == Pos::synced(self.heads.upstream));
        let uncertain = |q: &&Quarantined| {
            q.error.certainty() == Certainty::Unknown && !q.events.is_empty() && !self.forgotten.contains(&q.commit)
        };
        Boot {
            client: client.clone(),
            number: self.number,
            heads: self.heads.clone(),
            settled_head: self.log[..settled].last().map_or(Pos::ROOT, |row| row.entry.seq.pos),
            anchor: anchor.map(|row| row.entry.clone()),
            failed: commits.into_iter().filter(|commit| self.failed.contains_key(commit)).collect(),
            pending,
            partly_confirmed: partly.into_iter().collect(),
            uncertain: self.quarantine.iter().filter(uncertain).cloned().collect(),
            held: self.undoable().any(|row| row.held),
            pending_since: Vec::new(),
        }
    }

    fn check_order(&self) -> Result<(), Violation> {
        in_order(self.log.iter().map(|row| &row.entry).filter(|entry| entry.standing == Standing::Pending))
    }

    /// The state is the log, replayed with the stored skips.
    pub(crate) fn check_replay(&self) -> Result<(), Violation> {
        self.check_order()?;
        let mut state = State::default();
        for row in self.log.iter().filter(|row| !row.skipped) {
            if let Err(why) = state.apply(&row.entry.event) {
                return Err(Violation::new("S1", format!("{} can't be replayed: {why}", row.entry.seq)));
            }
        }
        if state == self.state { Ok(()) } else { Err(Violation::new("S1", "the state is not the replayed log")) }
    }
}

/// What is pending is in the order of its session, and each commit in one piece.
fn in_order<'a>(mut pending: impl Iterator<Item = &'a Entry>) -> Result<(), Violation> {
    let mut last: BTreeMap<SessionId, EventId> = BTreeMap::new();
    let (mut now, mut before) = (None, BTreeSet::new());
    pending.try_for_each(|entry| {
        let (Some(id), Some(commit)) = (entry.own_id(), entry.commit_id()) else {
            return Err(Violation::new("L4", format!("{} is pending, and not own", entry.seq)));
        };
        if now.replace(commit) != Some(commit) && !before.insert(commit) {
            return Err(Violation::new("L4", format!("{commit} is pending in two pieces, the second at {}", entry.seq)));
        }
        match last.insert(id.session, id) {
            Some(earlier) if earlier.ordinal >= id.ordinal => {
                Err(Violation::new("L4", format!("{id:?} is pending at {}, behind {earlier:?}", entry.seq)))
            }
            _ => Ok(()),
        }
    })
}

type Applied = (Vec<Row>, Vec<(CommitId, Poison)>, Vec<Skip>);

/// Applies what is appended: a savepoint for each commit that the backend has not accepted, each judged without the others.
fn applied(state: &mut State, txn: &Txn) -> Applied {
    let (mut rows, mut refused, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for Portion { entries, otherwise } in txn.portions() {
        let guard = entries.iter().find_map(|entry| entry.own_guard().filter(|_| otherwise != Otherwise::Skipped));
        match (state.apply_commit(guard.map(Arc::as_ref), entries.iter().map(|entry| entry.event.as_ref())), otherwise) {
            (Ok(undos), _) => {
                let row =
                    |(entry, undo): (&Entry, Undo)| Row { entry: entry.clone(), undo: Some(undo), skipped: false, held: false };
                rows.extend(entries.iter().zip(undos).map(row));
            }
            (Err(poison), Otherwise::Refused(commit)) => refused.push((commit, poison)),
            (Err(Poison::Materialise { message, .. } | Poison::Conflict { message, .. }), _) => {
                let skip = |entry: &Entry| Skip { at: entry.seq.pos, reason: message.clone() };
                skipped.extend(entries.iter().map(skip));
                let held = otherwise == Otherwise::Held;
                rows.extend(entries.iter().map(|entry| Row { entry: entry.clone(), undo: None, skipped: true, held }));
            }
        }
    }
    (rows, refused, skipped)
}
