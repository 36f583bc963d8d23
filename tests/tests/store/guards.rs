//! Guards: commits that stand only under a condition, on real stores.

use std::path::Path;
use std::time::Duration;

use countersign::backend::EmbeddedBackend;
use countersign::{
    Certainty, CommitError, EncodeError, FailureError, GuardType, NewGuard, Opener, Reader, Risk, Schema, Settled, Store,
    SyncError, ToEvents as _,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tests::driver::Start as _;
use tests::todos::{self, builder, config, note, settled, synced, todo, until};

/// Nobody has this todo yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Free {
    id: String,
}

impl GuardType for Free {
    const NAME: &'static str = "v1.Free";
}

fn free(id: impl ToString) -> Free {
    Free { id: id.to_string() }
}

fn schema(version: u32) -> Schema {
    let builder = builder(version).guard::<Free>(|db, Free { id }| {
        match db.query_optional("SELECT text FROM todos WHERE id = ?", [&id], |row| row.get::<_, String>(0))? {
            Some(text) => Err(format!("{id} is taken by {text}").into()),
            None => Ok(()),
        }
    });
    builder.guard_sql("v1.Few", "SELECT count(*) < :most FROM todos", Some("there are too many")).build().unwrap()
}

fn opener(path: &Path, backend: &EmbeddedBackend) -> Opener {
    Store::open(path).schema(schema(1)).config(config()).backend(backend.clone())
}

fn conflict(error: SyncError) -> (String, String, Certainty) {
    match error {
        SyncError::Conflict { guard, message, certainty } => (guard.to_string(), message.to_string(), certainty),
        other => panic!("{other:?} is no conflict"),
    }
}

/// What of the store's log has a guard.
fn guards(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let each = |row: countersign::LogRow| {
        found.extend(row.entry.own_guard().map(|guard| format!("{} {}", guard.name, guard.args)));
        std::ops::ControlFlow::Continue(())
    };
    Reader::open(path).unwrap().each(countersign::Pos::ROOT, each).unwrap();
    found
}

#[test]
fn a_guard_that_does_not_hold_refuses_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("a.db")).schema(schema(1)).start().unwrap();
    store.commit(todo(1).guarded(free(1))).unwrap();
    let error = store.commit((todo(1), note("x")).guarded(free(1))).unwrap_err();
    assert_eq!(error.to_string(), "the guard v1.Free does not hold: 1 is taken by todo 1; the commit was not taken");
    let refused = store.try_commit(note("x").guarded(NewGuard::new("v1.Few", json!({"most": 1})))).unwrap_err();
    assert!(matches!(&refused.error, CommitError::Conflict { message, .. } if &**message == "there are too many"), "{refused}");
    assert!(store.try_commit(refused.events).is_err(), "it is handed back with its guard");
    let error = store.commit(note("x").guarded(NewGuard::new("v1.Fre", json!(null)))).unwrap_err();
    assert!(matches!(error, CommitError::Encode(EncodeError::UnknownGuard { .. })), "{error}");
    let error = store.commit(note("x").guarded(NewGuard::new("v1.Free", json!({"id": 7})))).unwrap_err();
    assert!(matches!(&error, CommitError::GuardArgs { .. }) && error.to_string().contains("expected a string"), "{error}");
    assert_eq!(
        store.commit(().guarded(free(1))).unwrap_err().to_string(),
        "the guard v1.Free does not hold: 1 is taken by todo 1; the commit was not taken"
    );
    assert!(todos::journal(&store).is_empty() && todos::todos(&store) == 1, "nothing has happened");
    let receipt = store.commit(().guarded(free(2))).unwrap();
    assert_eq!(settled(&receipt.leader_sync), Ok(Settled::Persisted));
}

/// Verifies: R1, R3, R6, S3, S5 (another client was first)
#[test]
fn a_guard_that_no_longer_holds_behind_others_undoes_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let backend = EmbeddedBackend::open(dir.path().join("b.db")).unwrap();
    let path = dir.path().join("a.db");
    let (ours, theirs) = (opener(&path, &backend).start().unwrap(), synced(&dir.path().join("c.db"), &backend));
    backend.switch().off();
    let before = ours.commit(note("before")).unwrap();
    let taken = ours.commit((note("mine"), todo(1)).guarded(free(1))).unwrap();
    let held = ours.commit(todo(2).guarded(free(2))).unwrap();
    let after = ours.commit(note("after")).unwrap();
    assert_eq!(settled(&after.leader_sync), Ok(Settled::Persisted));
    assert_eq!(guards(&path), [r#"v1.Free {"id":"1"}"#, r#"v1.Free {"id":"2"}"#], "one an entry, with its commit");
    // They are first at the backend: nobody of ours reaches it before they have.
    drop(ours);
    backend.switch().on();
    settled(&theirs.commit(todo(1)).unwrap().backend_sync).unwrap();
    let ours = opener(&path, &backend).start().unwrap();
    let receipt = |id| ours.receipt(id).unwrap().unwrap();
    let (guard, message, _) = conflict(settled(&receipt(taken.id()).backend_sync).unwrap_err());
    assert_eq!((guard.as_str(), message.as_str()), ("v1.Free", "1 is taken by todo 1"));
    assert_eq!(receipt(taken.id()).leader_sync.peek(), Some(Ok(Settled::Persisted)));
    for id in [before.id(), held.id(), after.id()] {
        assert!(settled(&receipt(id).backend_sync).is_ok());
    }
    assert_eq!(todos::journal(&ours), ["before", "after"]);
    assert_eq!(todos::todos(&ours), 2);
    until("what is confirmed needs no guard", || guards(&path).is_empty());

    let failures = ours.failures().unwrap();
    assert_eq!((failures.len(), failures[0].quarantined.events.len()), (1, 2));
    assert_eq!(&*failures[0].quarantined.guard().unwrap().args, r#"{"id":"1"}"#);
    let again = ours.retry(taken.id(), Risk::MayDuplicate).unwrap_err();
    assert!(matches!(again, FailureError::Commit(CommitError::Conflict { .. })), "{again}");
    let again = ours.retry_unguarded(taken.id(), Risk::MayDuplicate).unwrap_err();
    assert!(matches!(again, FailureError::Commit(CommitError::Materialise { .. })), "asked about the todo itself now: {again}");
    assert_eq!(ours.failures().unwrap().len(), 1, "nothing has happened");
}

/// Verifies: R6, L4 (in a running store, without a restart)
#[test]
fn a_conflict_is_certain_where_nothing_was_sent() {
    let dir = tempfile::tempdir().unwrap();
    let backend = EmbeddedBackend::open(dir.path().join("b.db")).unwrap();
    let their_backend = EmbeddedBackend::open(dir.path().join("b.db")).unwrap();
    let ours = opener(&dir.path().join("a.db"), &backend).start().unwrap();
    let theirs = synced(&dir.path().join("c.db"), &their_backend);
    settled(&ours.commit(note("first")).unwrap().backend_sync).unwrap();
    backend.switch().off();
    let taken = ours.commit(todo(1).guarded(free(1))).unwrap();
    assert_eq!(settled(&taken.leader_sync), Ok(Settled::Persisted));
    settled(&theirs.commit(todo(1)).unwrap().backend_sync).unwrap();
    backend.switch().on();
    conflict(settled(&taken.backend_sync).unwrap_err());
    let report = ours.close(Duration::from_secs(60));
    assert!(report.persisted && report.unresolved.is_empty());
}

/// Verifies: R1, R2 (another session of the same store was first)
#[test]
fn sessions_of_one_store_get_in_one_anothers_way() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("a.db")).schema(schema(1)).start().unwrap();
    let sessions = [store.session().unwrap(), store.session().unwrap(), store.session().unwrap()];
    for round in 0..20 {
        let receipts: Vec<_> = std::thread::scope(|scope| {
            sessions
                .each_ref()
                .map(|s| scope.spawn(move || s.commit(todo(round).guarded(free(round)))))
                .map(|t| t.join().unwrap())
                .into()
        });
        let mut held = 0;
        for receipt in receipts {
            match receipt.map(|receipt| settled(&receipt.leader_sync)) {
                Ok(Ok(Settled::Persisted)) => held += 1,
                Ok(Err(error)) => assert_eq!(conflict(error).2, Certainty::NotApplied),
                Err(CommitError::Conflict { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(held, 1, "in round {round}");
    }
    assert_eq!(todos::todos(&store), 20);
}

/// Verifies: L4 (a guard that nobody can ask is not taken to hold)
#[test]
fn a_guard_that_another_schema_does_not_have_is_a_conflict_and_no_loss() {
    let dir = tempfile::tempdir().unwrap();
    let backend = EmbeddedBackend::open(dir.path().join("b.db")).unwrap();
    let path = dir.path().join("a.db");
    let theirs = synced(&dir.path().join("c.db"), &backend);
    let ours = opener(&path, &backend).start().unwrap();
    backend.switch().off();
    let commit = ours.commit(todo(1).guarded(free(1))).unwrap();
    assert_eq!(settled(&commit.leader_sync), Ok(Settled::Persisted));
    assert!(ours.close(Duration::from_secs(60)).persisted);
    // A schema without it builds the state anew, which asks no guard.
    let rebuilt = todos::opener(&path).schema(builder(2).build().unwrap()).backend(backend.clone()).start().unwrap();
    assert_eq!(todos::todos(&rebuilt), 1);
    assert!(rebuilt.failures().unwrap().is_empty());
    assert!(rebuilt.close(Duration::from_secs(60)).persisted);
    backend.switch().on();
    settled(&theirs.commit(note("first")).unwrap().backend_sync).unwrap();
    // Now it comes onto another base.
    let store = todos::opener(&path).schema(builder(2).build().unwrap()).backend(backend.clone()).start().unwrap();
    let (guard, message, _) = conflict(settled(&store.receipt(commit.id()).unwrap().unwrap().backend_sync).unwrap_err());
    assert!(guard == "v1.Free" && message.starts_with("the schema has no such guard any more"), "{guard}: {message}");
    let again = store.retry(commit.id(), Risk::MayDuplicate).unwrap_err();
    assert!(matches!(again, FailureError::Commit(CommitError::Encode(EncodeError::UnknownGuard { .. }))), "{again}");
    let again = store.retry_unguarded(commit.id(), Risk::MayDuplicate).unwrap();
    assert!(settled(&again.backend_sync).is_ok());
    assert_eq!((todos::todos(&store), store.failures().unwrap().len()), (1, 0));
}

/// A commit made in a guard, or a wait, would wait for itself.
#[test]
fn a_guard_can_not_commit() {
    let dir = tempfile::tempdir().unwrap();
    let outer: std::sync::Arc<std::sync::OnceLock<Store>> = std::sync::Arc::default();
    let inner = outer.clone();
    let schema = builder(1).guard::<Free>(move |_, _| match inner.get().map(|store| store.commit(note("inside"))) {
        Some(Err(error)) => Err(error.to_string().into()),
        other => panic!("{other:?}"),
    });
    let store = Store::open(dir.path().join("a.db")).schema(schema.build().unwrap()).start().unwrap();
    outer.set(store.clone()).unwrap();
    let error = store.commit(note("x").guarded(free(1))).unwrap_err();
    assert!(matches!(&error, CommitError::Conflict { message, .. } if message.contains("would wait for itself")), "{error}");
}
