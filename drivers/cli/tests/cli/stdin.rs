//! Events from standard input.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};

use super::support::{Done, Folder, created, objects};

#[test]
fn lines_are_committed_in_order_and_answered_in_order() {
    let folder = Folder::synced();
    let mut input: String = (0..300).map(created).collect();
    writeln!(input, "[{},{}]\n", created(300).trim(), created(301).trim()).unwrap();
    input.push_str("[]");
    let done = folder.run_with(&["commit", "s.db", "--stdin", "--json", "--wait", "backend"], &input);
    assert_eq!(done.status, 0, "{}", done.err);
    let results = objects(&done.out);
    assert_eq!(results.len(), 302);
    for (i, result) in results[..300].iter().enumerate() {
        assert_eq!(result["backend_sync"]["seqs"], serde_json::json!([format!("e{}", i + 1)]));
    }
    assert_eq!(results[300]["backend_sync"]["seqs"], serde_json::json!(["e301", "e302"]));
    assert_eq!(results[301]["backend_sync"], serde_json::json!({"state": "not_applicable"}));
    assert_eq!(folder.count("todos"), 302);
    let summary = folder.run_with(&["commit", "s.db", "--stdin"], &created(999));
    assert!(summary.out.starts_with("1 commit stored in ") && summary.err.is_empty(), "{}{}", summary.out, summary.err);
}

#[test]
fn a_bad_line_is_named_and_what_came_before_it_stays() {
    let folder = Folder::local();
    for (bad, code) in [
        ("{\"name\":\"v1.TodoMade\"}", "unknown_event"),
        ("{\"name\":", "json"),
        ("{\"name\":\"v1.TodoCreated\",\"args\":{\"id\":null,\"text\":null}}", "materialise"),
        ("[{\"name\":\"v1.TodoDone\",\"args\":{\"id\":\"1\"}},{\"name\":\"v1.TodoDone\",\"args\":1e999}]", "json"),
    ] {
        let before = folder.count("todos");
        let from = usize::try_from(before).unwrap();
        let input = format!("{}\n{}{bad}\n{}", created(from), created(from + 1), created(from + 2));
        let done = folder.run_with(&["commit", "s.db", "--stdin", "--json", "--wait", "none"], &input);
        let error = done.error();
        assert_eq!((done.status, &error["line"], &error["code"]), (2, &4.into(), &code.into()), "{error}");
        assert!(error["message"].as_str().unwrap().ends_with("the 2 commits before it are stored"), "{error}");
        assert_eq!(done.out.lines().count(), 2);
        assert_eq!(folder.count("todos"), before + 2);
    }
    assert_eq!(folder.count("todos WHERE done"), 0, "nothing of a bad line is committed");
}

#[test]
fn a_result_is_said_as_soon_as_it_is_known() {
    let folder = Folder::local();
    let mut child = folder.spawn(&["commit", "s.db", "--stdin", "--json"]);
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for id in 0..3 {
        input.write_all(created(id).as_bytes()).unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(objects(&line)[0]["leader_sync"]["state"], "ok");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn who_does_not_listen_any_more_loses_nothing() {
    let folder = Folder::local();
    let mut child = folder.spawn(&["commit", "s.db", "--stdin", "--json"]);
    drop(child.stdout.take());
    let mut input = child.stdin.take().unwrap();
    for id in 0..2000 {
        input.write_all(created(id).as_bytes()).unwrap();
    }
    drop(input);
    let done = Done::of(child.wait_with_output().unwrap());
    assert_eq!((done.status, &*done.err), (0, ""));
    assert_eq!(folder.count("todos"), 2000);

    for args in [&["log", "s.db"][..], &["log", "s.db", "--json"], &["query", "s.db", "SELECT * FROM todos"]] {
        let mut child = folder.spawn(args);
        drop(child.stdout.take());
        let done = Done::of(child.wait_with_output().unwrap());
        assert_eq!((done.status, &*done.err), (0, ""), "{args:?}");
    }
}

// Verifies: V5
#[test]
fn more_than_the_store_takes_at_once_is_taken_bit_by_bit() {
    let folder = Folder::local();
    // Eleven commits of 10 000 events are more than may wait for the disk.
    let commits: Vec<String> =
        (0..11).map(|_| format!("[{}]\n", vec![r#"{"name":"v1.TodoDone","args":{"id":"none"}}"#; 10_000].join(","))).collect();
    let done = folder.run_with(&["commit", "s.db", "--stdin", "--json", "--timeout", "60s"], &commits.concat());
    assert_eq!((done.status, &*done.err), (0, ""));
    assert_eq!(done.out.lines().count(), 11);
    assert!(folder.ok(&["status", "s.db"]).contains("110 000 events, up to e110000"));
}
