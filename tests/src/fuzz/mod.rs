//! What fuzzers try, as plain functions: each takes any bytes, and panics if something does not hold.
//!
//! The targets in `fuzz/` only hand their bytes over. The files in `fuzz/corpus` are what was worth keeping, and a test tries
//! them, and changes of them, on every compiler.

mod boot;
mod file;

use countersign_core::{CommitId, Seq};

use crate::merge;
use crate::sim;
use crate::world::{Choices, World};

/// A target: its name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. Each has a file in `fuzz/fuzz_targets` and a folder in `fuzz/corpus`.
pub const TARGETS: [Target; 7] = [
    ("node", node),
    ("merge", merge),
    ("boot", boot::boot),
    ("store_file", file::store_file),
    ("wire", wire),
    ("schema", schema),
    ("notation", notation),
];

/// Runs the target of this name.
///
/// # Panics
///
/// If something does not hold, or there is no such target.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(target, _)| *target == name);
    target.unwrap_or_else(|| panic!("there is no target {name}")).1(bytes);
}

/// Machines against the reference model: the bytes are what is chosen in a simulated world.
fn node(bytes: &[u8]) {
    let report = World::from_bytes(bytes.to_vec()).run();
    if report.violation.is_some() {
        let name = format!("bytes-{:016x}", report.trace);
        panic!("\n{}", sim::failure_of(Choices::given(bytes.to_vec()), 0, &name, None));
    }
}

/// The merge, by way of its comparison program: any line is answered.
fn merge(bytes: &[u8]) {
    let mut answers = Vec::new();
    merge::run(bytes, &mut answers).expect("memory takes every answer");
}

/// What comes over a wire, in both directions.
fn wire(bytes: &[u8]) {
    if let Err(what) = countersign::livestore::round_trip(bytes) {
        panic!("{what}");
    }
}

/// Schema files: any text is a schema or an error that says why.
fn schema(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(error) = countersign::Schema::from_toml(text) {
        assert!(!error.to_string().is_empty());
    }
}

/// Sequence numbers and commit ids: what is read prints the same again.
fn notation(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(commit) = text.parse::<CommitId>() {
        assert_eq!(commit.to_string(), text);
    }
    if let Ok(seq) = text.parse::<Seq>() {
        assert_eq!(seq.to_string().parse(), Ok(seq));
    }
}
