//! Receipts: waiting in all ways, and finding them again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use countersign::backend::EmbeddedBackend;
use countersign::{CommitId, SessionId, Settled, Stage, SyncError, Waited};
use futures_lite::future;
use tests::driver::Start as _;
use tests::todos::{LONG, filter, local, opener, schema, settled, synced, todo, until};

fn backend(dir: &tempfile::TempDir) -> EmbeddedBackend {
    EmbeddedBackend::open(dir.path().join("backend.db")).unwrap()
}

/// Verifies: R2
#[test]
fn the_leader_comes_first_and_then_the_backend() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, path) = (backend(&dir), dir.path().join("a.db"));
    let store = synced(&path, &backend);
    let receipts: Vec<_> = (0..50).map(|n| store.commit(todo(n)).unwrap()).collect();
    for (n, receipt) in (1..).zip(&receipts) {
        let confirmed = settled(&receipt.backend_sync).unwrap();
        assert_eq!(receipt.leader_sync.peek(), Some(Ok(Settled::Persisted)), "backend implies leader");
        assert_eq!(confirmed.position().unwrap().global, n);
    }
    assert!(receipts.windows(2).all(|pair| pair[0].id() < pair[1].id()));
}

#[test]
fn a_stage_is_awaited_by_value_and_by_reference_on_any_executor() {
    let dir = tempfile::tempdir().unwrap();
    let store = synced(&dir.path().join("a.db"), &backend(&dir));
    let receipt = store.commit(todo(1)).unwrap();
    let (by_reference, by_value) = future::block_on(async {
        let leader = (&receipt.leader_sync).await;
        (leader, receipt.backend_sync.clone().await)
    });
    assert_eq!(by_reference, Ok(Settled::Persisted));
    assert_eq!(by_value.unwrap().position().unwrap().to_string(), "e1");
    let elsewhere = receipt.backend_sync.clone();
    let outcome = thread::spawn(move || future::block_on(elsewhere.into_future())).join().unwrap();
    assert_eq!(Some(outcome), receipt.backend_sync.peek());
}

/// Verifies: R1
#[test]
fn a_hundred_waiters_and_a_late_one_see_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(&dir);
    backend.switch().off();
    let store = synced(&dir.path().join("a.db"), &backend);
    let receipt = store.commit(todo(1)).unwrap();
    let waiting = AtomicUsize::new(0);
    let outcomes: Vec<_> = thread::scope(|scope| {
        let waits: Vec<_> = (0..100)
            .map(|n| {
                let (stage, waiting) = (&receipt.backend_sync, &waiting);
                scope.spawn(move || {
                    waiting.fetch_add(1, Ordering::SeqCst);
                    if n % 2 == 0 { settled(stage) } else { future::block_on(stage.into_future()) }
                })
            })
            .collect();
        until("all wait", || waiting.load(Ordering::SeqCst) == 100);
        backend.switch().on();
        waits.into_iter().map(|wait| wait.join().unwrap()).collect()
    });
    let late = receipt.backend_sync.wait();
    assert!(late.is_ok());
    assert!(outcomes.iter().all(|outcome| *outcome == late));
}

/// Verifies: R5
#[test]
fn a_wait_that_times_out_says_what_it_waits_for_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(&dir);
    backend.switch().off();
    let store = synced(&dir.path().join("a.db"), &backend);
    let receipt = store.commit(todo(1)).unwrap();
    assert_eq!(settled(&receipt.leader_sync), Ok(Settled::Persisted));
    until("the outage is known", || store.status().pull_error.is_some());
    let Waited::Pending(why) = receipt.backend_sync.wait_timeout(Duration::from_millis(1)) else { panic!("offline") };
    assert_eq!(why.stage, Stage::Backend);
    assert!(why.to_string().contains("the embedded backend is switched off"), "{why}");
    for _ in 0..10 {
        drop(receipt.backend_sync.clone().into_future());
        assert_eq!(future::block_on(future::poll_once(receipt.backend_sync.clone().into_future())), None);
    }
    backend.switch().on();
    assert!(settled(&receipt.backend_sync).is_ok());
}

/// Verifies: R7
#[test]
fn a_receipt_neither_keeps_the_store_open_nor_needs_to_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, path) = (backend(&dir), dir.path().join("a.db"));
    backend.switch().off();
    let store = synced(&path, &backend);
    for n in 0..100 {
        drop(store.commit(todo(n)).unwrap());
    }
    let kept = store.commit(todo(100)).unwrap();
    drop(store);
    assert_eq!(kept.backend_sync.wait(), Err(SyncError::Closed { durable: true }));
    assert_eq!(kept.leader_sync.peek(), Some(Ok(Settled::Persisted)));
    backend.switch().on();
    let store = synced(&path, &backend);
    let again = store.receipt(kept.id()).unwrap().unwrap();
    assert_eq!(settled(&again.backend_sync).unwrap().position().unwrap().global, 101);
}

/// Verifies: R3, R8
#[test]
fn after_a_restart_a_receipt_is_live_or_settled_or_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, path) = (backend(&dir), dir.path().join("a.db"));
    let store = synced(&path, &backend);
    let confirmed = store.commit((todo(1), filter("all"), todo(2))).unwrap();
    let positions = settled(&confirmed.backend_sync).unwrap();
    let client_only = store.commit(filter("open")).unwrap();
    let empty = store.commit(()).unwrap();
    backend.switch().off();
    let pending = store.commit(todo(3)).unwrap();
    assert!(store.close(LONG).persisted);

    let store = synced(&path, &backend);
    let find = |id| store.receipt(id).unwrap();
    let again = find(confirmed.id()).unwrap();
    assert_eq!(again.leader_sync.peek(), Some(Ok(Settled::Persisted)));
    for id in [client_only.id(), empty.id()] {
        let again = find(id).unwrap();
        assert_eq!(again.leader_sync.peek(), Some(Ok(Settled::Persisted)));
        assert_eq!(again.backend_sync.peek(), Some(Ok(Settled::NotApplicable)));
    }
    let live = find(pending.id()).unwrap();
    assert_eq!((live.leader_sync.peek(), live.backend_sync.peek()), (Some(Ok(Settled::Persisted)), None));
    let session = pending.id().session;
    for unknown in [CommitId { session, ordinal: 99 }, CommitId { session: SessionId([1; 16]), ordinal: 1 }] {
        assert!(find(unknown).is_none(), "{unknown}");
    }
    assert_eq!("not an id".parse::<CommitId>().ok(), None);
    // Said on an acknowledgement alone, it may be open again until the next pull, and settles the same.
    let read_back: CommitId = pending.id().to_string().parse().unwrap();
    backend.switch().on();
    assert_eq!(settled(&again.backend_sync), Ok(positions));
    assert_eq!(settled(&find(read_back).unwrap().backend_sync).unwrap().position().unwrap().global, 3);
    assert_eq!(settled(&live.backend_sync).unwrap().position().unwrap().global, 3, "every handle hears of it");
}

/// Verifies: R6
#[test]
fn after_a_restart_a_failed_receipt_has_failed_with_the_same_cause() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, path) = (backend(&dir), dir.path().join("a.db"));
    backend.refuse(|own| own.event.args.contains("todo 1"), true, "no ones here");
    let store = synced(&path, &backend);
    let receipt = store.commit(todo(1)).unwrap();
    let failure = settled(&receipt.backend_sync).unwrap_err();
    assert!(matches!(&failure, SyncError::Rejected { message, .. } if message.contains("no ones")), "{failure:?}");
    drop(store);
    let store = synced(&path, &backend);
    let again = store.receipt(receipt.id()).unwrap().unwrap();
    assert_eq!(again.leader_sync.peek(), Some(Ok(Settled::Persisted)), "it was persisted, and then refused");
    assert_eq!(again.backend_sync.peek(), Some(Err(failure)));
}

/// Verifies: R1, R4 (the whole log becomes pending, with receipts up to that point staying as they are)
#[test]
fn a_backend_that_is_attached_later_is_given_the_whole_log() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, path) = (backend(&dir), dir.path().join("a.db"));
    let store = local(&path);
    let before = store.commit(todo(1)).unwrap();
    store.commit(filter("open")).unwrap();
    store.commit((todo(2), todo(3))).unwrap();
    assert_eq!(settled(&before.backend_sync), Ok(Settled::NotApplicable));
    drop(store);

    let store = synced(&path, &backend);
    let after = store.commit(todo(4)).unwrap();
    assert_eq!(settled(&after.backend_sync).unwrap().position().unwrap().global, 4);
    let ids: Vec<_> = backend.log().unwrap().iter().map(|event| event.event.args.to_string()).collect();
    assert_eq!(ids, (1..=4).map(|n| format!(r#"{{"id":"{n}","text":"todo {n}"}}"#)).collect::<Vec<_>>());
    assert_eq!(tests::todos::todos(&store), 4);
    drop(store);
    tests::todos::assert_sound(&path);
}

#[test]
fn a_backend_attached_later_that_others_have_written_to_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, path) = (backend(&dir), dir.path().join("a.db"));
    let other = synced(&dir.path().join("o.db"), &backend);
    settled(&other.commit(tests::todos::note("theirs")).unwrap().backend_sync).unwrap();
    let store = local(&path);
    store.commit(tests::todos::note("ours")).unwrap();
    drop(store);
    let store = opener(&path).schema(schema()).backend(backend.clone()).start().unwrap();
    until("both have both", || store.status().pending_events == 0 && backend.head() == Ok(2));
    until("the session has it", || tests::todos::journal(&store) == ["theirs", "ours"]);
    drop(store);
    tests::todos::assert_sound(&path);
}
