//! Each command, for people and for programs.

use super::support::{Folder, created, objects, settings};

#[test]
fn a_store_from_its_making_to_its_log() {
    let folder = Folder::new();
    let transcript = folder.transcript(&[
        "init todos.db --schema todo.toml --backend embedded:backend.db",
        r#"commit todos.db --event v1.TodoCreated --args '{"id":"1","text":"water the plants"}' --wait backend"#,
        r#"commit todos.db --event v1.TodoDone --args '{"id":"1"}' --wait backend"#,
        r#"commit todos.db --event v1.FilterSet --args '{"filter":"all"}' --wait backend"#,
        "query todos.db 'SELECT * FROM todos'",
        "query todos.db 'SELECT * FROM todos WHERE id = 7'",
        "log todos.db",
        "log todos.db --since e1",
        "log todos.db --pending",
        "sync todos.db",
        "status todos.db",
    ]);
    settings().bind(|| insta::assert_snapshot!("people", transcript));
}

#[test]
fn the_same_as_objects() {
    let folder = Folder::new();
    let transcript = folder.transcript(&[
        "init todos.db --schema todo.toml --backend embedded:backend.db --store-id shop-1 --durability process --json",
        r#"commit todos.db --event v1.TodoCreated --args '{"id":"1","text":"water the plants"}' --wait backend --json"#,
        r#"commit todos.db --event v1.FilterSet --args '{"filter":"all"}' --wait backend --json"#,
        "query todos.db 'SELECT text, id, done, 1.5 AS half, CAST(char(1) AS BLOB) AS blob, NULL AS none, id FROM todos' --json",
        "log todos.db --json",
        "sync todos.db --json",
        "status todos.db --json",
        "init local.db --schema todo.toml --json",
        r#"commit local.db --event v1.TodoCreated --args '{"id":"1","text":"x"}' --wait backend --json"#,
        "sync local.db --json",
        "log local.db --json",
    ]);
    settings().bind(|| insta::assert_snapshot!("objects", transcript));
}

// Verifies: R2
#[test]
fn a_receipt_is_found_again_by_another_process() {
    let folder = Folder::synced();
    let commit = ["commit", "s.db", "--event", "v1.TodoCreated", "--args", r#"{"id":"1","text":"x"}"#, "--json"];
    std::fs::rename(folder.path("b.db"), folder.path("away.db")).unwrap();
    let id = objects(&folder.ok(&commit))[0]["id"].as_str().unwrap().to_owned();

    let pending = folder.run(&["receipt", "s.db", &id, "--json"]);
    assert_eq!(pending.status, 0, "{}", pending.err);
    let receipt = &objects(&pending.out)[0];
    assert_eq!((&receipt["leader_sync"]["state"], &receipt["backend_sync"]["state"]), (&"ok".into(), &"pending".into()));
    assert!(receipt["backend_sync"]["reason"].as_str().unwrap().contains("countersign sync s.db"));

    let waited = folder.run(&["receipt", "s.db", &id, "--wait", "backend", "--timeout", "50ms", "--json"]);
    assert_eq!(waited.status, 3, "{}", waited.err);
    assert!(waited.out.contains("there is no backend at"), "{}", waited.out);

    std::fs::rename(folder.path("away.db"), folder.path("b.db")).unwrap();
    let confirmed = serde_json::json!({"state": "ok", "seqs": ["e1"], "rebases": 0});
    let waited = folder.ok(&["receipt", "s.db", &id, "--wait", "backend", "--json"]);
    assert_eq!(objects(&waited)[0]["backend_sync"], confirmed);
    // An acknowledgement alone is not on disk before a pull has brought the commit back.
    folder.ok(&["sync", "s.db"]);
    for wait in [&["--wait", "leader"][..], &["--wait", "none"], &[]] {
        let args = [&["receipt", "s.db", &id, "--json"], wait].concat();
        assert_eq!(objects(&folder.ok(&args))[0]["backend_sync"], confirmed, "{wait:?}");
    }
    assert!(folder.ok(&["receipt", "s.db", &id]).contains("backend  ok at e1"));

    let unknown = folder.run(&["receipt", "s.db", &id.replace("-1", "-7"), "--json"]);
    assert_eq!((unknown.status, &unknown.error()["code"]), (2, &"unknown_commit".into()));
}

#[test]
fn another_schema_builds_the_state_anew_from_the_log() {
    let folder = Folder::local();
    folder.run_with(&["commit", "s.db", "--stdin"], &(created(1) + &created(2)));
    let shouting =
        super::support::TODO.replace("VALUES (:id, :text)", "VALUES (:id, upper(:text))").replace("version = 1", "version = 2");
    std::fs::write(folder.path("new.toml"), shouting).unwrap();
    let changed = objects(&folder.ok(&["schema", "s.db", "--schema", "new.toml", "--json"]));
    assert_eq!(changed[0], serde_json::json!({"schema_version": 2, "entries": 2, "skipped": 0}));
    let rows = objects(&folder.ok(&["query", "s.db", "SELECT text FROM todos", "--json"]));
    assert_eq!(rows[0]["text"], "TODO 1");
    assert_eq!(folder.run_with(&["commit", "s.db", "--stdin"], &created(3)).status, 0);
    assert!(folder.ok(&["query", "s.db", "SELECT text FROM todos"]).contains("TODO 3"));
}

#[test]
fn two_stores_share_a_backend_and_can_be_moved_together() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("here")).unwrap();
    for store in ["here/a.db", "here/b.db"] {
        folder.ok(&["init", store, "--schema", "todo.toml", "--backend", "embedded:here/backend.db"]);
    }
    std::fs::rename(folder.path("here"), folder.path("there")).unwrap();
    for (store, id) in [("there/a.db", "1"), ("there/b.db", "2")] {
        let args = format!("{{\"id\":\"{id}\",\"text\":\"x\"}}");
        folder.ok(&["commit", store, "--event", "v1.TodoCreated", "--args", &args, "--wait", "backend"]);
    }
    let synced = &objects(&folder.ok(&["sync", "there/a.db", "--json"]))[0];
    assert_eq!((&synced["state"], &synced["upstream"]), (&"synced".into(), &"e2".into()));
    let log = |store| objects(&folder.ok(&["log", store, "--json"])).iter().map(|line| line["args"].clone()).collect::<Vec<_>>();
    assert_eq!(log("there/a.db"), log("there/b.db"));
    let commits =
        |store| objects(&folder.ok(&["log", store, "--json"])).iter().map(|line| line["commit"].clone()).collect::<Vec<_>>();
    assert_eq!(commits("there/a.db"), commits("there/b.db"), "a commit has one name everywhere");
}

#[test]
fn help_and_version_are_no_errors() {
    let folder = Folder::new();
    assert!(folder.ok(&["--version"]).starts_with("countersign "));
    for args in [&["--help"][..], &["help", "commit"], &["init", "--help"]] {
        assert!(folder.ok(args).contains("Usage: countersign"));
    }
    assert!(folder.ok(&["--help"]).contains("Exit status:"));
}

#[test]
fn the_demonstration_ends_with_one_log() {
    let folder = Folder::new();
    let told = folder.ok(&["demo"]);
    assert!(
        told.contains("e3 -> e5, e4 -> e6") && told.contains("yes: the same log in all three (backend 6, anna 6, ben 6)"),
        "{told}"
    );
    assert!(told.lines().count() < 45 && !told.contains('\u{1b}'), "{told}");

    let objects = objects(&folder.ok(&["demo", "--json", "--keep", "kept"]));
    assert_eq!(objects.last().unwrap(), &serde_json::json!({"step": 6, "same": true, "events": 6, "differences": []}));
    assert_eq!(folder.ok(&["log", "kept/ben.db", "--json"]).lines().count(), 6);
    assert!(folder.ok(&["status", "kept/anna.db"]).contains("nothing pending"));
    assert_eq!(folder.run(&["demo", "--keep", "kept"]).status, 2);
}
