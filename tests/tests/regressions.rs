//! Runs that once failed, or that show a bug when it is put back: played for ever.
//!
//! A trace is made by a failing run (`target/repro`), and put into `tests/regressions` under the name of what it shows.
#![allow(clippy::unwrap_used, reason = "a test stops at any failure")]

use std::fs;
use std::path::{Path, PathBuf};

use tests::sim;
use tests::world::{Choices, Step, Taken, Trace, TraceError};

fn traces() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "trace"));
    paths.sort();
    paths
}

// Verifies: R1, R3, R4, R6, L4, L5, L6, L7, S2, S3, V1, V4 (each in a run that showed a bug about it)
#[test]
fn what_once_failed_holds() {
    let traces = traces();
    assert!(traces.len() >= 10, "{traces:?}");
    for path in traces {
        let trace = Trace::load(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let report = sim::play(&trace, None);
        assert!(report.violation.is_none(), "{}\n{}", path.display(), sim::tell(&trace, None, None));
    }
}

// Verifies: D4
#[test]
fn a_recorded_run_is_the_run_of_its_seed() {
    for seed in 2_000..2_020 {
        let (report, trace) = sim::record(Choices::new(seed), seed, None);
        assert_eq!(report, sim::run(seed), "seed {seed}, recorded");
        let read = Trace::read(trace.to_string().as_bytes()).unwrap();
        assert_eq!(read, trace);
        assert_eq!(sim::play(&read, None), report, "seed {seed}, played again");
    }
}

#[test]
fn a_trace_that_can_not_be_read_says_why() {
    let read = |text: &str| Trace::read(text.as_bytes());
    assert!(matches!(read(""), Err(TraceError::NoHead)));
    let head = "{\"countersign_trace\":1,\"seed\":7,\"shows\":\"S1: x\"}";
    let newer = head.replace(":1,", ":9,");
    assert_eq!(
        read(&newer).unwrap_err().to_string(),
        "the trace has form 9, and this program reads form 1: was it written by a newer one?"
    );
    let error = read(&format!("{head}\n{{\"step\":\"user\",\"choices\":[1]}}\nwhat\n")).unwrap_err();
    assert!(error.to_string().starts_with("line 3: "), "{error}");
    let trace = read(&format!("{head}\n\n{{\"step\":{{\"push\":1}},\"choices\":[0,2]}}\n")).unwrap();
    let taken = vec![Taken { step: Step::Push(1), choices: vec![0, 2] }];
    assert_eq!(trace, Trace { seed: 7, shows: "S1: x".into(), taken });
}
