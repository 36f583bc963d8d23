//! Stores that get a backend later, and stores that are opened without theirs.

use countersign::{Reader, Settled, Stage, Store, Why};
use tests::todos::{LONG, assert_sound, backend_args, filter, journal, note, settled, todo, until};

use crate::drivers::Place;

on_both_drivers!(
    what_was_made_without_a_backend_stays_not_applicable,
    what_the_backend_refuses_of_it_is_a_failure_and_its_receipt_stays,
    what_waits_for_a_backend_waits_while_the_store_is_opened_without_it,
);

fn outcome(store: &Store, id: countersign::CommitId) -> Option<countersign::Outcome> {
    store.receipt(id).unwrap().unwrap().backend_sync.peek()
}

const NOT_APPLICABLE: Option<countersign::Outcome> = Some(Ok(Settled::NotApplicable));

// Receipt rule 2: what has been said stays, although the events are pushed when there is a backend.
// Verifies: R1, R4
fn what_was_made_without_a_backend_stays_not_applicable(at: &Place) {
    let local = at.local("a.db");
    let made = [local.commit(note(1)).unwrap(), local.commit((note(2), filter("x"))).unwrap(), local.commit(()).unwrap()];
    let ids = made.each_ref().map(countersign::CommitReceipt::id);
    made.iter().for_each(|receipt| assert_eq!(settled(&receipt.backend_sync), Ok(Settled::NotApplicable)));
    drop((made, local));

    let backend = at.backend();
    backend.switch().off();
    let store = at.synced("a.db", &backend);
    assert_eq!(store.status().pending_events, 2, "its events are to be pushed");
    let after = store.commit(note(3)).unwrap();
    settled(&after.leader_sync).unwrap();
    assert_eq!(ids.map(|id| outcome(&store, id)), [NOT_APPLICABLE; 3]);
    assert_eq!(store.unsettled(), [after.id()]);
    let waiting = Reader::open(&at.path("a.db")).unwrap().pending(10).unwrap();
    assert_eq!(waiting.iter().map(|pending| pending.commit).collect::<Vec<_>>(), [after.id()]);
    assert!(Reader::open(&at.path("a.db")).unwrap().find(ids[0]).unwrap().stages().unwrap().backend == NOT_APPLICABLE);

    backend.switch().on();
    store.barrier(Stage::Backend).wait_timeout(LONG).unwrap().unwrap();
    assert_eq!(settled(&after.backend_sync).unwrap().position().unwrap().global, 3);
    assert_eq!(backend_args(&backend), [1, 2, 3].map(|n| format!(r#"{{"text":"{n}"}}"#)));
    assert_eq!(ids.map(|id| outcome(&store, id)), [NOT_APPLICABLE; 3]);
    drop(store);
    let store = at.synced("a.db", &backend);
    assert_eq!(ids.map(|id| outcome(&store, id)), [NOT_APPLICABLE; 3], "after a restart too");
    drop(store);
    assert_sound(&at.path("a.db"));
}

// Verifies: R1, L4
fn what_the_backend_refuses_of_it_is_a_failure_and_its_receipt_stays(at: &Place) {
    let local = at.local("a.db");
    let ids = [local.commit(todo(1)).unwrap().id(), local.commit(todo(2)).unwrap().id()];
    drop(local);
    let backend = at.backend();
    backend.refuse(|own| own.event.args.contains("todo 1"), true, "no ones here");
    let store = at.synced("a.db", &backend);
    until("it is refused", || store.unobserved_failures().unwrap().len() == 1);
    assert_eq!(ids.map(|id| outcome(&store, id)), [NOT_APPLICABLE; 2]);
    let failures = store.failures().unwrap();
    assert_eq!((failures[0].quarantined.commit, failures[0].quarantined.events.len()), (ids[0], 1));
    until("the other is pushed", || backend.head() == Ok(1));
    drop(store);
    assert_sound(&at.path("a.db"));
}

// Receipt rules 1 and 6: without its backend a store can't say that a commit is confirmed, nor that it never will be.
// Verifies: R1, R4, R5
fn what_waits_for_a_backend_waits_while_the_store_is_opened_without_it(at: &Place) {
    let backend = at.backend();
    let store = at.synced("a.db", &backend);
    let confirmed = store.commit(note(1)).unwrap();
    settled(&confirmed.backend_sync).unwrap();
    until("it is pulled", || store.status().pending_events == 0 && store.status().drained);
    backend.switch().off();
    let pending = store.commit(note(2)).unwrap();
    settled(&pending.leader_sync).unwrap();
    drop(store);

    for round in 0..2 {
        let local = at.local("a.db");
        for made_more in [false, true] {
            let found = local.receipt(pending.id()).unwrap().unwrap();
            assert_eq!((found.leader_sync.peek(), found.backend_sync.peek()), (Some(Ok(Settled::Persisted)), None));
            assert!(matches!(found.status().why(), Some(Why::NoBackend)), "{}", found.status());
            assert_eq!(outcome(&local, confirmed.id()), confirmed.backend_sync.peek(), "it was, before");
            if !made_more {
                // From here on the file holds everything as if it never were to leave.
                let made = local.commit(note(format!("local {round}"))).unwrap();
                assert_eq!(settled(&made.backend_sync), Ok(Settled::NotApplicable));
            }
        }
        let found = local.receipt(pending.id()).unwrap().unwrap();
        assert!(local.close(LONG).persisted);
        assert_eq!(found.backend_sync.wait(), Err(countersign::SyncError::Closed { durable: true }));
    }

    backend.switch().on();
    let store = at.synced("a.db", &backend);
    let found = store.receipt(pending.id()).unwrap().unwrap();
    assert_eq!(settled(&found.backend_sync).unwrap().position().unwrap().global, 2);
    until("the rest is pushed", || backend.head() == Ok(4));
    assert_eq!(journal(&store), ["1", "2", "local 0", "local 1"]);
    drop(store);
    assert_sound(&at.path("a.db"));
}
