//! Running worlds: one or many, with what they show when something does not hold.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::world::{Report, Violation, World};

/// Lines of the transcript that a failure shows.
const LINES: usize = 60;

/// Runs the world of a seed. A panic of the machine counts as something that does not hold.
#[must_use]
pub fn run(seed: u64) -> Report {
    run_world(&mut World::new(seed))
}

fn run_world(world: &mut World) -> Report {
    catch_unwind(AssertUnwindSafe(|| world.run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = format!("the machine panicked: {}", text.unwrap_or_default());
        world.report(Some(Violation { id: "panic", what }))
    })
}

/// Runs the world of a seed again and tells how it came to what does not hold.
#[must_use]
pub fn explain(seed: u64, lines: Option<usize>) -> String {
    let mut world = World::new(seed).with_transcript();
    let report = run_world(&mut world);
    let lines = world.transcript(lines.unwrap_or(LINES)).join("\n");
    let verdict = report.violation.map_or_else(|| "everything holds".to_owned(), |violation| violation.to_string());
    format!("{lines}\n\nseed {seed}: {verdict}\nagain: cargo run --release -p tests --bin sim -- --seed {seed}\n")
}
