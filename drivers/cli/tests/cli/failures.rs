//! Commits that fail, or are taken back, and those that are watched.

use std::io::{BufRead as _, BufReader};

use super::support::{Folder, objects, settings};

/// Commits a todo, and answers the commit's identity.
fn commit(folder: &Folder, store: &str, id: &str) -> String {
    let args = format!(r#"{{"id":"{id}","text":"x"}}"#);
    let out = folder.ok(&["commit", store, "--event", "v1.TodoCreated", "--args", &args, "--json"]);
    objects(&out)[0]["id"].as_str().unwrap().to_owned()
}

/// A store whose backend is out of reach, with a commit of that todo.
fn offline(folder: &Folder) -> String {
    std::fs::rename(folder.path("b.db"), folder.path("away.db")).unwrap();
    commit(folder, "s.db", "1")
}

fn online(folder: &Folder) {
    std::fs::rename(folder.path("away.db"), folder.path("b.db")).unwrap();
}

fn failures(folder: &Folder) -> Vec<serde_json::Value> {
    objects(&folder.ok(&["failures", "s.db", "--json"]))
}

// Verifies: L4
#[test]
fn a_pending_commit_is_taken_back_and_committed_again() {
    let folder = Folder::synced();
    let id = offline(&folder);
    assert!(failures(&folder).is_empty() && folder.ok(&["failures", "s.db"]).contains("nothing has failed"));
    online(&folder);
    let withdrawn = &objects(&folder.ok(&["withdraw", "s.db", &id, "--json"]))[0];
    assert_eq!(
        (&withdrawn["leader_sync"]["state"], &withdrawn["backend_sync"]["state"], &withdrawn["backend_sync"]["events"]),
        (&"ok".into(), &"failed".into(), &"quarantine".into())
    );
    assert_eq!(folder.count("todos"), 0);

    let listed = &failures(&folder)[0];
    assert_eq!(
        (&listed["id"], &listed["certainty"]),
        (&id.as_str().into(), &"unknown".into()),
        "it may have been sent before a restart"
    );
    assert_eq!(listed["payload"][0]["args"], r#"{"id":"1","text":"x"}"#);
    let refused = folder.run(&["failures", "s.db", "retry", &id, "--json"]);
    assert_eq!((refused.status, &refused.error()["code"]), (2, &"may_duplicate".into()));
    assert!(refused.error()["message"].as_str().unwrap().contains("--may-duplicate"));
    let again = &objects(&folder.ok(&["failures", "s.db", "retry", &id, "--may-duplicate", "--json"]))[0];
    assert_eq!(again["receipt"]["leader_sync"]["state"], "ok");
    assert_ne!(again["receipt"]["id"], id.as_str());
    assert!(failures(&folder).is_empty());
    let twice = folder.run(&["failures", "s.db", "retry", &id, "--may-duplicate", "--json"]);
    assert_eq!((twice.status, &twice.error()["code"]), (2, &"retried".into()));
    folder.ok(&["sync", "s.db"]);
    assert_eq!(folder.count("todos"), 1);

    let settled = folder.run(&["withdraw", "s.db", again["receipt"]["id"].as_str().unwrap(), "--json"]);
    assert_eq!((settled.status, &settled.error()["code"]), (2, &"settled".into()));
    let unknown = folder.run(&["withdraw", "s.db", &id.replace("-1", "-9"), "--json"]);
    assert_eq!((unknown.status, &unknown.error()["code"]), (2, &"unknown_commit".into()));
}

// Verifies: L4, R6
#[test]
fn what_no_longer_applies_is_listed_until_it_is_let_go_of() {
    let folder = Folder::synced();
    let id = offline(&folder);
    online(&folder);
    folder.ok(&["init", "other.db", "--schema", "todo.toml", "--backend", "embedded:b.db"]);
    commit(&folder, "other.db", "1");
    folder.ok(&["sync", "other.db"]);
    folder.ok(&["sync", "s.db"]);
    let listed = &failures(&folder)[0];
    assert_eq!(
        (&listed["id"], &listed["class"], &listed["acknowledged"]),
        (&id.as_str().into(), &"conflict".into(), &false.into())
    );

    let refused = folder.run(&["failures", "s.db", "retry", &id, "--may-duplicate", "--json"]);
    assert_eq!((refused.status, &refused.error()["code"]), (2, &"materialise".into()), "it applies no better now");
    assert_eq!(failures(&folder).len(), 1, "and is still there");
    folder.ok(&["failures", "s.db", "acknowledge", &id]);
    assert_eq!(failures(&folder)[0]["acknowledged"], true);
    let people = folder.ok(&["failures", "s.db", "list"]);
    assert!(people.contains(&id) && people.contains("failed: ") && people.contains("v1.TodoCreated"), "{people}");
    folder.ok(&["failures", "s.db", "discard", &id]);
    assert!(failures(&folder).is_empty());
    let done = folder.run(&["failures", "s.db", "discard", &id, "--json"]);
    assert_eq!((done.status, &done.error()["code"]), (2, &"discarded".into()));
    assert_eq!(objects(&folder.ok(&["receipt", "s.db", &id, "--json"]))[0]["backend_sync"]["state"], "failed", "as it settled");
}

#[test]
fn what_waits_is_watched_by_the_file_alone_or_by_syncing() {
    let folder = Folder::synced();
    let id = offline(&folder);
    let beside = folder.run(&["watch", "s.db", "--for", "10ms", "--json"]);
    let row = &objects(&beside.out)[0];
    assert_eq!((beside.status, &row["id"], &row["from"], &row["attempt"]), (3, &id.as_str().into(), &"e1".into(), &().into()));
    assert!(row["since"].as_u64().is_some() && row["reason"].as_str().unwrap().contains("countersign sync"), "{row}");
    let people = folder.run(&["watch", "s.db", "--for", "10ms"]);
    assert!(people.out.contains(&format!("{id}  pending  e1  1 event: nobody has the store open")), "{}", people.out);

    let mut child = folder.spawn(&["watch", "s.db", "--sync", "--json"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| objects(&line.unwrap()).remove(0));
    let tried = lines.find(|row| row["attempt"].as_u64().is_some_and(|attempt| attempt > 0)).unwrap();
    assert!(tried["reason"].as_str().unwrap().contains("there is no backend at") && tried["next_retry"].is_u64(), "{tried}");
    online(&folder);
    let last = lines.last().unwrap();
    assert_eq!((&last["id"], &last["backend_sync"]["seqs"][0]), (&id.as_str().into(), &"e1".into()));
    assert!(child.wait().unwrap().success());
    assert_eq!(folder.ok(&["watch", "s.db"]), "nothing is pending\n");
}

#[test]
fn failures_are_said_for_people() {
    let folder = Folder::synced();
    let id = offline(&folder);
    let transcript = folder.transcript(&[
        &format!("withdraw s.db {id}"),
        "failures s.db",
        &format!("failures s.db retry {id}"),
        &format!("failures s.db acknowledge {id}"),
        &format!("failures s.db discard {id}"),
        "failures s.db",
    ]);
    settings().bind(|| insta::assert_snapshot!("failures", transcript));
}
