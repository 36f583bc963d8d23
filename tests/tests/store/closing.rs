//! Closing, dropping, and opening again right after.

use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use countersign::backend::{Backend, EmbeddedBackend, Interrupter, Lanes, PullLane, Who};
use countersign::core::{BackendFailure, Page, Pull};
use countersign::{CommitError, Reader, Settled, SyncError, core};
use tests::driver::Start as _;
use tests::todos::{LONG, assert_sound, journal, local, note, opener, reopened, settled, synced, todo, todos};

/// Verifies: R1, L4
#[test]
fn a_close_persists_reports_and_ends_every_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, path) = (EmbeddedBackend::open(dir.path().join("b.db")).unwrap(), dir.path().join("a.db"));
    let store = synced(&path, &backend);
    settled(&store.commit(todo(0)).unwrap().backend_sync).unwrap();
    backend.switch().off();
    let receipts: Vec<_> = (1..=50).map(|n| store.commit(todo(n)).unwrap()).collect();
    let waiting = {
        let stage = receipts[7].backend_sync.clone();
        thread::spawn(move || stage.wait())
    };
    let report = store.close(LONG);
    assert!(report.persisted && report.unpersisted.is_empty() && report.uncertain.is_empty());
    assert_eq!(report.confirmed, 1);
    assert_eq!(report.unresolved, receipts.iter().map(|receipt| receipt.id()).collect::<Vec<_>>());
    assert_eq!(waiting.join().unwrap(), Err(SyncError::Closed { durable: true }));
    for receipt in &receipts {
        assert_eq!(receipt.leader_sync.peek(), Some(Ok(Settled::Persisted)));
        assert_eq!(receipt.backend_sync.wait(), Err(SyncError::Closed { durable: true }));
    }
    backend.switch().on();
    let store = synced(&path, &backend);
    let last = store.receipt(receipts[49].id()).unwrap().unwrap();
    assert_eq!(settled(&last.backend_sync).unwrap().position().unwrap().global, 51);
}

/// Verifies: L4, R3
#[test]
fn a_store_opens_again_right_after_it_was_closed_or_dropped_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, path) = (EmbeddedBackend::open(dir.path().join("b.db")).unwrap(), dir.path().join("a.db"));
    for round in 0..20 {
        let store = synced(&path, &backend);
        assert_eq!(journal(&store).len(), round * 5);
        for n in 0..5 {
            store.commit(note(format!("{round} {n}"))).unwrap();
        }
        if round % 2 == 0 {
            drop(store);
        } else {
            assert!(store.close(LONG).persisted);
        }
    }
    assert_sound(&path);
}

/// Verifies: R1 (a commit that meets a close is taken and settles, or is refused)
#[test]
fn commits_that_meet_a_close_are_persisted_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let path = dir.path().join(format!("{round}.db"));
        let store = local(&path);
        let clone = store.clone();
        let (started, is_started) = mpsc::channel();
        let committing = thread::spawn(move || {
            let mut taken = Vec::new();
            for n in 0.. {
                match clone.commit(note(n)) {
                    Ok(receipt) => taken.push(receipt),
                    Err(CommitError::Refused(core::CommitError::Closing)) => break,
                    Err(error) => panic!("{error}"),
                }
                let _ = started.send(());
            }
            taken
        });
        is_started.recv().unwrap();
        let report = store.close(LONG);
        let taken = committing.join().unwrap();
        assert!(report.persisted, "{report:?}");
        for receipt in &taken {
            assert_eq!(receipt.leader_sync.peek(), Some(Ok(Settled::Persisted)));
        }
        assert_eq!(journal(&local(&path)).len(), taken.len());
    }
}

/// A schema whose only materialiser, called for the first time, says that it is there, and waits.
fn waiting() -> (countersign::Schema, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (there, is_there) = mpsc::channel();
    let (go_on, may_go) = mpsc::channel();
    let once = Mutex::new(Some((there, may_go)));
    let schema = countersign::Schema::builder(1)
        .state_sql("CREATE TABLE journal (line INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")
        .event::<tests::todos::Noted>(move |db, note| {
            if let Some((there, may_go)) = once.lock().unwrap().take() {
                there.send(()).unwrap();
                may_go.recv().unwrap();
            }
            db.execute("INSERT INTO journal (text) VALUES (?1)", [note.text]).map(drop)
        })
        .build()
        .unwrap();
    (schema, is_there, go_on)
}

/// Verifies: R1 (a close waits for a commit that is being applied)
#[test]
fn a_commit_that_is_being_applied_is_waited_for_by_close() {
    let dir = tempfile::tempdir().unwrap();
    let (schema, is_there, go_on) = waiting();
    let store = opener(&dir.path().join("a.db")).schema(schema).start().unwrap();
    let clone = store.clone();
    let committing = thread::spawn(move || clone.commit(note("slow")).unwrap());
    is_there.recv().unwrap();
    let (closing, watch) = (store.clone(), store.clone());
    let closing = thread::spawn(move || closing.close(LONG));
    tests::todos::until("it is closing", || !watch.status().drained);
    go_on.send(()).unwrap();
    let receipt = committing.join().unwrap();
    assert!(closing.join().unwrap().persisted);
    assert_eq!(receipt.leader_sync.peek(), Some(Ok(Settled::Persisted)));
}

/// Verifies: R1, L4 (and one that it has not the time to wait for has not happened)
#[test]
fn a_commit_that_ends_after_the_store_was_closed_is_refused_and_happens_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let (schema, is_there, go_on) = waiting();
    let store = opener(&path).schema(schema).start().unwrap();
    let clone = store.clone();
    let committing = thread::spawn(move || (clone.commit(note("too late")), clone));
    is_there.recv().unwrap();
    assert!(store.close(Duration::ZERO).unpersisted.is_empty());
    go_on.send(()).unwrap();
    let (refused, clone) = committing.join().unwrap();
    assert_eq!(refused.unwrap_err(), CommitError::Refused(core::CommitError::Closing));
    assert_eq!(journal(&clone), [""; 0]);
    drop(clone);
    let (schema, ..) = waiting();
    let mut store = None;
    tests::todos::until("the file is let go", || {
        store = opener(&path).schema(schema.clone()).start().ok();
        store.is_some()
    });
    assert_eq!(journal(&store.unwrap()), [""; 0]);
}

/// Verifies: L4 (nothing is handed back and stored all the same)
#[test]
fn a_close_without_time_hands_back_what_is_not_stored_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut sometimes_handed_back = false;
    for round in 0..20 {
        let path = dir.path().join(format!("{round}.db"));
        let store = local(&path);
        let receipts: Vec<_> = (0..200).map(|n| store.commit(note(n)).unwrap()).collect();
        let report = store.close(Duration::ZERO);
        sometimes_handed_back |= !report.persisted;
        // The file is let go as soon as the transaction under way has ended.
        let store = reopened(&path);
        let find = |id| store.receipt(id).unwrap();
        for (id, _) in &report.unpersisted {
            assert!(find(*id).is_none(), "handed back");
        }
        let lost = |id| report.unpersisted.iter().chain(&report.uncertain).any(|(lost, _)| *lost == id);
        for receipt in &receipts {
            assert!(find(receipt.id()).is_some() || lost(receipt.id()), "{} is nowhere", receipt.id());
        }
        let stored = receipts.iter().filter(|receipt| find(receipt.id()).is_some()).count();
        assert_eq!(journal(&store).len(), stored);
    }
    assert!(sometimes_handed_back, "never met");
}

#[test]
fn the_last_handle_may_be_dropped_on_any_thread_and_inside_a_query_of_another_store() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.db"), dir.path().join("b.db"));
    let (one, two) = (local(&a), local(&b));
    two.commit(todo(1)).unwrap();
    one.query(|_| {
        drop(two);
        Ok(())
    })
    .unwrap();
    thread::spawn(move || drop(one)).join().unwrap();
    assert_eq!(todos(&local(&a)), 0);
    assert_eq!(todos(&reopened(&b)), 1);
}

/// A waker on whose call the last handle is dropped: on whichever thread that is.
struct DropsStore(std::sync::Mutex<Option<countersign::Store>>);

impl std::task::Wake for DropsStore {
    fn wake(self: std::sync::Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn the_last_handle_may_be_dropped_by_a_waker_on_a_thread_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    for round in 0..10 {
        let store = reopened(&path);
        assert_eq!(todos(&store), round);
        let receipt = store.commit(todo(round)).unwrap();
        let waker = std::task::Waker::from(std::sync::Arc::new(DropsStore(Some(store).into())));
        let mut wait = std::pin::pin!(receipt.leader_sync.clone().into_future());
        let _ = std::future::Future::poll(wait.as_mut(), &mut std::task::Context::from_waker(&waker));
        drop(waker);
        // Persisted, whoever was first: the waker, or this.
        assert_eq!(receipt.leader_sync.wait(), Ok(Settled::Persisted));
    }
}

/// A backend that takes pushes and never says what has come since a stream was begun.
struct Silent(EmbeddedBackend);

struct SilentPull {
    pulls: Box<dyn PullLane>,
    interrupted: Arc<(Mutex<bool>, Condvar)>,
}

impl Backend for Silent {
    fn lanes(&self, who: &Who) -> Result<Lanes, BackendFailure> {
        let Lanes { push, pull } = self.0.lanes(who)?;
        Ok(Lanes { push, pull: Box::new(SilentPull { pulls: pull, interrupted: Arc::default() }) })
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

impl PullLane for SilentPull {
    fn pull(&mut self, pull: &Pull) -> Result<Page, BackendFailure> {
        if pull.fresh {
            return self.pulls.pull(pull);
        }
        let (interrupted, told) = &*self.interrupted;
        let mut interrupted = told.wait_while(interrupted.lock().unwrap(), |interrupted| !*interrupted).unwrap();
        *interrupted = false;
        Err(countersign::backend::interrupted())
    }

    fn interrupter(&self) -> Interrupter {
        let interrupted = self.interrupted.clone();
        Interrupter::new(move || {
            *interrupted.0.lock().unwrap() = true;
            interrupted.1.notify_all();
        })
    }
}

/// Verifies: R1, R8 (what a receipt has said before a clean close, it says after it, without a backend to ask)
#[test]
fn a_commit_that_was_only_acknowledged_is_confirmed_after_a_close() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, path) = (EmbeddedBackend::open(dir.path().join("b.db")).unwrap(), dir.path().join("a.db"));
    let ids: Vec<_> = (0..5)
        .map(|round| {
            backend.switch().on();
            let store = opener(&path).backend(Silent(backend.clone())).start().unwrap();
            let receipt = store.commit(note(round)).unwrap();
            let said = settled(&receipt.backend_sync);
            if round % 2 == 0 {
                let report = store.close(LONG);
                assert!(report.persisted && report.unresolved.is_empty(), "{report:?}");
            } else {
                drop(store);
            }
            backend.switch().off();
            let stored = Reader::open(&path).unwrap().find(receipt.id()).unwrap();
            assert!(stored.confirmed(), "{stored:?}");
            let store = opener(&path).backend(Silent(backend.clone())).start().unwrap();
            let again = store.receipt(receipt.id()).unwrap().unwrap();
            assert_eq!(again.backend_sync.peek(), Some(said));
            receipt.id()
        })
        .collect();
    backend.switch().on();
    let store = synced(&path, &backend);
    settled(&store.commit(note("last")).unwrap().backend_sync).unwrap();
    for (id, at) in ids.into_iter().zip(1..) {
        let receipt = store.receipt(id).unwrap().unwrap();
        assert_eq!(settled(&receipt.backend_sync).unwrap().position().unwrap().global, at, "nothing was pushed twice");
    }
    assert_eq!(backend.head(), Ok(6));
    drop(store);
    assert_sound(&path);
}
