//! For how long what is pending has been so, as far as the limit on it has to know.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::ensure::ensure;
use crate::time::Time;

use super::persisting::count_before;
use super::tail::Tail;

/// Marks on the pending events, by their counts: from this one on they were admitted no earlier than then. One mark stands for what
/// came within a small part of the limit, so there are never many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ages {
    marks: VecDeque<(u64, Time)>,
}

/// How many marks there are within the limit at most.
const GRAINS: u32 = 64;

impl Ages {
    /// An event is admitted, with this count. Everything before `waiting` no longer waits.
    pub(super) fn admitted(&mut self, count: u64, waiting: u64, now: Time, limit: Duration) {
        while self.marks.get(1).is_some_and(|&(next, _)| next <= waiting) {
            self.marks.pop_front();
        }
        if waiting >= count {
            self.marks.clear();
        }
        debug_assert!(self.marks.back().is_none_or(|&(from, _)| from <= count), "events are admitted in their order");
        if self.marks.back().is_none_or(|&(_, at)| now.since(at) >= limit / GRAINS) {
            self.marks.push_back((count, now));
        }
    }

    /// Events have been taken out, given by their ascending counts.
    pub(super) fn removed(&mut self, counts: &[u64]) {
        for (from, _) in &mut self.marks {
            *from -= count_before(counts, *from);
        }
    }

    /// Since when the event with this count has been pending, at the earliest.
    pub(super) fn since(&self, count: u64) -> Option<Time> {
        self.marks.iter().rev().find(|&&(from, _)| from <= count).map(|&(_, at)| at)
    }
}

impl Ages {
    /// What [`crate::Node::check`] asks for.
    pub(super) fn check(&self, tail: &Tail) -> Result<(), &'static str> {
        let mut before = (0, Time::ZERO);
        for &(from, at) in &self.marks {
            ensure!(before.0 <= from && before.1 <= at, "what comes later is younger");
            before = (from, at);
        }
        ensure!(before.0 <= tail.pending_end(), "ages are of what is pending");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(64);

    fn at(seconds: u64) -> Time {
        Time(seconds * 1_000_000)
    }

    // Verifies: V5
    #[test]
    fn one_mark_stands_for_many_and_those_before_what_waits_go() {
        let mut ages = Ages::default();
        for count in 0..1_000 {
            ages.admitted(count, 0, Time(count * 1_000), LIMIT);
        }
        assert_eq!((ages.marks.len(), ages.since(0), ages.since(999)), (1, Some(at(0)), Some(at(0))));
        ages.admitted(1_000, 10, at(5), LIMIT);
        ages.admitted(1_001, 10, at(9), LIMIT);
        assert_eq!((ages.since(999), ages.since(1_000), ages.since(5_000)), (Some(at(0)), Some(at(5)), Some(at(9))));
        ages.admitted(1_002, 1_001, at(9), LIMIT);
        assert_eq!(ages.marks.len(), 1);
    }

    #[test]
    fn marks_move_up_with_what_they_stand_for() {
        let mut ages = Ages::default();
        ages.admitted(3, 3, at(0), LIMIT);
        ages.admitted(6, 3, at(20), LIMIT);
        ages.removed(&[3, 4]);
        assert_eq!((ages.since(3), ages.since(4)), (Some(at(0)), Some(at(20))));
    }

    #[test]
    fn what_comes_when_nothing_waits_is_as_old_as_it_is() {
        let mut ages = Ages::default();
        ages.admitted(0, 0, at(0), LIMIT);
        ages.admitted(7, 7, at(1_000), LIMIT);
        assert_eq!(ages.since(7), Some(at(1_000)));
        ages.admitted(8, 7, Time(1_000_000_001), LIMIT);
        assert_eq!(ages.since(8), Some(at(1_000)));
    }
}
