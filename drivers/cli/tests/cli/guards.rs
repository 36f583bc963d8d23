//! Commits under a guard.

use super::support::{Folder, created, objects};

const OPEN: &str = "v1.TodoOpen";

// Verifies: L4 (nothing happens if it does not hold)
#[test]
fn a_commit_is_taken_only_if_its_guard_holds() {
    let folder = Folder::local();
    folder.run_with(&["commit", "s.db", "--stdin"], &created(1));
    let done = |args: &str| {
        let event = ["commit", "s.db", "--json", "--event", "v1.TodoDone", "--args", r#"{"id":"1"}"#];
        folder.run(&[&event[..], &["--guard", OPEN, "--guard-args", args]].concat())
    };
    assert_eq!(done(r#"{"id":"1"}"#).status, 0);
    let refused = done(r#"{"id":"1"}"#);
    assert_eq!((refused.status, &refused.error()["code"]), (4, &"conflict".into()));
    assert_eq!(
        refused.error()["message"],
        "the guard v1.TodoOpen does not hold: it is done already, or not on the list; the commit was not taken"
    );
    let bad = done("{");
    assert_eq!((bad.status, &bad.error()["code"]), (2, &"guard_args".into()));
    let unknown = folder.run(&["commit", "s.db", "--json", "--event", "v1.TodoDone", "--guard", "v1.TodoOpn"]);
    assert_eq!((unknown.status, &unknown.error()["code"]), (2, &"unknown_guard".into()));
    assert!(unknown.error()["message"].as_str().unwrap().ends_with("did you mean `v1.TodoOpen`?"));
    let usage = folder.run(&["commit", "s.db", "--event", "v1.TodoDone", "--guard-args", "{}"]);
    assert_eq!(usage.status, 2);
}

#[test]
fn lines_may_have_a_guard() {
    let folder = Folder::local();
    let done = r#"{"guard":{"name":"v1.TodoOpen","args":{"id":"1"}},"events":[{"name":"v1.TodoDone","args":{"id":"1"}}]}"#;
    let input = format!("{}{done}\n{done}\n{}", created(1), created(2));
    let ran = folder.run_with(&["commit", "s.db", "--stdin", "--json"], &input);
    assert_eq!((ran.status, objects(&ran.out).len()), (4, 2), "{}", ran.err);
    let message = ran.error()["message"].as_str().unwrap().to_owned();
    assert!(
        message.starts_with("line 3: the guard v1.TodoOpen does not hold")
            && message.ends_with("; the 2 commits before it are stored"),
        "{message}"
    );
    assert_eq!(folder.count("todos"), 1);
}

// Verifies: R6, L4 (offline, and somebody else is first)
#[test]
fn a_conflict_is_shown_and_can_be_committed_again_without_its_guard() {
    let folder = Folder::synced();
    folder.ok(&["init", "t.db", "--schema", "todo.toml", "--backend", "embedded:b.db"]);
    let done = |store| {
        folder.ok(&[
            "commit",
            store,
            "--json",
            "--event",
            "v1.TodoDone",
            "--args",
            r#"{"id":"1"}"#,
            "--guard",
            OPEN,
            "--guard-args",
            r#"{"id":"1"}"#,
        ])
    };
    folder.run_with(&["commit", "s.db", "--stdin", "--wait", "backend"], &created(1));
    folder.ok(&["sync", "t.db"]);
    std::fs::rename(folder.path("b.db"), folder.path("away.db")).unwrap();
    let id = objects(&done("s.db"))[0]["id"].as_str().unwrap().to_owned();
    let log = objects(&folder.ok(&["log", "s.db", "--pending", "--json"]));
    assert_eq!(log[0]["guard"], serde_json::json!({"name": OPEN, "args": r#"{"id":"1"}"#}));
    assert!(folder.ok(&["log", "s.db", "--pending"]).contains(r#"if v1.TodoOpen {"id":"1"}"#));
    std::fs::rename(folder.path("away.db"), folder.path("b.db")).unwrap();
    folder.ok(&["commit", "t.db", "--event", "v1.TodoDone", "--args", r#"{"id":"1"}"#, "--wait", "backend"]);
    folder.run(&["sync", "s.db"]);

    let failed = &objects(&folder.ok(&["failures", "s.db", "--json"]))[0];
    assert_eq!((&failed["id"], &failed["class"]), (&id.as_str().into(), &"conflict".into()));
    assert_eq!(failed["guard"]["name"], OPEN);
    let text = folder.ok(&["failures", "s.db"]);
    assert!(text.contains("no longer holds: it is done already") && text.contains(r#"guard v1.TodoOpen  {"id":"1"}"#), "{text}");
    let again = folder.run(&["failures", "s.db", "retry", &id, "--may-duplicate", "--json"]);
    assert_eq!((again.status, &again.error()["code"]), (4, &"conflict".into()));
    folder.ok(&["failures", "s.db", "retry", &id, "--may-duplicate", "--unguarded"]);
    assert!(objects(&folder.ok(&["failures", "s.db", "--json"])).is_empty());
}
