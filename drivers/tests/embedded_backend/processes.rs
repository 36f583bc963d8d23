//! Several processes on one file. A test that needs another process runs itself again, with a path in the environment.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use countersign_core::BackendFailure;

use crate::support::*;

const PATH: &str = "COUNTERSIGN_TEST_BACKEND";
const ACKNOWLEDGED: &str = "acknowledged ";

/// The file to work on, if this is the other process.
fn as_the_other_process() -> Option<PathBuf> {
    std::env::var_os(PATH).map(PathBuf::from)
}

fn the_other_process(test: &str, path: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("processes::{test}"), "--nocapture"]);
    command.env(PATH, path).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_waiting_pull_sees_what_another_process_pushes() {
    if let Some(path) = as_the_other_process() {
        return lanes(&open(&path), "other").push.push(&push(0, events(2, 1..=3))).unwrap();
    }
    let (_dir, path) = place();
    let backend = open(&path);
    let mut pull = lanes(&backend, "alice").pull;
    pull.pull(&fresh(0)).unwrap();
    let mut other = the_other_process("a_waiting_pull_sees_what_another_process_pushes", &path);
    let page = pull.pull(&next(0)).unwrap();
    assert_eq!(positions(&page.events), [1, 2, 3]);
    assert_eq!(&*page.events[0].client, "other");
    assert!(other.wait().unwrap().success());
}

// Verifies: R4, S2
#[test]
fn what_a_killed_process_had_acknowledged_is_in_the_log() {
    if let Some(path) = as_the_other_process() {
        return push_for_ever(&path);
    }
    let (_dir, path) = place();
    let backend = open(&path);
    let mut mine = lanes(&backend, "alice").push;
    let mut known = 0;
    for round in 1..=3 {
        let mut other = the_other_process("what_a_killed_process_had_acknowledged_is_in_the_log", &path);
        let lines = BufReader::new(other.stdout.take().unwrap()).lines().map(|line| line.unwrap());
        // The first line of the other test run may end with what it says itself.
        let acknowledged = lines.filter_map(|line| line.split(ACKNOWLEDGED).nth(1).and_then(|at| at.parse::<u64>().ok()));
        let last = acknowledged.take(30).last().expect("the other process has pushed");
        other.kill().unwrap();
        other.wait().unwrap();
        let log = backend.log().unwrap();
        assert_contiguous(&log);
        assert!(log.len() as u64 >= last && last > known, "{} events, {last} acknowledged, {known} before", log.len());
        known = log.len() as u64;
        mine.push(&push(known, events(1, round..=round))).expect("the log takes more");
        known += 1;
    }
}

fn push_for_ever(path: &Path) {
    let backend = open(path);
    let mut lane = lanes(&backend, "other").push;
    // Its events are named after their positions, so that no other's are taken for them.
    let mut head = backend.head().unwrap();
    loop {
        match lane.push(&push(head, events(2, head + 1..=head + 2))) {
            Ok(()) => {
                head += 2;
                println!("{ACKNOWLEDGED}{head}");
            }
            Err(BackendFailure::ServerAhead { head: theirs }) => head = theirs,
            Err(failure) => panic!("{failure:?}"),
        }
    }
}
