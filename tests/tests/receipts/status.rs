//! What a receipt says of itself while it is open.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use countersign::testing::TestClock;
use countersign::{Class, Config, ReceiptStatus, Schema, Stage, Store, SyncError, SyncState, Why};
use futures_lite::{StreamExt as _, future};
use tests::todos::{LONG, Noted, config, note, settled, todo, until};

use crate::drivers::Place;
use crate::gate::{Gate, Gated};

on_both_drivers!(
    an_outage_with_its_attempts_and_the_next_one,
    the_disk_and_what_is_wrong_with_it,
    pulling_pushing_and_withdrawing,
    stuck_and_fenced_behind_it,
    what_is_ahead_of_it,
    updates_come_as_a_stream_and_to_a_thread,
    updates_end_with_the_store,
);

fn an_outage_with_its_attempts_and_the_next_one(at: &Place) {
    let backend = at.backend();
    backend.switch().off();
    let clock = TestClock::new();
    let store = at.open(at.opener("a.db").backend(backend.clone()).config(Config::default()).clock(clock.clone()));
    let receipt = store.commit(note("x")).unwrap();
    settled(&receipt.leader_sync).unwrap();
    let seen = |status: &ReceiptStatus| status.attempt();
    until("it has failed once", || seen(&receipt.status()) == 1);
    let status = receipt.status();
    assert_eq!(status.stage(), Some(Stage::Backend));
    assert!(matches!(status.why(), Some(Why::Offline { .. })), "{status}");
    assert_eq!(status.last_error().map(|error| error.class), Some(Class::Retryable));
    let wait = status.next_retry().unwrap().duration_since(clock.now()).unwrap();
    assert!(wait <= Duration::from_secs(1) && wait >= Duration::from_millis(750), "{wait:?}");
    assert!(
        status.to_string().contains("the backend is not reached: the embedded backend is switched off (attempt 1)"),
        "{status}"
    );
    // Time that does not pass brings no attempt; a second of it does.
    clock.advance(wait);
    until("it has failed again", || seen(&receipt.status()) == 2);
    backend.switch().on();
    clock.advance(Duration::from_secs(2));
    settled(&receipt.backend_sync).unwrap();
    assert_eq!((receipt.status().stage(), receipt.status().waiting), (None, None));
}

fn the_disk_and_what_is_wrong_with_it(at: &Place) {
    let (there, is_there) = mpsc::channel();
    let (go_on, may_go) = mpsc::channel();
    let (there, may_go) = (Mutex::new(there), Mutex::new(may_go));
    let schema = Schema::builder(1)
        .state_sql("CREATE TABLE journal (line INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")
        .event::<Noted>(move |db, note| {
            if note.text == "slow" && std::thread::current().name() == Some("countersign-storage") {
                there.lock().unwrap().send(()).unwrap();
                may_go.lock().unwrap().recv().unwrap();
            }
            db.execute("INSERT INTO journal (text) VALUES (?1)", [note.text]).map(drop)
        })
        .build()
        .unwrap();
    let store = at.open(Store::open(at.path("a.db")).schema(schema).config(config()));
    let slow = store.commit(note("slow")).unwrap();
    is_there.recv().unwrap();
    let behind = store.commit(note("behind")).unwrap();
    for (receipt, ahead) in [(&slow, 0), (&behind, 1)] {
        let status = receipt.status();
        assert_eq!((status.stage(), status.why(), status.ahead()), (Some(Stage::Leader), Some(&Why::Persisting), ahead));
        assert_eq!((status.attempt(), status.next_retry(), status.last_error()), (0, None, None));
    }
    go_on.send(()).unwrap();
    settled(&behind.leader_sync).unwrap();

    if cfg!(unix) {
        std::fs::remove_file(at.path("a.db")).unwrap();
        let lost = store.commit(note("lost")).unwrap();
        until("it is noticed", || matches!(lost.status().why(), Some(Why::StorageBroken { .. })));
        assert_eq!(lost.status().last_error().map(|error| error.class), Some(Class::Defect));
        let report = store.close(LONG);
        assert_eq!(report.unpersisted.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [lost.id()], "it is handed back");
        assert_eq!(lost.leader_sync.wait(), Err(SyncError::Closed { durable: false }));
    }
}

// Verifies: R1, L6 (what is on its way when it is withdrawn, and is taken, stays confirmed)
fn pulling_pushing_and_withdrawing(at: &Place) {
    let gate = Gate::default();
    gate.set(|closed| closed.pulls = true);
    let store = at.open(at.opener("a.db").backend(Gated(at.backend(), gate.clone())));
    let (first, second) = (store.commit(note("first")).unwrap(), store.commit(note("second")).unwrap());
    settled(&second.leader_sync).unwrap();
    assert_eq!(first.status().why(), Some(&Why::Pulling), "what others have written comes first");
    gate.set(|closed| (closed.pulls, closed.pushes) = (false, true));
    until("they are on their way", || gate.has_a_push());
    for (receipt, ahead) in [(&first, 0), (&second, 1)] {
        let status = receipt.status();
        assert_eq!((status.stage(), status.why(), status.ahead()), (Some(Stage::Backend), Some(&Why::Pushing), ahead));
    }
    store.withdraw(first.id());
    assert_eq!(first.status().why(), Some(&Why::Withdrawing), "nobody knows yet what becomes of it");
    assert_eq!(first.backend_sync.peek(), None);
    gate.set(|closed| closed.pushes = false);
    assert_eq!(settled(&first.backend_sync).unwrap().position().unwrap().global, 1);
    assert_eq!(settled(&second.backend_sync).unwrap().position().unwrap().global, 2);
}

// Verifies: L5
fn stuck_and_fenced_behind_it(at: &Place) {
    let backend = at.backend();
    backend.refuse(|own| own.event.args.contains("todo 1"), false, "not now");
    let store = at.synced("a.db", &backend);
    let (stuck, fenced) = (store.commit(todo(1)).unwrap(), store.commit(todo(2)).unwrap());
    until("it is stuck", || matches!(stuck.status().why(), Some(Why::Stuck { message }) if &**message == "not now"));
    let status = fenced.status();
    assert!(matches!(status.why(), Some(Why::Fenced { behind, .. }) if *behind == stuck.id()), "{status}");
    assert_eq!((status.ahead(), status.last_error().map(|error| error.class)), (1, Some(Class::Rejected)));
    assert!(status.next_retry().is_some() && status.attempt() > 0);
    store.withdraw(stuck.id());
    settled(&fenced.backend_sync).unwrap();
}

fn what_is_ahead_of_it(at: &Place) {
    let backend = at.backend();
    backend.switch().off();
    let store = at.synced("a.db", &backend);
    let other = store.session().unwrap();
    let receipts: Vec<_> = (0..10).map(|n| store.commit((note(n), note("and"))).unwrap()).collect();
    settled(&receipts[9].leader_sync).unwrap();
    let behind = other.commit(note("behind")).unwrap();
    settled(&behind.leader_sync).unwrap();
    let ahead: Vec<_> = receipts.iter().map(|receipt| receipt.status().ahead()).collect();
    assert_eq!(ahead, (0..10).collect::<Vec<_>>());
    assert_eq!(behind.status().ahead(), 10, "of other sessions too");
    store.withdraw(receipts[0].id());
    settled(&receipts[0].backend_sync).unwrap_err();
    assert_eq!(behind.status().ahead(), 9);
}

// Verifies: V5 (newest wins)
fn updates_come_as_a_stream_and_to_a_thread(at: &Place) {
    let backend = at.backend();
    backend.switch().off();
    let store = at.synced("a.db", &backend);
    let receipt = store.commit(note("x")).unwrap();
    until("the outage is known", || matches!(receipt.status().why(), Some(Why::Offline { .. })));
    let (mut streamed, blocking, mut slow) = (receipt.updates(), receipt.updates(), receipt.updates());
    let first = future::block_on(streamed.next()).unwrap();
    assert!(matches!(first.why(), Some(Why::Offline { .. })), "{first}");
    let on_thread = std::thread::spawn(move || blocking.blocking().collect::<Vec<_>>());
    backend.switch().on();
    let told: Vec<_> = future::block_on(streamed.collect());
    assert_eq!(told.last().unwrap().stage(), None);
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "only changes are told");
    let on_thread = on_thread.join().unwrap();
    assert_eq!(on_thread.last(), told.last());
    assert_eq!((slow.wait().as_ref(), slow.wait()), (told.last(), None), "who comes late is told the newest, and the end");
}

fn updates_end_with_the_store(at: &Place) {
    let backend = at.backend();
    let store = at.open(at.opener("a.db").backend(backend.clone()).config(config()));
    until("the first pull is over", || store.status().sync == SyncState::Synced);
    backend.switch().off();
    let receipt = store.commit(note("x")).unwrap();
    settled(&receipt.leader_sync).unwrap();
    let told = std::thread::spawn({
        let updates = receipt.updates();
        move || updates.blocking().last()
    });
    drop(store);
    let last = told.join().unwrap().unwrap();
    assert_eq!((last.stage(), last.waiting), (None, None));
    assert!(matches!(last.backend, Some(Err(countersign::SyncError::Closed { durable: true }))));
}
