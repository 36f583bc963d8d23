//! What storage is ordered to do, as one transaction each.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::error::{Poison, Quarantined, StorageFailure};
use crate::event::{Entry, Event, Standing};
use crate::guard::Guard;
use crate::id::{BackendId, CommitId, EventId, SessionId};
use crate::seq::Pos;

/// One SQLite transaction on the store's file, all or nothing. Carried out in the order of the fields.
///
/// It stands on the transaction `number - 1`: storage compares the number in the file inside the transaction, and answers
/// [`Materialised::Stale`] if it differs. So a queued transaction can't commit over one that failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Txn {
    /// The number that the file carries afterwards.
    pub number: u64,
    /// Forget all history first: eventlog, state, undo, heads (the policy `reset` after an identity mismatch).
    pub wipe: bool,
    /// Undo and remove every entry of the log after this place.
    pub undo_to: Option<Pos>,
    /// Commits whose backend stage fails, each to be stored with its error. Where the error says that the events are in quarantine,
    /// so are they from now on: those in the log are after `undo_to`, and are not appended again. Where it says that they are
    /// queued, `events` is empty, and only the outcome of the receipt is stored. A receipt that has failed before, in an earlier
    /// transaction or earlier in this one, stays as it settled.
    pub failed: Vec<Quarantined>,
    /// Out of quarantine: found confirmed after all.
    pub release: Vec<EventId>,
    /// Append to the log and apply to the state, in this order. A commit's entries are neighbours. If one of them has a
    /// [guard](Entry::guard) to be checked, it has to hold before the first of them, or the commit can't be applied.
    pub append: Vec<Entry>,
    /// A commit with a pending event up to here that can't be applied is *held*: what is pending of it stands in the log without effect on
    /// the state, as what is skipped does, and nobody is refused. The backend may turn out to have it, or what it builds on, so it is
    /// judged once all of the backend's log is here. None if everything is judged now.
    pub hold_to: Option<Pos>,
    /// The heads to set.
    pub heads: Heads,
    /// For each session named: every commit up to this ordinal has been decided (stored, or in quarantine).
    pub marks: SmallVec<[(SessionId, u64); 1]>,
}

/// Entries of a transaction that are judged together, each time without those that could not be applied.
#[derive(Clone, Copy, Debug)]
pub struct Portion<'a> {
    /// One or more neighbours in [`Txn::append`].
    pub entries: &'a [Entry],
    /// What becomes of them if one can't be applied.
    pub otherwise: Otherwise,
}

/// What becomes of entries that can't be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// It is one entry, at the backend or of a commit that may be: it stands in the log without effect on the state.
    Skipped,
    /// They are this commit, and it is [held](Txn::hold_to): they stand in the log without effect on the state.
    Held,
    /// They are this commit, and the transaction is rolled back.
    Refused(CommitId),
}

impl Txn {
    /// What is appended, as it is judged.
    pub fn portions(&self) -> impl Iterator<Item = Portion<'_>> {
        let movable = |entry: &Entry| if entry.is_accepted(&self.heads) { None } else { entry.commit_id() };
        let commits = self.append.chunk_by(move |a, b| movable(a).is_some() && movable(a) == movable(b));
        commits.flat_map(move |entries| {
            let held = self.holds(entries);
            // What has settled of a held commit was judged by itself, or will never be again.
            let settled = if held { entries.partition_point(|entry| entry.standing != Standing::Pending) } else { 0 };
            let (settled, rest) = entries.split_at(settled);
            let otherwise = match rest.first().and_then(movable) {
                None => Otherwise::Skipped,
                Some(_) if held => Otherwise::Held,
                Some(commit) => Otherwise::Refused(commit),
            };
            let skipped = settled.chunks(1).map(|entries| Portion { entries, otherwise: Otherwise::Skipped });
            skipped.chain([Portion { entries: rest, otherwise }])
        })
    }

    /// Whether some of this commit is pending, and the backend may turn out to have it or something before it.
    fn holds(&self, commit: &[Entry]) -> bool {
        let waits = |entry: &Entry| entry.standing == Standing::Pending && !entry.is_accepted(&self.heads);
        commit.iter().any(|entry| waits(entry) && self.hold_to.is_some_and(|to| entry.seq.pos <= to))
    }
}

/// What the file says about where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Heads {
    /// The last event that is confirmed by a pull: the cursor. What is after it in the log is pending, or local.
    pub upstream: u64,
    /// The parent of that event, where a pull has to start to be given that event again.
    pub upstream_parent: u64,
    /// The last place that an own event has at the backend, by its acknowledgement or by a pull. What is own and synced and stands up
    /// to here has its place for good: its receipt has settled, it can't be withdrawn and is never pushed again, and a backend that
    /// no longer holds it has lost history.
    ///
    /// A process that is killed between an acknowledgement and the transaction that stores it leaves an event whose receipt has settled
    /// and is open again. It settles the same as soon as the backend is asked, and is not refused before that: [`Txn::hold_to`]. What is
    /// given up before that (withdrawn, or offline for good) ends with [`crate::Certainty::Unknown`], since a process that starts has
    /// to assume that whatever it finds pending was sent.
    pub acknowledged: u64,
    /// No own event that waits, or may be found again, stands up to here: the backend held all this when the store began with it.
    /// 0, unless the history was forgotten once; then [`crate::GLOBAL_MAX`] until all of the backend's log has been seen, and where
    /// that ended from then on. Nothing is pushed before this is stored.
    pub own_after: u64,
    /// Everything up to here will never be undone: its undo rows can go.
    pub settled: Pos,
    /// How often the pending part has been rewritten.
    pub generation: u32,
    /// The backend that this history belongs to, once known.
    pub backend: Option<BackendId>,
}

/// How a transaction ended. Answers [`crate::Effect::Materialise`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Materialised {
    /// Done, to the durability that the store was opened with.
    Committed {
        /// Entries at the backend that can't be materialised, and those of commits that are [held](Txn::hold_to): they stand in the
        /// log, without effect on the state.
        skipped: Vec<Skip>,
    },
    /// Nothing was done, since these commits can't be applied: pending ones that are not [acknowledged](Entry::is_accepted) nor
    /// [held](Txn::hold_to), and local ones.
    RolledBack {
        /// All of them, found in one pass, each judged without the others.
        refused: Vec<(CommitId, Poison)>,
    },
    /// Nothing was done: the file carries another number than the transaction stands on.
    Stale,
    /// Nothing was done: storage is in trouble.
    Failed(StorageFailure),
    /// It can't be said whether the transaction was committed. The same transaction will be asked for again; it is
    /// answered `Committed` if the file already carries its number. Until then everything else is answered [`Self::Stale`]
    /// without being tried, or two outcomes could be unknown at once.
    UnknownOutcome(StorageFailure),
}

/// An entry without effect on the state: the backend has it or may have it, and it can't be applied here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Skip {
    /// Where it stands.
    pub at: Pos,
    /// Why.
    pub reason: Arc<str>,
}

/// One transaction on a session's database, whose undoable part is a stack of units, one an event. Carried out in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionTxn {
    /// Undo this many of the newest units.
    pub undo: usize,
    /// Forget how to undo this many of the oldest units.
    pub forget: usize,
    /// Apply these.
    pub apply: Vec<Unit>,
}

/// An event to apply to a session's database.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unit {
    /// What it says.
    pub event: Arc<Event>,
    /// The commit it belongs to, if it is an own one: if one event of a commit can't be applied, the commit's writes are left
    /// out, its units are pushed all the same (with nothing to undo), and the transaction goes on.
    pub commit: Option<CommitId>,
    /// What has to hold for the commit before the first of its units, on whichever of them it is: if it does not, the commit is left out
    /// as if an event could not be applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Arc<Guard>>,
    /// Whether the unit goes on the stack. Confirmed entries don't; they come first.
    pub undoable: bool,
}

/// How a session's transaction ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SessionApplied {
    /// Done, whatever had to be left out.
    Done,
    /// The session's database is of no more use: it has to be seeded anew.
    Failed {
        /// What was met.
        message: Arc<str>,
    },
}

/// What a session's database was seeded with. Answers [`crate::Effect::Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seed {
    /// The transaction number of the file when the snapshot was taken.
    pub number: u64,
    /// The last place in the log.
    pub head: crate::seq::Seq,
    /// The undoable entries, oldest first: one unit each on the stack of the session's database.
    pub pending: Vec<Entry>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Origin;
    use crate::seq::Seq;

    const SESSION: SessionId = SessionId([1; 16]);

    /// An event that is a commit of its own.
    fn entry(ordinal: u64, at: Pos, standing: Standing) -> Entry {
        let origin =
            Origin::Own { id: EventId { session: SESSION, ordinal }, commit: ordinal, last: true, rebases: 0, guard: None };
        let event = Arc::new(Event { name: "A".into(), args: "null".into(), client_only: at.client > 0 });
        Entry { seq: Seq::new(at, 0), parent: at.parent(), origin, standing, event }
    }

    // Verifies: R1, R6 (only what waits can be held: the rest is refused or stands where the backend has it, whatever may turn up)
    #[test]
    fn what_waits_up_to_there_is_held_and_nothing_else() {
        let append = [
            entry(1, Pos { global: 0, client: 1 }, Standing::Local),
            entry(2, Pos::synced(1), Standing::Pending),
            entry(3, Pos::synced(2), Standing::Pending),
            entry(4, Pos::synced(3), Standing::Pending),
        ];
        let heads = Heads { acknowledged: 1, ..Heads::default() };
        let marks = SmallVec::new();
        let (failed, release, hold_to) = (Vec::new(), Vec::new(), Some(Pos::synced(2)));
        let txn = Txn { number: 1, wipe: false, undo_to: None, failed, release, append: append.into(), hold_to, heads, marks };
        let otherwise: Vec<_> = txn.portions().map(|portion| (portion.entries.len(), portion.otherwise)).collect();
        let refused = |ordinal| Otherwise::Refused(CommitId { session: SESSION, ordinal });
        assert_eq!(otherwise, [(1, refused(1)), (1, Otherwise::Skipped), (1, Otherwise::Held), (1, refused(4))]);
    }
}
