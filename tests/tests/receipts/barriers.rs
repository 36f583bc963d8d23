//! Waiting for everything so far.

use std::thread;

use countersign::{BarrierError, Settled, Stage};
use futures_lite::future;
use tests::todos::{LONG, filter, note, settled, todo, until};

use crate::drivers::Place;

on_both_drivers!(
    it_covers_every_session_and_earlier_openings_and_nothing_later,
    it_names_what_has_failed,
    what_races_with_it_is_covered_in_order,
    it_ends_with_the_store,
);

// Verifies: R2, R8
fn it_covers_every_session_and_earlier_openings_and_nothing_later(at: &Place) {
    let backend = at.backend();
    backend.switch().off();
    let store = at.synced("a.db", &backend);
    store.barrier(Stage::Backend).wait_timeout(LONG).unwrap().unwrap();
    let earlier = store.commit(note("earlier")).unwrap();
    drop(store);
    let store = at.synced("a.db", &backend);
    let (one, two) = (store.session().unwrap(), store.session().unwrap());
    let covered = [one.commit(note(1)).unwrap(), two.commit(note(2)).unwrap(), store.commit(filter("x")).unwrap()];
    drop(two);
    let leader = store.barrier(Stage::Leader);
    leader.wait_timeout(LONG).unwrap().unwrap();
    assert!(covered.iter().all(|receipt| receipt.leader_sync.peek() == Some(Ok(Settled::Persisted))));
    let barrier = store.barrier(Stage::Backend);
    backend.refuse(|own| own.event.args.contains("later"), false, "not now");
    let later = store.commit(note("later")).unwrap();
    assert_eq!(barrier.peek(), None);
    backend.switch().on();
    future::block_on(async { (&barrier).await }).unwrap();
    assert!(covered.iter().all(|receipt| receipt.backend_sync.peek().is_some_and(|outcome| outcome.is_ok())));
    assert!(store.receipt(earlier.id()).unwrap().unwrap().backend_sync.peek().is_some());
    assert_eq!((later.backend_sync.peek(), barrier.clone().peek()), (None, Some(Ok(()))));
}

fn it_names_what_has_failed(at: &Place) {
    let backend = at.backend();
    backend.switch().off();
    backend.refuse(|own| own.event.args.contains("todo 2"), true, "not here");
    let store = at.synced("a.db", &backend);
    let receipts: Vec<_> = (1..=3).map(|n| store.commit(todo(n)).unwrap()).collect();
    let barrier = store.barrier(Stage::Backend);
    backend.switch().on();
    let Some(Err(BarrierError::Failed { commits, error })) = barrier.wait_timeout(LONG) else { panic!("{barrier:?}") };
    assert_eq!((commits, Err(error)), (vec![receipts[1].id()], settled(&receipts[1].backend_sync)));
    assert!(receipts[2].backend_sync.peek().is_some_and(|outcome| outcome.is_ok()), "it waits for the others all the same");
    assert_eq!(store.barrier(Stage::Backend).peek(), Some(Ok(())), "what has failed before is not covered");
}

// Verifies: R2
fn what_races_with_it_is_covered_in_order(at: &Place) {
    let store = at.local("a.db");
    thread::scope(|scope| {
        let committing: Vec<_> = (0..2)
            .map(|_| {
                let session = store.session().unwrap();
                scope.spawn(move || (0..200).map(|n| session.commit(note(n)).unwrap()).collect::<Vec<_>>())
            })
            .collect();
        for _ in 0..20 {
            // Returned before the barrier is asked for: covered.
            let before = store.commit(note("before")).unwrap();
            store.barrier(Stage::Leader).wait_timeout(LONG).unwrap().unwrap();
            assert_eq!(before.leader_sync.peek(), Some(Ok(Settled::Persisted)));
        }
        for thread in committing {
            let receipts = thread.join().unwrap();
            store.barrier(Stage::Leader).wait_timeout(LONG).unwrap().unwrap();
            assert!(receipts.iter().all(|receipt| receipt.leader_sync.peek().is_some()));
        }
    });
}

// Verifies: R1
fn it_ends_with_the_store(at: &Place) {
    let backend = at.backend();
    backend.switch().off();
    let store = at.synced("a.db", &backend);
    store.commit(note("x")).unwrap();
    let (barrier, leader) = (store.barrier(Stage::Backend), store.barrier(Stage::Leader));
    let waiting = thread::spawn({
        let barrier = barrier.clone();
        move || barrier.wait()
    });
    let clone = store.clone();
    assert!(store.close(LONG).persisted);
    assert_eq!(waiting.join().unwrap(), Err(BarrierError::Closed));
    assert_eq!((leader.peek(), clone.barrier(Stage::Leader).wait()), (Some(Ok(())), Err(BarrierError::Closed)));
    until("nothing else is asked of it", || barrier.peek() == Some(Err(BarrierError::Closed)));
    let inside = clone.query(|_| Ok(clone.barrier(Stage::Leader).wait())).unwrap();
    assert_eq!(inside, Err(BarrierError::Closed));
}
