//! The machine's faults, and backends that are gone or other ones.

use std::fs;

use countersign::rusqlite::Connection;

use super::support::{Folder, created, objects};

const COMMIT: [&str; 6] = ["commit", "s.db", "--event", "v1.TodoCreated", "--args", r#"{"id":"1","text":"x"}"#];

#[test]
fn a_backend_that_is_gone_leaves_a_commit_pending_and_stored() {
    let folder = Folder::synced();
    fs::rename(folder.path("b.db"), folder.path("away.db")).unwrap();
    let done = folder.run(&[&COMMIT[..], &["--wait", "backend", "--timeout", "100ms", "--json"]].concat());
    assert_eq!((done.status, &*done.err), (3, ""));
    let receipt = &objects(&done.out)[0];
    assert_eq!((&receipt["leader_sync"]["state"], &receipt["backend_sync"]["state"]), (&"ok".into(), &"pending".into()));
    assert!(receipt["backend_sync"]["reason"].as_str().unwrap().contains("there is no backend at"), "{receipt}");

    let done = folder.run(&["sync", "s.db", "--timeout", "100ms", "--json"]);
    let synced = &objects(&done.out)[0];
    assert_eq!((done.status, &synced["state"], &synced["pending"]), (3, &"pending".into(), &1.into()));
    assert_eq!(folder.run(&["sync", "s.db", "--for", "100ms"]).status, 3);
    assert!(!folder.path("b.db").exists(), "an empty backend in the place of a lost one would not be noticed");

    fs::rename(folder.path("away.db"), folder.path("b.db")).unwrap();
    assert_eq!(objects(&folder.ok(&["sync", "s.db", "--json"]))[0]["upstream"], "e1");
    assert_eq!(folder.ok(&["log", "s.db", "--pending", "--json"]), "");
}

// Verifies: L8
#[test]
fn another_backend_fails_the_stage_and_mixes_nothing() {
    let folder = Folder::synced();
    folder.ok(&[&COMMIT[..], &["--wait", "backend"]].concat());
    folder.ok(&["init", "other.db", "--schema", "todo.toml", "--backend", "embedded:other-backend.db"]);
    fs::rename(folder.path("other-backend.db"), folder.path("b.db")).unwrap();

    let done = folder.run_with(&["commit", "s.db", "--stdin", "--json", "--wait", "backend"], &created(2));
    assert_eq!(done.status, 4, "{}{}", done.out, done.err);
    let failed = &objects(&done.out)[0]["backend_sync"];
    assert_eq!((&failed["state"], &failed["events"], &failed["class"]), (&"failed".into(), &"queued".into(), &"rejected".into()));
    let done = folder.run(&["sync", "s.db", "--json"]);
    assert_eq!((done.status, &objects(&done.out)[0]["state"]), (4, &"failed".into()));
    assert!(done.error()["message"].as_str().unwrap().contains("but this store has been syncing with"));
    let people = folder.run_with(&["commit", "s.db", "--stdin", "--wait", "backend"], &created(3));
    assert!(
        people.status == 4 && people.out.contains("failed: ") && people.out.contains("it stays in the queue"),
        "{}",
        people.out
    );
    folder.ok(&["init", "third.db", "--schema", "todo.toml", "--backend", "embedded:b.db"]);
    folder.ok(&["sync", "third.db"]);
    assert_eq!(folder.ok(&["log", "third.db", "--json"]), "");
}

#[test]
fn files_that_can_not_be_used_are_named_and_left_as_they_are() {
    let folder = Folder::local();
    folder.ok(&COMMIT);
    Connection::open(folder.path("s.db")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    for args in [&COMMIT[..], &["log", "s.db"], &["status", "s.db"], &["sync", "s.db"]] {
        let done = folder.run(&[args, &["--json"]].concat());
        let error = done.error();
        assert_eq!((done.status, &error["code"]), (1, &"newer_format".into()), "{args:?}");
        assert!(
            error["message"].as_str().unwrap().contains("format 99")
                && error["message"].as_str().unwrap().contains("update this program")
        );
    }
    Connection::open(folder.path("s.db")).unwrap().pragma_update(None, "user_version", 1).unwrap();
    assert_eq!(folder.count("todos"), 1);

    let mut bytes = fs::read(folder.path("s.db")).unwrap();
    bytes[4096..].fill(0xff);
    fs::write(folder.path("s.db"), &bytes).unwrap();
    for args in [&COMMIT[..], &["log", "s.db"], &["query", "s.db", "SELECT * FROM todos"]] {
        let done = folder.run(&[args, &["--json"]].concat());
        assert_eq!(done.status, 1, "{args:?}: {}{}", done.out, done.err);
        assert!(done.error()["message"].as_str().unwrap().contains("malformed"), "{}", done.err);
    }
    assert_eq!(fs::read(folder.path("s.db")).unwrap(), bytes);
}

#[test]
fn a_store_made_by_a_program_can_be_read_and_given_a_schema() {
    let folder = Folder::new();
    let schema = countersign::Schema::from_toml(super::support::TODO).unwrap();
    let store = countersign::Store::open(folder.path("s.db")).schema(schema).blocking().unwrap();
    assert!(store.close(std::time::Duration::from_secs(10)).persisted);
    folder.ok(&["log", "s.db"]);
    folder.ok(&["status", "s.db"]);
    let done = folder.run(&[&COMMIT[..], &["--json"]].concat());
    assert_eq!((done.status, &done.error()["code"]), (2, &"no_schema".into()));
    folder.ok(&["schema", "s.db", "--schema", "todo.toml"]);
    folder.ok(&COMMIT);
}

#[cfg(unix)]
#[test]
fn a_folder_that_is_not_writable_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    fs::create_dir(folder.path("shut")).unwrap();
    fs::set_permissions(folder.path("shut"), fs::Permissions::from_mode(0o555)).unwrap();
    let privileged = fs::write(folder.path("shut/probe"), "").is_ok();
    let done = folder.run(&["init", "shut/s.db", "--schema", "todo.toml", "--json"]);
    if privileged {
        // Whoever may do everything is not refused.
        assert_eq!(done.status, 0, "{}", done.err);
    } else {
        assert_eq!((done.status, &done.error()["code"]), (1, &"not_writable".into()));
    }
}

/// A limit on the size of files stands in for a full disk: writing beyond it fails.
///
// Verifies: L4
#[cfg(unix)]
#[test]
fn what_can_not_be_stored_is_handed_back_and_the_store_goes_on() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let folder = Folder::local();
    folder.ok(&COMMIT);
    let long = "x".repeat(600_000);
    let input = format!("{{\"name\":\"v1.TodoCreated\",\"args\":{{\"id\":\"2\",\"text\":\"{long}\"}}}}\n");
    let script = "trap '' XFSZ; ulimit -f 512; exec \"$0\" commit s.db --stdin --json --timeout 200ms";
    let mut child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_countersign")])
        .current_dir(folder.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = super::support::Done::of(child.wait_with_output().unwrap());
    assert_eq!(done.status, 1, "{}{}", done.out, done.err);
    assert_eq!(objects(&done.out)[0]["leader_sync"]["state"], "pending");
    let error = done.error();
    // The disk may be being tried again at the very end.
    assert!(error["code"] == "not_stored" || error["code"] == "perhaps_stored", "{error}");
    assert_eq!(error["events"][0]["name"], "v1.TodoCreated");
    assert!(error["events"][0]["args"].as_str().unwrap().contains(&long), "nobody else has it");

    assert_eq!(folder.count("todos"), 1);
    assert_eq!(folder.run_with(&["commit", "s.db", "--stdin"], &input).status, 0);
    assert_eq!(folder.count("todos"), 2);
}
