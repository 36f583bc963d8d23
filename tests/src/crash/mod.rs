//! Crashes and errors of the disk, at every point of real work on real SQLite files.
//!
//! A [`Scenario`] is run once on a disk that notes every change ([`crate::vfs`]), with everything that a receipt says noted beside. Then every
//! moment of it is a crash point: the files that the crash would have left are put into a folder of their own, and a store is opened there
//! and judged (`judge`): it opens, its state is its log replayed, what was acknowledged is there, nothing is half there, receipts are
//! found again as they were, and it goes on working. What the judge's store does is noted too, so that its own recovery can be crashed in
//! its turn.
//!
//! Errors are met by running the scenario again for each call that can fail, until a run comes through without one.
//!
//! Twenty scenarios are written out ([`ALL`]); forty more are drawn from seeds ([`OF_A_NIGHT`]), as any number can be ([`drawn()`]).

mod count;
mod drawing;
mod drawn;
mod errors;
mod judge;
mod ledger;
mod played;
mod points;
mod rig;
mod scenario;
mod scenarios;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

pub use count::Count;
pub use drawn::{OF_A_NIGHT, drawn};
pub use scenario::{Run, Scenario, Stop};
pub use scenarios::ALL;

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Crash points tried in each scenario, spread evenly; all of them, if there are no more.
    pub points: usize,
    /// Whether every point is tried with every tear; else as a kill, with what is unsynced dropped, and with one of the other tears in
    /// turn.
    pub every_tear: bool,
    /// Recoveries in each scenario that are crashed in their turn, and at how many points each.
    pub recoveries: (usize, usize),
    /// Calls made to fail in each scenario, for each kind of error.
    pub errors: usize,
    /// Points and calls of every other scenario, by the seed; calls also for errors that are neither met once nor for good.
    pub out_of_turn: (usize, usize),
    /// The most points, recoveries and calls of a scenario that is large.
    pub large: usize,
    /// Draws which points, calls and sectors: others for each turn.
    pub seed: u64,
}

impl Extent {
    /// For each change, of half of the scenarios: every point as a kill, with what is unsynced dropped, and torn; every call as one that
    /// fails. Some two minutes of computing, on all cores.
    pub const QUICK: Self = Self {
        points: usize::MAX,
        every_tear: false,
        recoveries: (6, 3),
        errors: usize::MAX,
        out_of_turn: (40, 3),
        large: 1,
        seed: 1,
    };
    /// Every point, every tear, every call.
    pub const ALL: Self = Self {
        points: usize::MAX,
        every_tear: true,
        recoveries: (20, 15),
        errors: usize::MAX,
        out_of_turn: (usize::MAX, usize::MAX),
        large: 60,
        seed: 1,
    };

    /// How much of the scenario that stands here among those that are tried.
    fn of(self, scenario: &Scenario, place: usize) -> Self {
        let is_in_turn = (place as u64 + self.seed).is_multiple_of(2);
        let (points, errors) = if is_in_turn { (usize::MAX, usize::MAX) } else { self.out_of_turn };
        let extent = Self { points: points.min(self.points), errors: errors.min(self.errors), ..self };
        if !scenario.is_large {
            return extent;
        }
        let most = |number: usize| number.min(self.large);
        // What can be lost and what is promised changes at few of its many points.
        let points = extent.points.min(self.large.saturating_mul(8));
        Self { points, recoveries: (most(self.recoveries.0), self.recoveries.1), errors: most(errors), ..extent }
    }
}

/// Runs these scenarios, a few at a time, and tells of each part that is done. Answers what was tried, and what went wrong: nothing, if
/// all is well.
#[must_use]
pub fn run(scenarios: &[&'static Scenario], extent: &Extent, tell: &(dyn Fn(&str) + Sync)) -> (Count, Vec<String>) {
    let both = |(place, &scenario)| {
        let extent = extent.of(scenario, place);
        [Job { scenario, extent, meets: points::run }, Job { scenario, extent, meets: errors::run }]
    };
    let mut jobs: Vec<Job> = scenarios.iter().enumerate().flat_map(both).collect();
    // What takes longest is not begun last.
    jobs.sort_by_key(|job| !job.scenario.is_large);
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Results::default()));
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (began, mut count) = (Instant::now(), Count::default());
            let found = (job.meets)(job.scenario, &job.extent, &mut count);
            let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            results.count.add(&count);
            results.done += 1;
            let (done, name) = (results.done, job.scenario.name);
            tell(&format!("{done} of {}: {name}: {count}, in {:.1} s", jobs.len(), began.elapsed().as_secs_f64()));
            if let Err(what) = found {
                let failure = format!("{what}\n  again: {}", again(job.scenario, extent));
                tell(&failure);
                results.failures.push(failure);
            }
        }
    };
    // More than cores: stores hand their work from thread to thread, and try again after a while.
    let workers = 2 * thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    (results.count, results.failures)
}

#[derive(Default)]
struct Results {
    count: Count,
    failures: Vec<String>,
    done: usize,
}

/// What one thread does at a time.
struct Job {
    scenario: &'static Scenario,
    extent: Extent,
    meets: fn(&'static Scenario, &Extent, &mut Count) -> Result<(), String>,
}

/// The command that tries a scenario again.
fn again(scenario: &Scenario, extent: &Extent) -> String {
    let all = if extent.every_tear { " --all" } else { "" };
    format!("cargo run --release -p tests --bin crash --{all} --seed {} --scenario '{}'", extent.seed, scenario.name)
}

#[cfg(test)]
mod tests {
    use countersign::Durability;

    use super::*;
    use crate::crash::rig::{Rig, STORE};

    const CRASHES: Extent = Extent { errors: 0, ..Extent::QUICK };
    const ERRORS: Extent = Extent { points: 0, recoveries: (0, 0), errors: 48, out_of_turn: (0, 48), ..Extent::QUICK };

    fn caught(scenario: &'static Scenario, extent: Extent, what: &str) {
        let (count, failures) = run(&[scenario], &extent, &|_| ());
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
        caught(&UNSYNCED, CRASHES, "(R3)");
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
        caught(&MEDDLED, CRASHES, "(S1)");
    }

    /// Takes trouble that passes for a reason to give a commit up.
    static GIVES_UP: Scenario = Scenario { setup: scenarios::made, ..Scenario::new("gives up", gives_up) };

    fn gives_up(rig: &Rig) -> Run {
        let store = rig.open()?;
        let backend = rig.backend()?;
        let id = rig.commit(&store, vec![scenarios::noted("given up once anything fails")])?;
        drop(backend);
        rig.store_all(&store)?;
        if rig.disk.failed() > 0 {
            store.withdraw(id);
        }
        rig.sync(&store)
    }

    // Verifies: R5 (that a store which breaks it would be found)
    #[test]
    fn a_store_that_gives_up_because_of_an_error_that_passes_is_caught() {
        caught(&GIVES_UP, ERRORS, "(R5)");
    }

    /// Takes a commit that it neither stores nor hands back.
    static FORGETFUL: Scenario = Scenario { has_backend: false, ..Scenario::new("forgetful", forgetful) };

    fn forgetful(rig: &Rig) -> Run {
        let store = rig.open()?;
        rig.commit(&store, vec![scenarios::noted("kept")])?;
        rig.store_all(&store)?;
        if rig.disk.failed() > 0 {
            let elsewhere = tempfile::tempdir().map_err(rig::wrong)?;
            let other = crate::todos::local(&elsewhere.path().join("other.db"));
            let lost = other.commit(vec![scenarios::noted("lost")]).map_err(rig::wrong)?.id();
            rig.ledger.lock().commits.insert(lost, 1);
        }
        Ok(())
    }

    // Verifies: L4 (that a store which breaks it would be found)
    #[test]
    fn a_store_that_loses_a_commit_because_of_an_error_is_caught() {
        caught(&FORGETFUL, ERRORS, "(L4)");
    }
}
