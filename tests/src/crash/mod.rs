//! Crashes and errors of the disk, at every point of real work on real SQLite files.
//!
//! A [`Scenario`] is run once on a disk that notes every change ([`crate::vfs`]), with everything that a receipt says noted beside. Then every
//! moment of it is a crash point: the files that the crash would have left are put into a folder of their own, and a store is opened there
//! and judged (`judge`): it opens, its state is its log replayed, what was acknowledged is there, nothing is half there, receipts are
//! found again as they were, and it goes on working. What the judge's store does is noted too, so that its own recovery can be crashed in
//! its turn.
//!
//! Errors are met by running the scenario again for each call that can fail, until a run comes through without one.

mod count;
mod errors;
mod judge;
mod ledger;
mod points;
mod rig;
mod scenario;
mod scenarios;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

pub use count::Count;
pub use scenario::{Run, Scenario, Stop};
pub use scenarios::ALL;

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Crash points tried in each scenario, spread evenly; all of them, if there are no more.
    pub points: usize,
    /// Whether every point is tried with every tear; else they take turns.
    pub every_tear: bool,
    /// Recoveries in each scenario that are crashed in their turn, and at how many points each.
    pub recoveries: (usize, usize),
    /// Calls made to fail in each scenario, for each kind of error.
    pub errors: usize,
    /// Draws which points and sectors.
    pub seed: u64,
}

impl Extent {
    /// For each change: a minute on two slow cores.
    pub const QUICK: Self = Self { points: 60, every_tear: false, recoveries: (6, 3), errors: 8, seed: 1 };
    /// Every point, every tear, every call.
    pub const ALL: Self = Self { points: usize::MAX, every_tear: true, recoveries: (40, 40), errors: usize::MAX, seed: 1 };
}

/// Runs these scenarios, a few at a time. Answers what was tried, and what went wrong: nothing, if all is well.
#[must_use]
pub fn run(scenarios: &[&'static Scenario], extent: &Extent) -> (Count, Vec<String>) {
    let jobs: Vec<Job> = scenarios.iter().flat_map(|&scenario| [Job::Points(scenario), Job::Errors(scenario)]).collect();
    let (next, results) = (AtomicUsize::new(0), Mutex::new((Count::default(), Vec::new())));
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut count = Count::default();
            let found = match job {
                Job::Points(scenario) => points::run(scenario, extent, &mut count),
                Job::Errors(scenario) => errors::run(scenario, extent, &mut count),
            };
            let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            results.0.add(&count);
            results.1.extend(found.err());
        }
    };
    // More than cores: where a call fails a store waits before it tries again.
    let workers = 3 * thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

enum Job {
    Points(&'static Scenario),
    Errors(&'static Scenario),
}

#[cfg(test)]
mod tests {
    use countersign::Durability;

    use super::*;
    use crate::crash::rig::{Rig, STORE};

    fn caught(scenario: &'static Scenario, what: &str) {
        let (count, failures) = run(&[scenario], &Extent { errors: 0, ..Extent::QUICK });
        assert!(failures.iter().any(|failure| failure.contains(what)), "{count}: {failures:?}");
    }

    /// Promises what only syncing keeps, and does not sync.
    static UNSYNCED: Scenario = Scenario { has_backend: false, setup: scenarios::made, ..Scenario::new("unsynced", unsynced) };

    fn unsynced(rig: &Rig) -> Run {
        let store = rig.open_with(STORE, |opener| opener.durability(Durability::Process))?;
        for n in 0..3 {
            rig.commit(&store, vec![scenarios::noted(&n.to_string())])?;
            rig.store_all(&store)?;
        }
        Ok(())
    }

    // Verifies: R3 (that a store which breaks it would be found)
    #[test]
    fn a_store_that_does_not_sync_what_it_promises_is_caught() {
        caught(&UNSYNCED, "(R3)");
    }

    /// Its log says something else than its state.
    static MEDDLED: Scenario = Scenario { has_backend: false, ..Scenario::new("meddled", meddled) };

    fn meddled(rig: &Rig) -> Run {
        let store = rig.open()?;
        rig.commit(&store, vec![scenarios::noted("in the log")])?;
        rig.store_all(&store)?;
        let tool = countersign::rusqlite::Connection::open(rig.path(STORE)).map_err(rig::wrong)?;
        let meddled = tool.execute(r#"UPDATE countersign_eventlog SET args = '{"text":"meddled"}'"#, []);
        meddled.map(drop).map_err(rig::wrong)
    }

    // Verifies: S1 (that a state which is not its log replayed would be found)
    #[test]
    fn a_state_that_is_not_its_log_is_caught() {
        caught(&MEDDLED, "(S1)");
    }
}
