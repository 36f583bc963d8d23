//! What the machine would order, and what the log should then hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_core::{
    Certainty, CommitId, Entry, Event, EventId, Heads, Origin, OwnEvent, Pos, Quarantined, Seq, SessionId, Standing, SyncError,
    Txn,
};

pub(in super::super) struct Model {
    pub(in super::super) backend: bool,
    pub(in super::super) number: u64,
    pub(in super::super) heads: Heads,
    pub(in super::super) log: Vec<Entry>,
    pub(in super::super) session: SessionId,
    pub(in super::super) ordinal: u64,
    pub(in super::super) commits: u64,
}

impl Model {
    pub(in super::super) fn new(backend: bool) -> Self {
        Self { backend, number: 0, heads: Heads::default(), log: Vec::new(), session: SessionId([7; 16]), ordinal: 0, commits: 0 }
    }

    pub(in super::super) fn head(&self) -> Pos {
        self.log.last().map_or(Pos::ROOT, |entry| entry.seq.pos)
    }

    pub(in super::super) fn pending(&self) -> Vec<Entry> {
        self.log.iter().filter(|entry| entry.seq.pos > self.heads.settled).cloned().collect()
    }

    /// The next commit's entries, at the head.
    pub(in super::super) fn own(&mut self, events: &[Event]) -> Vec<Entry> {
        self.own_after(self.head(), self.head() > self.heads.settled, events)
    }

    /// The next commit's entries, behind something that is not in the log yet.
    pub(in super::super) fn own_after(&mut self, head: Pos, behind_pending: bool, events: &[Event]) -> Vec<Entry> {
        self.commits += 1;
        let (mut pos, mut pending) = (head, behind_pending);
        let mut entries = Vec::new();
        for (i, event) in events.iter().enumerate() {
            self.ordinal += 1;
            pending |= self.backend && !event.client_only;
            let id = EventId { session: self.session, ordinal: self.ordinal };
            let origin = Origin::Own { id, commit: self.commits, last: i + 1 == events.len(), rebases: 0, guard: None };
            let standing = if pending { Standing::Pending } else { Standing::Local };
            entries.push(place(&mut pos, self.heads.generation, origin, standing, event));
        }
        entries
    }

    /// An order that changes nothing but the number.
    pub(in super::super) fn txn(&self) -> Txn {
        Txn {
            number: self.number + 1,
            wipe: false,
            undo_to: None,
            failed: Vec::new(),
            release: Vec::new(),
            append: Vec::new(),
            hold_to: None,
            heads: self.heads.clone(),
            marks: [(self.session, self.commits)].into_iter().collect(),
        }
    }

    /// Appends what doesn't disturb what is there.
    pub(in super::super) fn append(&self, entries: Vec<Entry>) -> Txn {
        let mut txn = self.txn();
        if let Some(settled) = entries.iter().take_while(|entry| entry.standing != Standing::Pending).last() {
            txn.heads.settled = settled.seq.pos;
        }
        txn.append = entries;
        txn
    }

    /// The backend has taken the first `synced` pending events.
    pub(in super::super) fn confirm(&self, synced: usize) -> Txn {
        let mut txn = self.txn();
        let pending = self.pending();
        let mut left = synced;
        for entry in &pending {
            if !entry.event.client_only {
                if left == 0 {
                    break;
                }
                left -= 1;
                txn.heads.upstream = entry.seq.pos.global;
                txn.heads.upstream_parent = entry.parent.global;
            }
            txn.heads.settled = entry.seq.pos;
        }
        txn
    }

    /// Others' events come before what is pending.
    pub(in super::super) fn rebase(&self, foreign: &[Event]) -> Txn {
        let kept: Vec<Entry> = self.log.iter().filter(|entry| entry.seq.pos <= self.heads.settled).cloned().collect();
        let mut pos = kept.last().map_or(Pos::ROOT, |entry| entry.seq.pos);
        let mut txn = self.txn();
        txn.undo_to = Some(pos);
        txn.heads.generation += 1;
        for event in foreign {
            let origin = Origin::Foreign { client: Arc::from("c2"), session: Arc::from("s2"), ids: None };
            txn.append.push(place(&mut pos, 0, origin, Standing::Confirmed, event));
            txn.heads.upstream_parent = txn.append.last().map_or(0, |entry| entry.parent.global);
            txn.heads.upstream = pos.global;
        }
        txn.heads.settled = pos;
        self.again(&mut txn, pos, &self.pending(), &BTreeSet::new());
        txn
    }

    /// Takes commits out of what is pending or about to be, into quarantine.
    pub(in super::super) fn withdraw(&self, txn: &Txn, commits: &[CommitId], certainty: Certainty) -> Txn {
        let commits: BTreeSet<CommitId> = commits.iter().copied().collect();
        let out = |entry: &&Entry| entry.commit_id().is_some_and(|commit| commits.contains(&commit));
        let mut again = txn.clone();
        for &commit in &commits {
            let new = txn.append.iter().filter(|entry| entry.standing != Standing::Confirmed);
            let all = self.log.iter().filter(|entry| entry.standing == Standing::Pending).chain(new);
            let mut events: Vec<OwnEvent> = all.filter(|entry| entry.commit_id() == Some(commit)).filter_map(own_event).collect();
            events.sort_by_key(|own| own.id);
            events.dedup();
            let message = Arc::from("it can't be applied");
            let error = SyncError::Materialise { event: Arc::clone(&events[0].event.name), message, certainty };
            again.failed.push(Quarantined { commit, events, error });
        }
        let in_log = self.log.iter().position(|entry| entry.standing == Standing::Pending && out(&entry));
        let keep = match (txn.undo_to, in_log) {
            (Some(to), _) => Some(to),
            (None, Some(at)) => Some(at.checked_sub(1).map_or(Pos::ROOT, |before| self.log[before].seq.pos)),
            (None, None) => None,
        };
        again.undo_to = keep;
        let base = keep.unwrap_or_else(|| self.head());
        let foreign: Vec<Entry> = txn.append.iter().filter(|entry| entry.standing == Standing::Confirmed).cloned().collect();
        let mut movable: Vec<Entry> = Vec::new();
        if txn.undo_to.is_none() {
            movable.extend(self.log.iter().filter(|entry| entry.seq.pos > base).cloned());
        }
        movable.extend(txn.append.iter().filter(|entry| entry.standing != Standing::Confirmed).cloned());
        let pos = foreign.last().map_or(base, |entry| entry.seq.pos);
        again.append = foreign;
        if again.heads.settled > pos {
            again.heads.settled = pos;
        }
        self.again(&mut again, pos, &movable, &commits);
        again
    }

    /// Appends own entries again under new numbers, without those of `out`.
    fn again(&self, txn: &mut Txn, base: Pos, movable: &[Entry], out: &BTreeSet<CommitId>) {
        let mut pos = base;
        let mut pending = base > txn.heads.settled;
        for entry in movable.iter().filter(|entry| entry.commit_id().is_none_or(|commit| !out.contains(&commit))) {
            let Origin::Own { id, commit, last, rebases, guard } = entry.origin.clone() else {
                unreachable!("only own entries move")
            };
            pending |= self.backend && !entry.event.client_only;
            let standing = if pending { Standing::Pending } else { Standing::Local };
            let origin = Origin::Own { id, commit, last, rebases: rebases + 1, guard };
            txn.append.push(place(&mut pos, txn.heads.generation, origin, standing, &entry.event));
            if !pending {
                txn.heads.settled = pos;
            }
        }
    }

    /// Takes over what a committed order has done.
    pub(in super::super) fn committed(&mut self, txn: &Txn) {
        self.number = txn.number;
        if txn.wipe {
            self.log.clear();
        }
        if let Some(to) = txn.undo_to {
            self.log.retain(|entry| entry.seq.pos <= to);
        }
        self.log.extend(txn.append.iter().cloned());
        self.set_heads(txn.heads.clone());
    }

    /// The heads are others, without an order: a backend was attached.
    pub(in super::super) fn set_heads(&mut self, heads: Heads) {
        self.heads = heads;
        for entry in &mut self.log {
            let pos = entry.seq.pos;
            let confirmed = !pos.is_client_only() && pos.global <= self.heads.upstream;
            if let Origin::Own { guard, .. } = &mut entry.origin
                && (confirmed || (pos.is_client_only() && pos <= self.heads.settled))
            {
                // What does not move any more has been judged for good.
                *guard = None;
            }
            entry.standing = if pos > self.heads.settled {
                Standing::Pending
            } else if confirmed {
                Standing::Confirmed
            } else {
                Standing::Local
            };
        }
    }
}

fn own_event(entry: &Entry) -> Option<OwnEvent> {
    match entry.origin.clone() {
        Origin::Own { id, commit, last, guard, .. } => {
            Some(OwnEvent { id, commit, last, guard, event: Arc::clone(&entry.event) })
        }
        Origin::Foreign { .. } => None,
    }
}

fn place(pos: &mut Pos, generation: u32, origin: Origin, standing: Standing, event: &Event) -> Entry {
    *pos = pos.next(event.client_only);
    Entry { seq: Seq::new(*pos, generation), parent: pos.parent(), origin, standing, event: Arc::new(event.clone()) }
}
