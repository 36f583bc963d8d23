//! Commits: what is visible when, what is taken, and what is refused.

use countersign::{CommitError, Config, EncodeError, NewEvent, QueryError, Settled, core};
use serde_json::json;
use tests::driver::Start as _;
use tests::todos::{self, Panics, filter, journal, local, note, opener, settled, todo};

#[test]
fn a_commit_is_visible_before_it_returns() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir.path().join("a.db"));
    for n in 1..=20 {
        store.commit(todo(n)).unwrap();
        assert_eq!(todos::todos(&store), n);
    }
}

/// Verifies: R2, L7 (client-only events and empty commits settle with the leader)
#[test]
fn what_no_backend_ever_sees_is_not_applicable_as_soon_as_it_is_persisted() {
    let dir = tempfile::tempdir().unwrap();
    let backend = countersign::backend::EmbeddedBackend::open(dir.path().join("b.db")).unwrap();
    backend.switch().off();
    let store = todos::synced(&dir.path().join("a.db"), &backend);
    for receipt in [store.commit(()).unwrap(), store.commit(filter("open")).unwrap(), store.commit(()).unwrap()] {
        assert_eq!(settled(&receipt.leader_sync), Ok(Settled::Persisted));
        assert_eq!(receipt.backend_sync.peek(), Some(Ok(Settled::NotApplicable)), "the same moment");
    }
    let mixed = store.commit((todo(1), filter("all"))).unwrap();
    assert_eq!(settled(&mixed.leader_sync), Ok(Settled::Persisted));
    assert_eq!(mixed.backend_sync.peek(), None);
    backend.switch().on();
    assert_eq!(settled(&mixed.backend_sync).unwrap().position().unwrap().to_string(), "e1");
    assert_eq!(backend.head(), Ok(1));
}

/// Verifies: R2
#[test]
fn without_a_backend_every_commit_is_not_applicable_as_soon_as_it_is_persisted() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir.path().join("a.db"));
    let receipt = store.commit(todo(1)).unwrap();
    assert_eq!(settled(&receipt.leader_sync), Ok(Settled::Persisted));
    assert_eq!(receipt.backend_sync.peek(), Some(Ok(Settled::NotApplicable)));
}

#[test]
fn one_event_a_tuple_a_list_and_events_by_name_are_taken_alike() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir.path().join("a.db"));
    store.commit(note("typed")).unwrap();
    store.commit((note("of"), todo(1), note("a tuple"))).unwrap();
    store.commit(vec![note("of"), note("a list")]).unwrap();
    store.commit([note("of an array")]).unwrap();
    store.commit(NewEvent::new("v1.Noted", json!({"text": "by name"}))).unwrap();
    store.commit(vec![NewEvent::parse("v1.Noted", r#"{"text": "parsed"}"#).unwrap()]).unwrap();
    assert_eq!(journal(&store), ["typed", "of", "a tuple", "of", "a list", "of an array", "by name", "parsed"]);
}

#[test]
fn an_unknown_event_is_refused_with_the_names_that_are_near() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir.path().join("a.db"));
    let error = store.commit(NewEvent::new("v1.TodoCreatd", json!({}))).unwrap_err();
    let CommitError::Encode(EncodeError::UnknownEvent { name, near }) = &error else { panic!("{error:?}") };
    assert_eq!(&**name, "v1.TodoCreatd");
    assert!(near.iter().any(|near| &**near == "v1.TodoCreated"), "{near:?}");
    assert!(error.to_string().contains("v1.TodoCreated"), "{error}");
}

/// Verifies: S3
#[test]
fn a_commit_that_can_not_be_materialised_happens_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = local(&path);
    store.commit(todo(1)).unwrap();
    let before = store.dump().unwrap();

    let refused = store.try_commit((note("first"), todo(1))).unwrap_err();
    let CommitError::Materialise { index: 1, event, .. } = &refused.error else { panic!("{refused:?}") };
    assert_eq!((&**event, &*refused.events.0.text, &*refused.events.1.id), ("v1.TodoCreated", "first", "1"));
    let panicked = store.commit((note("first"), Panics {})).unwrap_err();
    let CommitError::Materialise { index: 1, message, .. } = &panicked else { panic!("{panicked:?}") };
    assert!(message.contains("on purpose"), "{message}");
    assert_eq!(store.dump().unwrap(), before);

    let after = store.commit(note("after")).unwrap();
    assert_eq!(after.id().ordinal, 2, "refused commits take no number");
    let report = store.close(todos::LONG);
    assert!(report.persisted);
    todos::assert_sound(&path);
    assert_eq!(journal(&local(&path)), ["after"]);
}

/// Verifies: V5
#[test]
fn a_full_queue_is_a_typed_error_that_hands_the_events_back_to_be_committed_again() {
    let dir = tempfile::tempdir().unwrap();
    let backend = countersign::backend::EmbeddedBackend::open(dir.path().join("b.db")).unwrap();
    backend.switch().off();
    let config = Config { pending_events: 3, ..todos::config() };
    let store = opener(&dir.path().join("a.db")).config(config).backend(backend.clone()).start().unwrap();
    for n in 0..3 {
        store.commit(todo(n)).unwrap();
    }
    let refused = store.try_commit((todo(3), filter("kept"))).unwrap_err();
    let full = core::CommitError::Full { limit: core::Limit::PendingEvents, max: 3 };
    assert_eq!(refused.error, CommitError::Refused(full));
    assert!(refused.to_string().contains("nothing is lost"), "{refused}");
    assert_eq!(todos::todos(&store), 3);

    backend.switch().on();
    todos::until("there is room", || store.status().pending_events == 0);
    let receipt = store.commit(refused.events).unwrap();
    assert_eq!(settled(&receipt.backend_sync).unwrap().position().unwrap().to_string(), "e4");
    assert_eq!(backend.log().unwrap()[3].event.args.as_ref(), r#"{"id":"3","text":"todo 3"}"#);
}

/// Verifies: V5
#[test]
fn commits_and_events_that_are_too_large_are_refused_by_size() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { commit_events: 2, event_bytes: 1_000, ..todos::config() };
    let store = opener(&dir.path().join("a.db")).config(config).start().unwrap();
    let large = store.commit((note("small"), note("x".repeat(2_000)))).unwrap_err();
    assert!(matches!(large, CommitError::Refused(core::CommitError::EventTooLarge { index: 1, max: 1_000, .. })), "{large:?}");
    let many = store.commit(vec![note("a"), note("b"), note("c")]).unwrap_err();
    assert!(matches!(many, CommitError::Refused(core::CommitError::CommitTooLarge { events: 3, max_events: 2, .. })), "{many:?}");
    store.commit((note("a"), note("b"))).unwrap();
}

#[test]
fn an_encoded_event_that_does_not_fit_the_schema_is_refused_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir.path().join("a.db"));
    let event = |name: &str, args: &str, client_only| countersign::Event { name: name.into(), args: args.into(), client_only };
    let refusal = |event| match store.commit(event) {
        Err(CommitError::Encode(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(refusal(event("v1.Nothing", "null", false)), EncodeError::UnknownEvent { .. }));
    assert!(matches!(refusal(event("v1.Noted", "{", false)), EncodeError::Json { .. }));
    assert!(matches!(refusal(event("v1.Noted", "{}", true)), EncodeError::ClientOnlyDiffers { .. }));
    store.commit(event("v1.Noted", r#"{ "text" : "in any form" }"#, false)).unwrap();
    assert_eq!(journal(&store), ["in any form"]);
}

#[test]
fn a_query_only_reads() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir.path().join("a.db"));
    store.commit(todo(1)).unwrap();
    for sql in ["DELETE FROM todos", "BEGIN", "SAVEPOINT mine", "PRAGMA query_only = 0", "CREATE TABLE t (x)"] {
        let refused = store.query(|db| db.execute_batch(sql)).unwrap_err();
        assert!(matches!(refused, QueryError::ReadOnly { .. }), "{sql}: {refused:?}");
    }
    store.commit(todo(2)).unwrap();
    assert_eq!(todos::todos(&store), 2);
}

#[test]
fn inside_a_query_whatever_would_wait_for_the_session_is_a_typed_error() {
    use countersign::{LookupError, SessionError, SyncError, Waited};
    let dir = tempfile::tempdir().unwrap();
    let backend = countersign::backend::EmbeddedBackend::open(dir.path().join("b.db")).unwrap();
    backend.switch().off();
    let store = todos::synced(&dir.path().join("a.db"), &backend);
    let open = store.commit(todo(1)).unwrap();
    let other = countersign::CommitId { session: countersign::SessionId([9; 16]), ordinal: 1 };
    let inside = store.query(|_| {
        assert_eq!(store.commit(todo(2)).unwrap_err(), CommitError::Inside);
        assert!(matches!(store.query(|_| Ok(())), Err(QueryError::Inside)));
        assert!(matches!(open.backend_sync.wait(), Err(SyncError::Unknown { .. })));
        assert!(matches!(open.backend_sync.wait_timeout(todos::LONG), Waited::Pending(_)));
        assert_eq!(store.dump(), Err(SessionError::Inside));
        assert!(matches!(store.session(), Err(SessionError::Inside)));
        assert_eq!(store.receipt(other).unwrap_err(), LookupError::Inside);
        assert!(store.receipt(open.id()).unwrap().is_some(), "what is open needs no file");
        let mut watch = store.watch(["todos"]);
        assert_eq!(watch.wait_timeout(todos::LONG), None);
        Ok(())
    });
    inside.unwrap();
    assert_eq!(todos::todos(&store), 1);
    store.commit(todo(2)).unwrap();
}

#[test]
fn a_query_that_panics_leaves_the_session_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let backend = countersign::backend::EmbeddedBackend::open(dir.path().join("b.db")).unwrap();
    let store = todos::synced(&dir.path().join("a.db"), &backend);
    let other = todos::synced(&dir.path().join("o.db"), &backend);
    let mut watch = store.watch(["todos"]);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.query(|_| -> countersign::rusqlite::Result<()> {
            // Arrives while the query holds the session: done when it lets go, however it ends.
            std::thread::scope(|scope| drop(scope.spawn(|| other.commit(todo(1)).unwrap())));
            todos::until("the leader has stored it", || store.status().upstream_head.global == 1 && store.status().drained);
            panic!("on purpose, in a test")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(watch.wait_timeout(todos::LONG), Some(["todos".to_owned()].into()), "without anybody using the session");
    store.commit(todo(2)).unwrap();
    assert_eq!(todos::todos(&store), 2);
}
