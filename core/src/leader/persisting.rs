//! What storage is to be told, and what it has been told and has not answered.

mod check;

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::backoff::Backoff;
use crate::error::{Quarantined, StorageFailure, SyncError, Whereabouts};
use crate::id::{CommitId, EffectId, EventId};
use crate::time::Time;
use crate::txn::Txn;

/// A commit that is admitted and not yet stored, as counts of the tail.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Admission {
    pub(super) commit: CommitId,
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) settled_end: u64,
    pub(super) pending_end: u64,
    /// Its backend stage has failed already: stored with the commit, or the file would know of a failure and not of the commit.
    pub(super) failed: Option<Box<SyncError>>,
}

/// Something that has to be stored beside the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Decision {
    /// A commit's backend stage has failed.
    Fail {
        quarantined: Quarantined,
        /// Whether the commit was not stored before: then this is what decides it.
        decides: bool,
    },
    /// An event is out of quarantine.
    Release(EventId),
    /// Only the heads.
    Heads,
    /// All history goes.
    Wipe,
}

impl Decision {
    /// The backend stage of a stored commit has failed, and its events stay queued.
    pub(super) fn queued(commit: CommitId, error: SyncError) -> Self {
        Self::Fail { quarantined: Quarantined { commit, events: Vec::new(), error }, decides: false }
    }
}

/// A transaction under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flight {
    /// Not set while it waits to be asked for again, its outcome being unknown.
    pub(super) effect: Option<EffectId>,
    /// Whether it may have been committed all the same: then only its own answer can say that it was not.
    pub(super) uncertain: bool,
    pub(super) txn: Arc<Txn>,
    /// How many admissions and decisions, counted from the first that is held, it covers.
    pub(super) admissions: u64,
    pub(super) decisions: u64,
    /// Whether it writes all that was to be judged anew when it was begun.
    pub(super) judges: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Persisting {
    /// The transaction number of the file.
    pub(super) number: u64,
    pub(super) admissions: VecDeque<Admission>,
    pub(super) admissions_first: u64,
    pub(super) decisions: VecDeque<Decision>,
    pub(super) decisions_first: u64,
    pub(super) flights: SmallVec<[Flight; 2]>,
    /// After a poisoned transaction: only what it held is tried again, so that the poison is found without new ones joining.
    pub(super) retry_until: u64,
    pub(super) retry: Backoff,
    /// The file is damaged: nothing will ever be stored again.
    pub(super) broken: Option<Arc<str>>,
    pub(super) trouble: Option<StorageFailure>,
    /// Since when something is acknowledged that is not stored as such.
    pub(super) acknowledged: Option<Time>,
    /// Admitted and not yet stored.
    pub(super) events: usize,
    pub(super) bytes: usize,
    /// Whether storage holds pending commits that it could not apply, with no effect: see [`Txn::hold_to`].
    pub(super) held: bool,
    /// Whether something that was held is still to be judged, by a transaction that says so of itself.
    pub(super) judging: bool,
}

impl Persisting {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            admissions: VecDeque::new(),
            admissions_first: 0,
            decisions: VecDeque::new(),
            decisions_first: 0,
            flights: SmallVec::new(),
            retry_until: 0,
            retry: Backoff::default(),
            broken: None,
            trouble: None,
            acknowledged: None,
            events: 0,
            bytes: 0,
            held: false,
            judging: false,
        }
    }

    pub(super) fn admit(&mut self, admission: Admission) {
        let ends = |admission: &Admission| (admission.settled_end, admission.pending_end);
        let before = self.admissions.back().map_or((0, 0), ends);
        debug_assert!(before.0 <= admission.settled_end && before.1 <= admission.pending_end, "commits end in their order");
        self.events += admission.events;
        self.bytes += admission.bytes;
        self.admissions.push_back(admission);
    }

    /// The backend stage of a commit has failed, and its events stay queued.
    pub(super) fn fail_queued(&mut self, commit: CommitId, error: SyncError) {
        match self.admissions.iter_mut().rev().find(|admission| admission.commit == commit) {
            Some(admission) => admission.failed = Some(Box::new(error)),
            None => self.decide(Decision::queued(commit, error)),
        }
    }

    pub(super) fn decide(&mut self, decision: Decision) {
        self.decisions.push_back(decision);
    }

    /// Whether storage holds something that it could not apply, or may do so by what is under way.
    pub(super) fn may_hold(&self) -> bool {
        self.held || self.flights.iter().any(|flight| flight.txn.hold_to.is_some())
    }

    /// Whether something that may not apply is still to be judged: it is not sent before that.
    pub(super) fn is_judging(&self) -> bool {
        self.held || self.judging
    }

    /// Whether nothing is under way.
    pub(super) fn idle(&self) -> bool {
        self.flights.is_empty()
    }

    /// Whether nothing keeps a transaction from being begun.
    pub(super) fn can_write(&self) -> bool {
        self.broken.is_none() && self.retry.at.is_none()
    }

    /// Whether what a poisoned transaction held has not been stored yet.
    pub(super) fn tries_again(&self) -> bool {
        self.retry_until > self.admissions_first
    }

    /// Whether a commit has failed, or more than that, and this is not stored.
    pub(super) fn decides_any(&self) -> bool {
        self.decisions.iter().any(|decision| !matches!(decision, Decision::Heads | Decision::Release(_)))
    }

    /// Whether this commit has left the queue, and this is not stored.
    pub(super) fn is_leaving(&self, commit: CommitId) -> bool {
        self.decisions.iter().any(|decision| {
            matches!(decision, Decision::Fail { quarantined, .. }
                if quarantined.commit == commit && quarantined.error.events() == Whereabouts::Quarantine)
        })
    }

    /// Whether everything admitted and decided is stored.
    pub(super) fn drained(&self) -> bool {
        self.admissions.is_empty() && self.decisions.is_empty()
    }

    pub(super) fn unstored_commits(&self) -> BTreeSet<CommitId> {
        self.admissions.iter().map(|admission| admission.commit).collect()
    }

    pub(super) fn planned(&self) -> (u64, u64) {
        self.flights.last().map_or((self.admissions_first, self.decisions_first), |flight| (flight.admissions, flight.decisions))
    }

    /// Forgets admissions that no transaction under way holds. These pending counts went with them, and these that had settled.
    pub(super) fn forget(&mut self, goes: impl Fn(CommitId) -> bool, gone: &[u64], settled: &[u64]) {
        debug_assert!(self.flights.is_empty());
        debug_assert!(gone.is_sorted() && settled.is_sorted());
        let (mut index, mut withheld) = (self.admissions_first, 0);
        self.admissions.retain(|admission| {
            let stays = !goes(admission.commit);
            if !stays {
                self.events -= admission.events;
                self.bytes -= admission.bytes;
                withheld += u64::from(index < self.retry_until);
            }
            index += 1;
            stays
        });
        debug_assert!(withheld <= self.retry_until);
        self.retry_until -= withheld;
        for admission in &mut self.admissions {
            admission.settled_end -= count_before(settled, admission.settled_end);
        }
        self.pending_removed(gone);
    }

    pub(super) fn pending_removed(&mut self, gone: &[u64]) {
        for admission in &mut self.admissions {
            admission.pending_end -= count_before(gone, admission.pending_end);
        }
    }

    /// Everything that waits for the disk is given up.
    pub(super) fn clear(&mut self) -> Vec<Admission> {
        debug_assert!(self.flights.is_empty());
        (self.events, self.bytes) = (0, 0);
        (self.retry_until, self.held, self.judging) = (0, false, false);
        // What was found at the backend, and is not stored as such, goes with the history: it stays in quarantine.
        self.decisions.retain(|decision| !matches!(decision, Decision::Release(_)));
        self.admissions.drain(..).collect()
    }
}

/// How many of these ascending counts are before this one.
pub(super) fn count_before(indices: &[u64], end: u64) -> u64 {
    debug_assert!(indices.is_sorted_by(|a, b| a < b), "counts ascend, each once");
    indices.partition_point(|&index| index < end) as u64
}
