//! The rules of a receipt, by number.

use std::thread;
use std::time::Duration;

use countersign::{
    Certainty, CommitReceipt, News, QuarantineRow, Settled, Store, SyncError, SyncState, Waited, Whereabouts, Why,
};
use futures_lite::future;
use tests::todos::{LONG, assert_sound, backend_args, filter, journal, note, settled, todo, until};

use crate::drivers::Place;

on_both_drivers!(
    never_early,
    once,
    in_order,
    everything_settles,
    waiting_changes_nothing,
    temporary_trouble_is_no_failure,
    a_failure_says_what_is_certain_and_where_the_events_are,
    restart_proof,
    a_confirmed_commit_costs_its_row,
);

fn place(receipt: &CommitReceipt) -> u64 {
    settled(&receipt.backend_sync).unwrap().position().unwrap().global
}

// Receipt rule 1: a stage never resolves before what it says is true, and only what is persisted is pushed.
// Verifies: R2, R3
fn never_early(at: &Place) {
    let backend = at.backend();
    let store = at.synced("a.db", &backend);
    until("the first pull is over", || store.status().sync == SyncState::Synced);
    let disk = rusqlite::Connection::open(at.path("a.db")).unwrap();
    disk.busy_timeout(LONG).unwrap();
    disk.execute_batch("BEGIN IMMEDIATE").unwrap();
    let receipt = store.commit(note("held up")).unwrap();
    until("the disk is busy", || store.status().storage.is_some());
    assert_eq!((receipt.leader_sync.peek(), receipt.backend_sync.peek(), backend.head()), (None, None, Ok(0)));
    assert!(matches!(receipt.status().why(), Some(Why::StorageTrouble(_))), "{}", receipt.status());
    disk.execute_batch("ROLLBACK").unwrap();
    assert_eq!(place(&receipt), 1);
    assert_eq!(receipt.leader_sync.peek(), Some(Ok(Settled::Persisted)), "backend implies leader");
    assert_eq!(backend.head(), Ok(1));
}

// Receipt rule 2: a stage settles at most once, and every waiter, early or late, sees the same.
// Verifies: R1
fn once(at: &Place) {
    let backend = at.backend();
    backend.refuse(|own| own.event.args.contains("bad"), true, "not here");
    backend.switch().off();
    let store = at.synced("a.db", &backend);
    let (good, bad) = (store.commit(note("good")).unwrap(), store.commit(note("bad")).unwrap());
    let early: Vec<_> = [&good, &bad, &good, &bad]
        .map(|receipt| {
            let stage = receipt.backend_sync.clone();
            thread::spawn(move || future::block_on(stage.into_future()))
        })
        .into_iter()
        .collect();
    backend.switch().on();
    let early: Vec<_> = early.into_iter().map(|wait| wait.join().unwrap()).collect();
    for (outcome, receipt) in early.iter().zip([&good, &bad, &good, &bad]) {
        assert_eq!(*outcome, receipt.backend_sync.wait());
        assert_eq!(*outcome, store.receipt(receipt.id()).unwrap().unwrap().backend_sync.wait());
    }
    assert!(early[0].is_ok() && matches!(early[1], Err(SyncError::Rejected { .. })));
    until("it is pulled", || store.status().pending_events == 0 && store.status().drained);
    drop(store);
    let store = at.synced("a.db", &backend);
    assert_eq!(settled(&store.receipt(bad.id()).unwrap().unwrap().backend_sync), early[1]);
    assert_eq!(settled(&store.receipt(good.id()).unwrap().unwrap().backend_sync), early[0]);
}

// Receipt rule 3: per session and stage, Ok comes in commit order; Err and NotApplicable as soon as they are known.
// Verifies: R2
fn in_order(at: &Place) {
    let backend = at.backend();
    backend.switch().off();
    let store = at.synced("a.db", &backend);
    let receipts: Vec<_> = (0..30).map(|n| store.commit(note(n)).unwrap()).collect();
    let own = store.commit(filter("mine")).unwrap();
    assert_eq!(settled(&own.backend_sync), Ok(Settled::NotApplicable));
    store.withdraw(receipts[15].id());
    assert!(matches!(settled(&receipts[15].backend_sync), Err(SyncError::Withdrawn { .. })));
    assert!(receipts.iter().enumerate().all(|(n, receipt)| n == 15 || receipt.backend_sync.peek().is_none()));
    backend.switch().on();
    let last = place(&receipts[29]);
    assert_eq!(last, 29);
    let places = receipts.iter().enumerate().filter(|(n, _)| *n != 15).map(|(_, receipt)| {
        let outcome = receipt.backend_sync.peek().expect("those before it are said before it");
        outcome.unwrap().position().unwrap().global
    });
    assert_eq!(places.collect::<Vec<_>>(), (1..=29).collect::<Vec<_>>());
}

// Receipt rule 4: once faults stop, or the store closes, every wait ends; what has no backend stage settles with the leader's.
// Verifies: R1, V1
fn everything_settles(at: &Place) {
    let backend = at.backend();
    let (synced, local) = (at.synced("a.db", &backend), at.local("b.db"));
    let none = [synced.commit(()).unwrap(), synced.commit(filter("x")).unwrap(), local.commit(note("x")).unwrap()];
    for receipt in &none {
        assert_eq!(settled(&receipt.backend_sync), Ok(Settled::NotApplicable));
        assert_eq!(receipt.leader_sync.peek(), Some(Ok(Settled::Persisted)));
        assert_eq!(receipt.status().stage(), None);
    }
    backend.switch().off();
    let receipt = synced.commit(note("left open")).unwrap();
    let waiting = thread::spawn({
        let stage = receipt.backend_sync.clone();
        move || stage.wait()
    });
    let report = synced.close(LONG);
    assert_eq!((report.persisted, &report.unresolved[..]), (true, &[receipt.id()][..]));
    assert_eq!(waiting.join().unwrap(), Err(SyncError::Closed { durable: true }));
    assert_eq!(receipt.updates().blocking().count(), 1, "how it ended, and the end");
    backend.switch().on();
    let synced = at.synced("a.db", &backend);
    assert_eq!(place(&synced.receipt(receipt.id()).unwrap().unwrap()), 1);
}

// Receipt rule 5: dropping, cancelling or timing out a wait never touches the commit.
// Verifies: R7
fn waiting_changes_nothing(at: &Place) {
    let backend = at.backend();
    backend.switch().off();
    let store = at.synced("a.db", &backend);
    let receipt = store.commit(note("x")).unwrap();
    let mut updates = receipt.updates();
    let barrier = store.barrier(countersign::Stage::Backend);
    assert!(updates.wait_timeout(LONG).is_some());
    for _ in 0..20 {
        assert!(matches!(receipt.backend_sync.wait_timeout(Duration::ZERO), Waited::Pending(_)));
        assert_eq!(future::block_on(future::poll_once(receipt.backend_sync.clone().into_future())), None);
        assert_eq!(barrier.wait_timeout(Duration::ZERO), None);
        drop((receipt.updates(), store.barrier(countersign::Stage::Backend)));
    }
    drop((updates, barrier));
    backend.switch().on();
    assert_eq!(place(&receipt), 1);
    assert_eq!(backend.head(), Ok(1));
}

// Receipt rule 6: offline, lost requests and replies, credentials, others' events, restarts leave the stage pending; it follows its events.
// Verifies: R5, R8, L6
fn temporary_trouble_is_no_failure(at: &Place) {
    let (ours, theirs) = (at.backend(), at.backend());
    let store = at.synced("a.db", &ours);
    until("the first pull is over", || store.status().sync == SyncState::Synced);
    ours.switch().off();
    let receipt = store.commit((note("ours"), note("too"))).unwrap();
    until("the outage is known", || matches!(receipt.status().why(), Some(Why::Offline { .. })));
    let other = at.synced("b.db", &theirs);
    place(&other.commit(note("theirs")).unwrap());
    ours.want_credentials("who are you?");
    ours.switch().on();
    until("credentials are wanted", || matches!(receipt.status().why(), Some(Why::NeedsAuth { .. })));
    assert_eq!(receipt.status().last_error().map(|error| error.class), Some(countersign::Class::Auth));
    let id = receipt.id();
    drop(store);
    assert_eq!(receipt.backend_sync.wait(), Err(SyncError::Closed { durable: true }));

    let store = at.synced("a.db", &ours);
    let receipt = store.receipt(id).unwrap().unwrap();
    until("credentials are wanted", || matches!(receipt.status().why(), Some(Why::NeedsAuth { .. })));
    ours.fail_next_pushes(2);
    ours.lose_next_replies(1);
    ours.take_credentials();
    store.tell(News::Authenticated);
    let Ok(Settled::Confirmed(confirmation)) = settled(&receipt.backend_sync) else { panic!("{receipt:?}") };
    assert_eq!((&confirmation.positions[..], confirmation.rebases), (&[2, 3][..], 1));
    assert_eq!(backend_args(&ours).len(), 3, "nothing twice");
    until("the session has it", || journal(&store) == ["theirs", "ours", "too"]);
    drop((store, other));
    assert_sound(&at.path("a.db"));
}

fn failed(store: &Store, receipt: &CommitReceipt) -> QuarantineRow {
    let all = store.failures().unwrap();
    all.into_iter().find(|row| row.quarantined.commit == receipt.id()).unwrap()
}

// Receipt rule 7: a failure says what is certain, with a typed cause, and where the events are.
// Verifies: R6, L4
fn a_failure_says_what_is_certain_and_where_the_events_are(at: &Place) {
    let backend = at.backend();
    backend.refuse(|own| own.event.args.contains("todo 1"), true, "no ones here");
    let store = at.synced("a.db", &backend);
    let refused = store.commit(todo(1)).unwrap();
    let error = settled(&refused.backend_sync).unwrap_err();
    assert!(matches!(&error, SyncError::Rejected { message, .. } if &**message == "no ones here"), "{error:?}");
    assert_eq!((error.certainty(), error.events()), (Certainty::NotApplied, Whereabouts::Quarantine));
    let row = failed(&store, &refused);
    assert_eq!((&*row.quarantined.events[0].event.name, row.quarantined.error, row.persisted), ("v1.TodoCreated", error, true));

    // Sent, and the reply is lost: nobody knows, until it is pulled.
    backend.lose_next_replies(1);
    backend.want_credentials("not again");
    let unknown = store.commit(todo(2)).unwrap();
    until("credentials are wanted", || matches!(unknown.status().why(), Some(Why::NeedsAuth { .. })));
    store.tell(News::Offline);
    drop(store);
    let store = at.open(at.opener("a.db").backend(backend.clone()).offline());
    let unknown = store.receipt(unknown.id()).unwrap().unwrap();
    store.withdraw(unknown.id());
    let error = settled(&unknown.backend_sync).unwrap_err();
    assert_eq!((error.certainty(), error.events()), (Certainty::Unknown, Whereabouts::Quarantine));
    assert_eq!(failed(&store, &unknown).quarantined.error, error);

    store.tell(News::OfflineForGood);
    let offline = store.commit(todo(3)).unwrap();
    let error = settled(&offline.backend_sync).unwrap_err();
    assert_eq!((error.certainty(), error.events()), (Certainty::Unknown, Whereabouts::Queued));
    assert!(store.failures().unwrap().iter().all(|row| row.quarantined.commit != offline.id()), "it is not in quarantine");
}

// Receipt rule 8: a receipt is found again after a restart: live, settled, or unknown to this store.
// Verifies: R3, R8
fn restart_proof(at: &Place) {
    let backend = at.backend();
    let store = at.synced("a.db", &backend);
    let (confirmed, own) = (store.commit(note("confirmed")).unwrap(), store.commit(filter("x")).unwrap());
    let position = place(&confirmed);
    until("it is pulled", || store.status().pending_events == 0 && store.status().drained);
    backend.switch().off();
    let pending = store.commit(note("pending")).unwrap();
    settled(&pending.leader_sync).unwrap();
    drop(store);
    let store = at.synced("a.db", &backend);
    let found = |receipt: &CommitReceipt| store.receipt(receipt.id().to_string().parse().unwrap()).unwrap().unwrap();
    let again = found(&confirmed);
    assert_eq!(place(&again), position);
    assert_eq!(again.peek(), confirmed.peek(), "with the same token too");
    assert_eq!(found(&own).backend_sync.peek(), Some(Ok(Settled::NotApplicable)));
    let live = found(&pending);
    assert_eq!((live.leader_sync.peek(), live.backend_sync.peek()), (Some(Ok(Settled::Persisted)), None));
    assert_eq!((live.status().ahead(), store.unsettled()), (0, vec![pending.id()]));
    backend.switch().on();
    assert_eq!(place(&live), 2);
    let unknown = countersign::CommitId { ordinal: 77, ..pending.id() };
    assert!(store.receipt(unknown).unwrap().is_none());
}

// Receipt rule 8: what makes a receipt restart-proof costs nothing for each confirmed event beyond its row.
// Verifies: R7, V5
fn a_confirmed_commit_costs_its_row(at: &Place) {
    let backend = at.backend();
    let store = at.synced("a.db", &backend);
    let rows = || -> Vec<(String, i64)> {
        let file = rusqlite::Connection::open_with_flags(at.path("a.db"), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let names =
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'journal' ORDER BY 1";
        let mut names = file.prepare(names).unwrap();
        let names = names.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let count = |name: &str| file.query_row(&format!("SELECT count(*) FROM \"{name}\""), [], |row| row.get(0)).unwrap();
        names.map(|name| name.unwrap()).map(|name| (name.clone(), count(&name))).collect()
    };
    let commit = |commits: usize| {
        (0..commits).for_each(|n| drop(store.commit(note(n)).unwrap()));
        store.barrier(countersign::Stage::Backend).wait().unwrap();
        until("it is pulled", || store.status().pending_events == 0 && store.status().stored);
        rows()
    };
    let (few, many) = (commit(10), commit(300));
    for ((name, few), (_, many)) in few.iter().zip(&many) {
        let expected = if name == "countersign_eventlog" { few + 300 } else { *few };
        assert_eq!(*many, expected, "rows of {name}");
    }
    assert!(few.iter().any(|(name, rows)| name == "countersign_eventlog" && *rows == 10), "{few:?}");
}
