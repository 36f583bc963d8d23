//! Two stores and a backend: convergence, outages, lost replies.

use std::path::Path;
use std::thread;

use countersign::backend::EmbeddedBackend;
use countersign::{CommitReceipt, LogState, Reader, Settled, Store, core::Pos};
use tests::todos::{LONG, assert_sound, backend_args, filter, journal, note, settled, synced, todo, until};

fn backend(dir: &tempfile::TempDir) -> EmbeddedBackend {
    EmbeddedBackend::open(dir.path().join("backend.db")).unwrap()
}

/// Everything that the file holds as confirmed.
fn confirmed(path: &Path) -> Vec<String> {
    let rows = Reader::open(path).unwrap().log(Pos::ROOT, usize::MAX >> 1).unwrap();
    rows.iter().filter(|row| row.state == LogState::Confirmed).map(|row| row.entry.event.args.to_string()).collect()
}

fn is_synced(store: &Store, backend: &EmbeddedBackend) -> bool {
    let status = store.status();
    status.pending_events == 0 && status.drained && backend.head() == Ok(status.upstream_head.global)
}

/// Each of its events stands in the backend's log where the receipt says.
fn assert_stands(receipt: &CommitReceipt, backend: &EmbeddedBackend, expected: &str) {
    let Ok(Settled::Confirmed(confirmation)) = settled(&receipt.backend_sync) else { panic!("{receipt:?}") };
    let at = confirmation.positions[0] as usize;
    assert_eq!(&*backend.log().unwrap()[at - 1].event.args, expected);
}

/// Verifies: S1, S3, S4, R4, R8, L4
#[test]
fn two_stores_that_write_at_once_converge() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(&dir);
    let paths = [dir.path().join("a.db"), dir.path().join("b.db")];
    let stores = [synced(&paths[0], &backend), synced(&paths[1], &backend)];
    let write = |store: &Store, name: &str| -> Vec<(CommitReceipt, String)> {
        let text = |n| format!("{name} {n}");
        (0..60).map(|n| (store.commit(note(text(n))).unwrap(), format!(r#"{{"text":"{}"}}"#, text(n)))).collect()
    };
    let receipts: Vec<_> = thread::scope(|scope| {
        let writers = [scope.spawn(|| write(&stores[0], "a")), scope.spawn(|| write(&stores[1], "b"))];
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    for (receipt, expected) in &receipts {
        assert_stands(receipt, &backend, expected);
    }
    let log = backend_args(&backend);
    assert_eq!(log.len(), 120);
    for store in &stores {
        until("all is synced", || is_synced(store, &backend));
    }
    until("the sessions are where the leaders are", || journal(&stores[0]) == journal(&stores[1]));
    assert_eq!(stores[0].dump(), stores[1].dump());
    drop(stores);
    for path in &paths {
        assert_eq!(confirmed(path), log);
        assert_sound(path);
    }
}

/// Verifies: R8, R3, S3
#[test]
fn a_rebase_renumbers_what_is_pending_and_its_receipt_follows() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (backend(&dir), backend(&dir));
    let store = synced(&dir.path().join("a.db"), &ours);
    until("the first pull is over", || store.status().backend.is_some());
    ours.switch().off();
    let receipt = store.commit((note("ours"), note("too"))).unwrap();
    assert_eq!(settled(&receipt.leader_sync), Ok(Settled::Persisted));
    let other = synced(&dir.path().join("b.db"), &theirs);
    for n in 0..3 {
        settled(&other.commit(note(n)).unwrap().backend_sync).unwrap();
    }
    assert_eq!(receipt.backend_sync.peek(), None);
    ours.switch().on();
    let Ok(Settled::Confirmed(confirmation)) = settled(&receipt.backend_sync) else { panic!() };
    assert_eq!((&confirmation.positions[..], confirmation.rebases), (&[4, 5][..], 1));
    until("the session has it", || journal(&store) == ["0", "1", "2", "ours", "too"]);
}

/// Verifies: R5, L6
#[test]
fn an_outage_holds_up_the_backend_stage_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(&dir);
    let store = synced(&dir.path().join("a.db"), &backend);
    settled(&store.commit(todo(0)).unwrap().backend_sync).unwrap();
    for round in 1..=5 {
        backend.switch().off();
        let receipt = store.commit(todo(round)).unwrap();
        assert_eq!(settled(&receipt.leader_sync), Ok(Settled::Persisted));
        assert_eq!(receipt.backend_sync.peek(), None);
        backend.switch().on();
        assert_eq!(settled(&receipt.backend_sync).unwrap().position().unwrap().global, round + 1);
    }
    assert_eq!(backend.head(), Ok(6));
}

/// Verifies: L6, R4
#[test]
fn a_reply_that_gets_lost_makes_no_duplicate() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(&dir);
    let store = synced(&dir.path().join("a.db"), &backend);
    for n in 0..20 {
        backend.lose_next_replies(u32::from(n % 2 == 0));
        let receipt = store.commit(todo(n)).unwrap();
        assert_eq!(settled(&receipt.backend_sync).unwrap().position().unwrap().global, n + 1);
    }
    backend.fail_next_pushes(3);
    settled(&store.commit(todo(20)).unwrap().backend_sync).unwrap();
    assert_eq!(backend.head(), Ok(21));
}

/// Verifies: L6 (accepted, the reply lost, the process gone: the receipt is live after the restart, and settles)
#[test]
fn accepted_and_not_heard_of_before_a_restart_is_confirmed_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, path) = (backend(&dir), dir.path().join("a.db"));
    let store = synced(&path, &backend);
    until("the first pull is over", || store.status().backend.is_some());
    backend.lose_next_replies(1);
    let id = store.commit(todo(1)).unwrap().id();
    until("the backend has it", || backend.head() == Ok(1));
    drop(store);
    let store = synced(&path, &backend);
    assert_eq!(settled(&store.receipt(id).unwrap().unwrap().backend_sync).unwrap().position().unwrap().global, 1);
    settled(&store.commit(todo(2)).unwrap().backend_sync).unwrap();
    assert_eq!(backend.head(), Ok(2));
}

/// Verifies: L7
#[test]
fn client_only_events_stay_with_their_client() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(&dir);
    let (store, other) = (synced(&dir.path().join("a.db"), &backend), synced(&dir.path().join("b.db"), &backend));
    let receipt = store.commit((filter("open"), todo(1), filter("done"))).unwrap();
    let Ok(Settled::Confirmed(confirmation)) = settled(&receipt.backend_sync) else { panic!() };
    assert_eq!(confirmation.positions[..], [1]);
    until("the other has the todo", || tests::todos::todos(&other) == 1);
    let shown =
        |store: &Store| store.query(|db| db.query_row("SELECT max(filter) FROM ui", [], |row| row.get::<_, Option<String>>(0)));
    assert_eq!(shown(&store).unwrap().as_deref(), Some("done"));
    assert_eq!(shown(&other).unwrap(), None);
    assert_eq!(backend.head(), Ok(1));
}

#[test]
fn a_third_store_that_comes_late_has_everything() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(&dir);
    let store = synced(&dir.path().join("a.db"), &backend);
    let notes: Vec<_> = (0..500).map(note).collect();
    settled(&store.commit(notes).unwrap().backend_sync).unwrap();
    let path = dir.path().join("late.db");
    let late = synced(&path, &backend);
    until("it has all", || is_synced(&late, &backend) && journal(&late).len() == 500);
    assert_eq!(late.dump(), store.dump());
    assert!(late.close(LONG).persisted);
    assert_sound(&path);
}

/// Verifies: L4 (a commit of more events than one push takes: the receipt settles with its last)
#[test]
fn a_commit_larger_than_a_push_settles_with_its_last_event() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (backend(&dir), backend(&dir));
    let (store, other) = (synced(&dir.path().join("a.db"), &ours), synced(&dir.path().join("b.db"), &theirs));
    let writing = thread::spawn(move || {
        let receipts: Vec<_> = (0..30).map(|n| other.commit(note(n)).unwrap()).collect();
        receipts.iter().for_each(|receipt| drop(settled(&receipt.backend_sync).unwrap()));
    });
    let receipt = store.commit((0..350).map(|n| note(format!("large {n}"))).collect::<Vec<_>>()).unwrap();
    let Ok(Settled::Confirmed(confirmation)) = settled(&receipt.backend_sync) else { panic!() };
    writing.join().unwrap();
    let log = backend_args(&ours);
    let stands: Vec<_> = confirmation.positions.iter().map(|at| log[*at as usize - 1].clone()).collect();
    assert_eq!(stands, (0..350).map(|n| format!(r#"{{"text":"large {n}"}}"#)).collect::<Vec<_>>());
    assert_eq!(log.len(), 380);
}
