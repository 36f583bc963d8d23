//! Races: tests whose threads shuttle runs one at a time, in an order of its choosing, and many times over in other orders.
//!
//!     SCHEDULES=100000 SEED=7 cargo test -p countersign --features shuttle races
//!     SCHEDULE=91020e... cargo test -p countersign --features shuttle the_one_that_failed
//!
//! Time does not pass here: a wait with a deadline ends by what it waits for, or the test fails as a deadlock. So a wake-up that is
//! missed is found even where a deadline would cover it up. A deadline that is over from the start is seen as over.

use std::env;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use countersign_core::{Boot, Config, Node};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler};
use shuttle::{MaxSteps, Runner};

use crate::driver::{Hub, Shared, Timer};
use crate::record::Machine;
use crate::state::Schema;
use crate::testing::TestClock;

/// How many schedules of each test, if the environment does not say.
const SCHEDULES: usize = 2_000;
/// How often a schedule turns away from the thread that would go on, of those that turn away seldom.
const TURNS: usize = 3;
/// Many times as many as the longest test takes.
const STEPS_MAX: usize = 100_000;

/// Runs a test in many orders: in half of them any thread may be the next one at any time, in the other half one thread goes on until it
/// waits, but for a few turns. They are the same ones each time, unless the environment has another `SEED`.
pub(crate) fn check(test: impl Fn() + Copy + Send + Sync + 'static) {
    let mut config = shuttle::Config::new();
    // SQLite, in a build that is not optimised.
    config.stack_size = 1 << 20;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    if let Ok(schedule) = env::var("SCHEDULE") {
        Runner::new(ReplayScheduler::new_from_encoded(&schedule), config).run(test);
        return;
    }
    let schedules = number("SCHEDULES").map_or(SCHEDULES, |number| number as usize);
    let seed = number("SEED").unwrap_or(0);
    let half = schedules.div_ceil(2);
    assert_eq!(Runner::new(RandomScheduler::new_from_seed(seed, half), config.clone()).run(test), half);
    assert_eq!(Runner::new(PctScheduler::new_from_seed(seed, TURNS, half), config).run(test), half);
}

fn number(name: &str) -> Option<u64> {
    let given = env::var(name).ok()?;
    Some(given.parse().unwrap_or_else(|_| panic!("{name}={given} is no number")))
}

/// What the threads of a store share that has no lanes and no backend: its machine has begun with an empty file.
pub(crate) fn shared(schema: Schema) -> Arc<Shared> {
    let boot = Boot::of_new_file(Arc::from("client"));
    let config = Config { backend: false, ..Config::default() };
    let node = Machine::new(Node::new(config, boot, 1).unwrap(), None);
    let timer = Timer::new(TestClock::new().into());
    let of = (None, Arc::from("main"));
    Arc::new(Shared::new(PathBuf::from("nowhere.db"), schema, of, Duration::from_secs(1), Hub::new(node, timer)))
}

/// With one table, and one event that adds a row to it, which must not be empty. Made once: it is no part of what is tried.
pub(crate) fn schema() -> Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        Schema::builder(1)
            .state_sql("CREATE TABLE notes (text CHECK (text <> ''))")
            .event_sql("v1.Noted", false, ["INSERT INTO notes VALUES (:text)"])
            .build()
            .unwrap()
    });
    SCHEMA.clone()
}
