//! The receipts of a session that have not settled, by watermark.
//!
//! Two marks say how far the leader has stored and the backend has confirmed; what fails is named before the mark passes it.
//! Keeps R1 (at most once), R2 and R3's order: `Ok` comes in commit order, `Err` and `NotApplicable` as soon as they are known.

mod check;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::effect::{Confirmed, Resolution, Stage};
use crate::error::SyncError;
use crate::id::{CommitId, SessionId};
use crate::outbox::Outbox;

/// A commit whose backend stage has not settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Open {
    ordinal: u64,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    /// Waiting; whether it has a synced event.
    Waiting { synced: bool },
    /// Confirmed, but an earlier one is not yet.
    Confirmed(Confirmed),
    /// Failed or not applicable, and said so.
    Settled,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ledger {
    session: SessionId,
    open: VecDeque<Open>,
    /// Up to this commit the leader has stored everything that has not failed.
    persisted: u64,
    /// Commits after that mark which failed before they were stored.
    failed_unstored: BTreeSet<u64>,
    last: u64,
    /// Commits without any event that the leader has not been told of.
    empty: VecDeque<u64>,
    /// Confirmed in order and not yet said.
    confirmed: Vec<Confirmed>,
}

impl Ledger {
    pub(crate) fn new(session: SessionId) -> Self {
        Self {
            session,
            open: VecDeque::new(),
            persisted: 0,
            failed_unstored: BTreeSet::new(),
            last: 0,
            empty: VecDeque::new(),
            confirmed: Vec::new(),
        }
    }

    /// An event of an earlier session was found pending: its commit is stored; its backend stage may be open.
    pub(crate) fn resume(&mut self, ordinal: u64, open: bool) {
        if open && self.open.back().is_none_or(|open| open.ordinal < ordinal) {
            self.open.push_back(Open { ordinal, state: State::Waiting { synced: true } });
        }
        // In a damaged file they may stand in any order.
        self.persisted = self.persisted.max(ordinal);
        self.last = self.last.max(ordinal);
    }

    pub(crate) fn admit(&mut self, ordinal: u64, synced: bool) {
        debug_assert!(ordinal > self.last && self.persisted <= self.last, "commits come in their order (R2)");
        self.last = ordinal;
        self.open.push_back(Open { ordinal, state: State::Waiting { synced } });
    }

    /// A commit without any event.
    pub(crate) fn admit_empty(&mut self, ordinal: u64) {
        self.admit(ordinal, false);
        debug_assert!(self.empty.back().is_none_or(|&before| before < ordinal));
        self.empty.push_back(ordinal);
    }

    /// The oldest commit without any event that the leader has not been told of.
    pub(crate) fn next_empty(&self) -> Option<u64> {
        self.empty.front().copied()
    }

    /// All of those.
    pub(crate) fn unsent_empty(&self) -> impl Iterator<Item = u64> + '_ {
        self.empty.iter().copied()
    }

    /// The leader has been told of it.
    pub(crate) fn sent_empty(&mut self) {
        let told = self.empty.pop_front();
        debug_assert!(told.is_some_and(|ordinal| ordinal > self.persisted), "it is stored after it is told of");
    }

    /// The last commit that was made.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn persisted(&self) -> u64 {
        self.persisted
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.persisted >= self.last && self.confirmed.is_empty()
    }

    /// Whether this commit is known here, and which of its stages are open.
    pub(crate) fn find(&self, ordinal: u64) -> Option<(bool, bool)> {
        let open = self.open.binary_search_by_key(&ordinal, |open| open.ordinal).ok().and_then(|i| self.open.get(i));
        let leader = ordinal > self.persisted && ordinal <= self.last && !self.failed_unstored.contains(&ordinal);
        let backend = open.is_some_and(|open| open.state != State::Settled);
        (leader || backend).then_some((leader, backend))
    }

    /// The last commit with this stage open.
    pub(crate) fn last_open(&self, stage: Stage) -> Option<u64> {
        match stage {
            Stage::Leader => (self.persisted + 1..=self.last).rev().find(|ordinal| !self.failed_unstored.contains(ordinal)),
            Stage::Backend => self.open.iter().rev().find(|open| open.state != State::Settled).map(|open| open.ordinal),
        }
    }

    /// The first commit with this stage open.
    pub(crate) fn first_open(&self, stage: Stage) -> Option<u64> {
        match stage {
            Stage::Leader => (self.persisted + 1..=self.last).find(|ordinal| !self.failed_unstored.contains(ordinal)),
            Stage::Backend => self.open.iter().find(|open| open.state != State::Settled).map(|open| open.ordinal),
        }
    }

    /// The first commit before this one whose backend stage is open, and how many there are.
    pub(crate) fn open_before(&self, ordinal: u64) -> Option<(CommitId, usize)> {
        let mut before = self.unresolved().take_while(|commit| commit.ordinal < ordinal);
        let first = before.next()?;
        Some((first, 1 + before.count()))
    }

    /// The commits whose backend stage is open.
    pub(crate) fn unresolved(&self) -> impl Iterator<Item = CommitId> + '_ {
        let open = self.open.iter().filter(|open| open.state != State::Settled);
        open.map(|open| CommitId { session: self.session, ordinal: open.ordinal })
    }

    /// The leader has stored everything up to here.
    pub(crate) fn stored(&mut self, through: u64, backend: bool, out: &mut Outbox) {
        if through <= self.persisted {
            return;
        }
        debug_assert!(through <= self.last, "only what was made is stored (R3)");
        debug_assert!(self.empty.front().is_none_or(|&ordinal| ordinal > through), "the leader has been told of all of them");
        let before = core::mem::replace(&mut self.persisted, through);
        self.failed_unstored.retain(|&ordinal| ordinal > through);
        out.resolve(Resolution::Persisted { session: self.session, through });
        let from = self.open.partition_point(|open| open.ordinal <= before);
        debug_assert!(
            self.open.range(..from).all(|open| open.state != State::Waiting { synced: false }),
            "it settled when stored"
        );
        for open in self.open.range_mut(from..) {
            if open.ordinal > through {
                break;
            }
            if matches!(open.state, State::Waiting { synced } if !(synced && backend)) {
                open.state = State::Settled;
                let commit = CommitId { session: self.session, ordinal: open.ordinal };
                out.resolve(Resolution::NotApplicable { commit });
            }
        }
        self.advance();
    }

    /// The backend has accepted these commits.
    pub(crate) fn confirmed(&mut self, commits: Vec<Confirmed>) {
        // Mostly they are the oldest that are open, in their order.
        let is_oldest = |(open, confirmed): &(&Open, &Confirmed)| {
            let waits = matches!(open.state, State::Waiting { .. });
            waits && open.ordinal == confirmed.commit && open.ordinal <= self.persisted
        };
        debug_assert!(commits.iter().all(|confirmed| confirmed.commit <= self.last && !confirmed.positions.is_empty()));
        let oldest = self.open.iter().zip(&commits).take_while(is_oldest).count();
        self.open.drain(..oldest);
        let mut commits = commits.into_iter();
        if self.confirmed.is_empty() {
            self.confirmed.reserve(oldest);
        }
        self.confirmed.extend(commits.by_ref().take(oldest));
        for confirmed in commits {
            if let Some(open) = self.get(confirmed.commit)
                && matches!(open.state, State::Waiting { .. })
            {
                debug_assert!(open.state == State::Waiting { synced: true }, "the backend is told of synced events only (L7)");
                open.state = State::Confirmed(confirmed);
            }
        }
        self.advance();
    }

    /// A commit has failed: its backend stage, and its leader stage if that was open and the events have left the queue.
    pub(crate) fn failed(&mut self, commit: CommitId, error: &SyncError, out: &mut Outbox) {
        debug_assert!(commit.session == self.session && commit.ordinal <= self.last);
        let gone = error.events() != crate::error::Whereabouts::Queued;
        let unstored = commit.ordinal > self.persisted && !self.failed_unstored.contains(&commit.ordinal);
        if unstored && gone {
            self.failed_unstored.insert(commit.ordinal);
            out.resolve(Resolution::Failed { commit, stage: Stage::Leader, error: error.clone() });
        }
        if let Some(open) = self.get(commit.ordinal)
            && open.state != State::Settled
        {
            open.state = State::Settled;
            out.resolve(Resolution::Failed { commit, stage: Stage::Backend, error: error.clone() });
            self.advance();
        }
    }

    /// Says what has been confirmed since the last time.
    pub(crate) fn flush(&mut self, out: &mut Outbox) {
        if !self.confirmed.is_empty() {
            let commits = core::mem::take(&mut self.confirmed);
            debug_assert!(commits.is_sorted_by(|a, b| a.commit < b.commit), "Ok comes in commit order (R2)");
            debug_assert!(commits.iter().all(|confirmed| confirmed.commit <= self.persisted), "leader before backend (R2)");
            debug_assert!(
                self.open.front().is_none_or(|open| commits.iter().all(|of| of.commit < open.ordinal)),
                "once each (R1)"
            );
            out.resolve(Resolution::Confirmed { session: self.session, commits });
        }
    }

    fn get(&mut self, ordinal: u64) -> Option<&mut Open> {
        if self.open.front().is_some_and(|open| open.ordinal == ordinal) {
            return self.open.front_mut();
        }
        let index = self.open.binary_search_by_key(&ordinal, |open| open.ordinal).ok()?;
        self.open.get_mut(index)
    }

    /// Lets go of what has settled at the front, in commit order.
    fn advance(&mut self) {
        while let Some(front) = self.open.front_mut() {
            if front.ordinal > self.persisted && !self.failed_unstored.contains(&front.ordinal) {
                break;
            }
            match &mut front.state {
                State::Waiting { .. } => break,
                State::Confirmed(confirmed) => self.confirmed.push(core::mem::replace(
                    confirmed,
                    Confirmed { commit: 0, positions: smallvec::SmallVec::new(), rebases: 0 },
                )),
                State::Settled => {}
            }
            self.open.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;

    use smallvec::smallvec;

    use super::*;
    use crate::effect::Output;
    use crate::error::{Certainty, Whereabouts};

    const SESSION: SessionId = SessionId([1; 16]);

    fn id(ordinal: u64) -> CommitId {
        CommitId { session: SESSION, ordinal }
    }

    fn ledger(synced: &[bool]) -> Ledger {
        let mut ledger = Ledger::new(SESSION);
        for (&synced, ordinal) in synced.iter().zip(1..) {
            ledger.admit(ordinal, synced);
        }
        ledger
    }

    fn confirm(ledger: &mut Ledger, commit: u64) {
        ledger.confirmed(alloc::vec![Confirmed { commit, positions: smallvec![commit], rebases: 0 }]);
    }

    fn withdrawn() -> SyncError {
        SyncError::Withdrawn { cause: None, certainty: Certainty::NotApplied }
    }

    /// `p2` persisted through 2, `c1` confirmed, `n1` not applicable, `l1` and `b1` failed stages.
    fn said(ledger: &mut Ledger, out: &mut Outbox) -> Vec<alloc::string::String> {
        ledger.flush(out);
        ledger.check().unwrap();
        let mut said = Vec::new();
        while let Some(Output::Resolve(resolution)) = out.pop() {
            match resolution {
                Resolution::Persisted { through, .. } => said.push(alloc::format!("p{through}")),
                Resolution::Confirmed { commits, .. } => said.extend(commits.iter().map(|c| alloc::format!("c{}", c.commit))),
                Resolution::NotApplicable { commit } => said.push(alloc::format!("n{}", commit.ordinal)),
                Resolution::Failed { commit, stage: Stage::Leader, .. } => said.push(alloc::format!("l{}", commit.ordinal)),
                Resolution::Failed { commit, stage: Stage::Backend, .. } => said.push(alloc::format!("b{}", commit.ordinal)),
            }
        }
        said
    }

    // Verifies: R2
    #[test]
    fn ok_comes_in_commit_order_whatever_is_known_first() {
        let (mut ledger, mut out) = (ledger(&[true, true, true]), Outbox::default());
        ledger.stored(3, true, &mut out);
        confirm(&mut ledger, 2);
        confirm(&mut ledger, 3);
        assert_eq!(said(&mut ledger, &mut out), ["p3"]);
        confirm(&mut ledger, 1);
        assert_eq!(said(&mut ledger, &mut out), ["c1", "c2", "c3"]);
        assert!(ledger.is_empty());
    }

    // Verifies: R2
    #[test]
    fn the_backend_stage_waits_for_the_leader_stage() {
        let (mut ledger, mut out) = (ledger(&[true]), Outbox::default());
        confirm(&mut ledger, 1);
        assert_eq!(said(&mut ledger, &mut out), [""; 0]);
        ledger.stored(1, true, &mut out);
        assert_eq!(said(&mut ledger, &mut out), ["p1", "c1"]);
    }

    // Verifies: R2
    #[test]
    fn failures_and_what_does_not_apply_come_as_soon_as_they_are_known() {
        let (mut ledger, mut out) = (ledger(&[true, true, false, true]), Outbox::default());
        ledger.stored(3, true, &mut out);
        assert_eq!(said(&mut ledger, &mut out), ["p3", "n3"]);
        ledger.failed(id(2), &withdrawn(), &mut out);
        assert_eq!(said(&mut ledger, &mut out), ["b2"]);
        ledger.failed(id(4), &withdrawn(), &mut out);
        assert_eq!(said(&mut ledger, &mut out), ["l4", "b4"], "it was not stored, so both stages fail");
        confirm(&mut ledger, 1);
        assert_eq!(said(&mut ledger, &mut out), ["c1"]);
    }

    // Verifies: R1
    #[test]
    fn nothing_settles_twice() {
        let (mut ledger, mut out) = (ledger(&[true, true]), Outbox::default());
        ledger.stored(2, true, &mut out);
        ledger.stored(1, true, &mut out);
        ledger.failed(id(2), &withdrawn(), &mut out);
        ledger.failed(id(2), &withdrawn(), &mut out);
        confirm(&mut ledger, 2);
        confirm(&mut ledger, 1);
        ledger.failed(id(1), &withdrawn(), &mut out);
        assert_eq!(said(&mut ledger, &mut out), ["p2", "b2", "c1"]);
    }

    // Verifies: R1, R3
    #[test]
    fn a_commit_that_failed_and_stays_queued_keeps_its_leader_stage_open() {
        let (mut ledger, mut out) = (ledger(&[true]), Outbox::default());
        let error = SyncError::IsOffline { reason: Arc::from("declared"), events: Whereabouts::Queued };
        ledger.failed(id(1), &error, &mut out);
        assert_eq!(said(&mut ledger, &mut out), ["b1"]);
        assert_eq!(ledger.find(1), Some((true, false)));
        ledger.stored(1, true, &mut out);
        assert_eq!(said(&mut ledger, &mut out), ["p1"]);
        assert_eq!(ledger.find(1), None);
    }

    // Verifies: R2
    #[test]
    fn without_a_backend_both_stages_settle_together() {
        let (mut ledger, mut out) = (ledger(&[true, false]), Outbox::default());
        ledger.stored(2, false, &mut out);
        assert_eq!(said(&mut ledger, &mut out), ["p2", "n1", "n2"]);
        assert!(ledger.is_empty());
    }

    // Verifies: R1, R2 (which commits are open, and how many before one: what has failed is open at no stage, stored or not)
    #[test]
    fn what_has_failed_is_open_at_no_stage() {
        let (mut ledger, mut out) = (ledger(&[true; 5]), Outbox::default());
        ledger.stored(1, true, &mut out);
        ledger.failed(id(2), &withdrawn(), &mut out);
        ledger.failed(id(5), &withdrawn(), &mut out);
        let ends = |ledger: &Ledger, stage| (ledger.first_open(stage), ledger.last_open(stage));
        assert_eq!(ends(&ledger, Stage::Leader), (Some(3), Some(4)));
        assert_eq!(ends(&ledger, Stage::Backend), (Some(1), Some(4)));
        assert_eq!(ledger.unresolved().collect::<Vec<_>>(), [id(1), id(3), id(4)]);
        confirm(&mut ledger, 1);
        assert_eq!(ends(&ledger, Stage::Backend), (Some(3), Some(4)));
        let before = [3, 4, 5].map(|ordinal| ledger.open_before(ordinal));
        assert_eq!(before, [None, Some((id(3), 1)), Some((id(3), 2))]);
        ledger.stored(5, true, &mut out);
        assert_eq!(ends(&ledger, Stage::Leader), (None, None));
        ledger.failed(id(3), &withdrawn(), &mut out);
        assert_eq!(ends(&ledger, Stage::Backend), (Some(4), Some(4)));
        confirm(&mut ledger, 4);
        assert_eq!(ends(&ledger, Stage::Backend), (None, None));
        assert_eq!(said(&mut ledger, &mut out), ["p1", "l2", "b2", "l5", "b5", "p5", "b3", "c1", "c4"]);
    }
}
