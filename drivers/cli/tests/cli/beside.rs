//! Several processes on one store.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Child;

use super::support::{Folder, created, objects};

/// A process that has the store open, and has committed something.
fn holder(folder: &Folder) -> (Child, String) {
    let mut child = folder.spawn(&["commit", "s.db", "--stdin", "--json", "--wait", "leader"]);
    child.stdin.as_mut().unwrap().write_all(created(1).as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (child, objects(&line)[0]["id"].as_str().unwrap().to_owned())
}

#[test]
fn readers_work_beside_a_process_and_writers_are_told_of_it() {
    let folder = Folder::synced();
    let (mut child, id) = holder(&folder);
    let pid = child.id();

    assert_eq!(folder.count("todos"), 1);
    assert_eq!(folder.ok(&["log", "s.db", "--json"]).lines().count(), 1);
    let status = &objects(&folder.ok(&["status", "s.db", "--json"]))[0];
    assert_eq!((&status["open"], &status["pid"]), (&true.into(), &pid.into()));
    // The other process gets it confirmed; this one looks until it is.
    let receipt = &objects(&folder.ok(&["receipt", "s.db", &id, "--wait", "backend", "--json"]))[0];
    assert_eq!(receipt["backend_sync"]["seqs"], serde_json::json!(["e1"]));

    for args in
        [&["commit", "s.db", "--event", "v1.TodoDone"][..], &["sync", "s.db"], &["schema", "s.db", "--schema", "todo.toml"]]
    {
        let done = folder.run(&[args, &["--json"]].concat());
        let error = done.error();
        assert_eq!((done.status, &error["code"]), (1, &"locked".into()), "{args:?}");
        assert!(error["message"].as_str().unwrap().contains(&format!("in use by process {pid}")), "{error}");
    }

    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(objects(&folder.ok(&["status", "s.db", "--json"]))[0]["open"], false);
    folder.ok(&["commit", "s.db", "--event", "v1.TodoDone", "--args", r#"{"id":"1"}"#]);
}

// Verifies: R3
#[test]
fn what_was_said_to_be_stored_survives_a_kill() {
    let folder = Folder::local();
    let (mut child, id) = holder(&folder);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(objects(&folder.ok(&["receipt", "s.db", &id, "--json"]))[0]["leader_sync"]["state"], "ok");
    assert_eq!(folder.count("todos"), 1);
    folder.ok(&["commit", "s.db", "--event", "v1.TodoDone", "--args", r#"{"id":"1"}"#]);
}
