//! What stores have promised, and when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign::{CommitId, CommitReceipt, Outcome, Stage, SyncError};

/// What was committed, and what its receipts have said.
#[derive(Clone, Default)]
pub(super) struct Ledger {
    /// How many events each commit has.
    pub(super) commits: BTreeMap<CommitId, usize>,
    pub(super) facts: BTreeMap<(CommitId, Stage), Fact>,
    /// Those with an open stage.
    open: Vec<CommitReceipt>,
}

/// A stage has settled.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    /// After how many changes of the disk that was seen, at the latest.
    pub(super) at: usize,
    pub(super) outcome: Outcome,
}

impl Ledger {
    pub(super) fn commit(&mut self, receipt: CommitReceipt, events: usize) {
        self.commits.insert(receipt.id(), events);
        self.open.push(receipt);
    }

    /// A receipt that was found again. What it says now is known from here on.
    pub(super) fn found(&mut self, receipt: CommitReceipt) {
        self.open.push(receipt);
    }

    /// Looks at every open receipt.
    pub(super) fn look(&mut self, at: usize) {
        let facts = &mut self.facts;
        self.open.retain(|receipt| {
            let mut open = false;
            for (stage, outcome) in [(Stage::Leader, receipt.leader_sync.peek()), (Stage::Backend, receipt.backend_sync.peek())] {
                match outcome {
                    // Said of the wait, not of the commit.
                    Some(Err(SyncError::Closed { .. } | SyncError::Unknown { .. })) => {}
                    Some(outcome) => drop(facts.entry((receipt.id(), stage)).or_insert(Fact { at, outcome })),
                    None => open = true,
                }
            }
            open
        });
    }

    /// The same commits, and nothing said of them.
    pub(super) fn unheard(&self) -> Self {
        Self { commits: self.commits.clone(), ..Self::default() }
    }

    /// What was known after so many changes, as known from the start.
    pub(super) fn until(&self, at: usize) -> Self {
        let known = self.facts.iter().filter(|(_, fact)| fact.at <= at);
        let facts = known.map(|(key, fact)| (*key, Fact { at: 0, outcome: fact.outcome.clone() })).collect();
        Self { commits: self.commits.clone(), facts, open: Vec::new() }
    }
}

/// A ledger that the disk's observer keeps.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Ledger>>);

impl Shared {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self(Arc::new(Mutex::new(ledger)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
