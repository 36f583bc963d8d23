//! How much may wait for the backend: by count, by bytes, by age.

use std::time::Duration;

use countersign::core::{CommitError as Core, Limit};
use countersign::testing::TestClock;
use countersign::{CommitError, CommitReceipt, Config, NewEvent, NewGuard, ToEvents as _};
use serde_json::json;
use tests::todos::{config, filter, note, settled, todos, until};

use crate::drivers::Place;

on_both_drivers!(
    by_count_and_bytes,
    by_age_over_restarts_too,
    client_only_events_and_local_stores_do_not_count,
    whatever_is_not_taken_is_given_back_as_it_was,
);

fn limit<T>(refused: Result<T, CommitError>) -> Option<Limit> {
    match refused {
        Err(CommitError::Refused(Core::Full { limit, .. })) => Some(limit),
        _ => None,
    }
}

// Verifies: V5
fn by_count_and_bytes(at: &Place) {
    let backend = at.backend();
    backend.switch().off();
    let limits = Config { pending_events: 3, pending_bytes: 3_000, ..config() };
    let store = at.open(at.opener("a.db").config(limits).backend(backend.clone()));
    let receipts = [store.commit((note(1), note(2))).unwrap(), store.commit(note(3)).unwrap()];
    assert_eq!(limit(store.commit(note(4))), Some(Limit::PendingEvents));
    let refused = store.try_commit(note(4)).unwrap_err();
    assert!(refused.error.to_string().contains("3") && refused.error.to_string().contains("raise the limit"), "{refused}");
    store.withdraw(receipts[0].id());
    settled(&receipts[0].backend_sync).unwrap_err();
    assert_eq!(limit(store.commit(note("x".repeat(2_500)))), Some(Limit::PendingBytes));
    backend.switch().on();
    settled(&receipts[1].backend_sync).unwrap();
    until("there is room", || store.status().pending_events == 0);
    // The events that were given back are committed as they are.
    settled(&store.commit(refused.events).unwrap().backend_sync).unwrap();
}

// Verifies: V5
fn by_age_over_restarts_too(at: &Place) {
    let backend = at.backend();
    backend.switch().off();
    let hour = Duration::from_secs(3_600);
    let clock = TestClock::new();
    let open = || {
        let limits = Config { pending_age: Some(hour), ..Config::default() };
        at.open(at.opener("a.db").config(limits).backend(backend.clone()).clock(clock.clone()))
    };
    let store = open();
    let first = store.commit(note("first")).unwrap();
    settled(&first.leader_sync).unwrap();
    clock.advance(hour / 2);
    settled(&store.commit(note("second")).unwrap().leader_sync).unwrap();
    drop(store);
    let store = open();
    clock.advance(hour / 2);
    let Err(CommitError::Refused(Core::PendingTooLong { waited, max })) = store.commit(note("third")) else { panic!("too old") };
    assert_eq!((waited, max), (hour, hour));
    let refused = store.try_commit(note("third")).unwrap_err();
    assert!(refused.error.to_string().contains("has waited for 3600 s") && refused.events.text == "third", "{refused}");
    store.commit(filter("still taken")).unwrap();
    // Without the oldest, the next one counts.
    store.withdraw(first.id());
    settled(&store.receipt(first.id()).unwrap().unwrap().backend_sync).unwrap_err();
    let third = store.commit(note("third")).unwrap();
    clock.advance(hour / 2);
    assert!(store.commit(note("fourth")).is_err());
    settled(&third.leader_sync).unwrap();
    backend.switch().on();
    until("everything is confirmed", || {
        clock.advance(Duration::from_secs(1));
        store.status().pending_events == 0
    });
    settled(&store.commit(refused.events).unwrap().leader_sync).unwrap();
}

// Verifies: V5
fn client_only_events_and_local_stores_do_not_count(at: &Place) {
    let limits =
        Config { pending_events: 3, pending_client_only: 3, pending_bytes: 3_000, pending_age: Some(Duration::ZERO), ..config() };
    let all_kept = |receipts: &[CommitReceipt]| receipts.iter().for_each(|receipt| drop(settled(&receipt.leader_sync).unwrap()));
    let local = at.open(at.opener("l.db").config(limits.clone()));
    all_kept(&(0..50).map(|n| local.commit((tests::todos::todo(n), filter("x"))).unwrap()).collect::<Vec<_>>());
    let status = local.status();
    assert_eq!((status.pending_events, status.pending_bytes, status.pending_client_only, todos(&local)), (0, 0, 0, 50));

    let backend = at.backend();
    backend.switch().off();
    let store = at.open(at.opener("a.db").config(limits).backend(backend));
    all_kept(&(0..50).map(|n| store.commit(filter(&n.to_string())).unwrap()).collect::<Vec<_>>());
    let status = store.status();
    assert_eq!((status.pending_events, status.pending_bytes, status.pending_client_only), (0, 0, 0));
    assert!(store.unsettled().is_empty());
}

// Verifies: L4 (a limit, a guard, a materialiser or an encoding that refuses: the caller has what he gave)
fn whatever_is_not_taken_is_given_back_as_it_was(at: &Place) {
    let small = Config { commit_events: 2, ..config() };
    let store = at.open(at.opener("a.db").config(small));
    let too_many = store.try_commit(vec![note(1), note(2), note(3)]).unwrap_err();
    assert!(matches!(too_many.error, CommitError::Refused(Core::CommitTooLarge { events: 3, max_events: 2, .. })), "{too_many}");
    assert_eq!(too_many.events.into_iter().map(|note| note.text).collect::<Vec<_>>(), ["1", "2", "3"]);

    let unknown = NewEvent::new("v1.Nobody", json!({"deep": [1.5, "x"]}));
    let given = vec![NewEvent::new("v1.Noted", json!({"text": "fine"})), unknown];
    let refused = store.try_commit(given.clone()).unwrap_err();
    assert!(matches!(refused.error, CommitError::Encode(_)), "{refused}");
    assert_eq!(refused.events, given, "what can't even be encoded too");

    let guard = NewGuard::new("v1.Nobody", json!(null));
    let guarded = (note("x"), note("y")).guarded(guard.clone());
    let refused = store.try_commit(guarded).unwrap_err();
    assert_eq!((refused.events.guard, &*refused.events.events.1.text), (guard, "y"), "{:?}", refused.error);
    assert_eq!(store.status().unpersisted_events, 0);
    assert!(tests::todos::journal(&store).is_empty(), "nothing has happened");
}
