//! Running worlds: one or many, with what they show when something does not hold.
//!
//! A run that fails is shrunk ([`shrink()`]), kept as a trace in `target/repro`, and told as a transcript in event notation.

mod shrink;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use shrink::{Shrunk, shrink};

use crate::world::{Choices, Mutant, Report, Soaked, Trace, Violation, World};

/// Lines of the transcript that a failure shows.
const LINES: usize = 60;
/// How long a failing run is shrunk at most.
const SHRINK: Duration = Duration::from_secs(20);

/// Runs the world of a seed. A panic of the machine counts as something that does not hold.
#[must_use]
pub fn run(seed: u64) -> Report {
    run_world(&mut World::new(seed))
}

/// Runs the world of a seed with a bug put back into the machine, if one is named.
#[must_use]
pub fn run_with(seed: u64, mutant: Option<Mutant>) -> Report {
    run_world(&mut World::new(seed).with_mutant(mutant))
}

/// Runs a trace.
#[must_use]
pub fn play(trace: &Trace, mutant: Option<Mutant>) -> Report {
    run_world(&mut World::played(trace).with_mutant(mutant))
}

/// Has the world of a seed live for so many days.
///
/// # Errors
///
/// What does not hold; a panic of the machine counts.
pub fn soak(seed: u64, days: u64) -> Result<Soaked, Violation> {
    catch_unwind(|| World::new(seed).soak(days))
        .unwrap_or_else(|_| Err(Violation { id: "panic", what: "the machine panicked".to_owned() }))
}

fn run_world(world: &mut World) -> Report {
    catch_unwind(AssertUnwindSafe(|| world.run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = format!("the machine panicked: {}", text.unwrap_or_default());
        world.report(Some(Violation { id: "panic", what }))
    })
}

/// Runs these choices, and keeps the run as a trace.
#[must_use]
pub fn record(choices: Choices, seed: u64, mutant: Option<Mutant>) -> (Report, Trace) {
    let mut world = World::of(choices.recording(), seed).with_mutant(mutant);
    let report = run_world(&mut world);
    let shows = report.violation.as_ref().map_or_else(|| "everything holds".to_owned(), ToString::to_string);
    let mut trace = world.trace(shows).unwrap_or_default();
    trace.trim();
    (report, trace)
}

/// The transcript of a trace, its last lines, and what it comes to.
#[must_use]
pub fn tell(trace: &Trace, mutant: Option<Mutant>, lines: Option<usize>) -> String {
    let mut world = World::played(trace).with_transcript().with_mutant(mutant);
    let report = run_world(&mut world);
    let verdict = report.violation.map_or_else(|| "everything holds".to_owned(), |violation| violation.to_string());
    format!("{}\n\n{verdict}\n", world.transcript(lines.unwrap_or(LINES)).join("\n"))
}

/// Runs the world of a seed again and tells all of it.
#[must_use]
pub fn explain(seed: u64, lines: Option<usize>) -> String {
    let (_, trace) = record(Choices::new(seed), seed, None);
    format!("{}seed {seed}\n", tell(&trace, None, lines))
}

/// Shrinks the failing run of a seed, keeps it in a file, and tells how it comes to what does not hold, with the one command that
/// does it again.
#[must_use]
pub fn failure(seed: u64, lines: Option<usize>) -> String {
    failure_of(Choices::new(seed), seed, &seed.to_string(), lines)
}

/// As [`failure`], of any choices; the file is called by `name`.
#[must_use]
pub fn failure_of(choices: Choices, seed: u64, name: &str, lines: Option<usize>) -> String {
    let (report, trace) = record(choices, seed, None);
    let Some(violation) = report.violation else { return format!("{name}: everything holds when it is run again\n") };
    let Shrunk { trace, tries, from } = shrink(&trace, violation.id, None, SHRINK);
    let path = repro(name);
    let mut text = tell(&trace, None, lines);
    let _ = writeln!(text, "{name}: shrunk from {from} to {} choices in {tries} runs", trace.weight());
    let _ = match trace.save(&path) {
        Ok(()) => writeln!(text, "again: cargo run --release -p tests --bin sim -- --replay {}", path.display()),
        Err(error) => writeln!(text, "{} can't be written: {error}\nagain: sim --seed {seed}", path.display()),
    };
    text
}

/// Where the trace of a failing run is kept: under the folder that cargo builds in.
fn repro(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).join("target"), PathBuf::from);
    target.join("repro").join(format!("{name}.trace"))
}
