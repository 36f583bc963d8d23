//! Trouble: a backend that refuses, or is another one; storage that is in trouble.

use std::time::Duration;

use countersign::backend::{Backend, EmbeddedBackend, Lanes, PushLane, Who};
use countersign::core::{BackendFailure, Push, StorageClass, StuckPolicy};
use countersign::{
    Certainty, Config, Found, IdentityPolicy, InvalidPush, News, Reader, Settled, Store, SyncError, SyncState, Waited,
    Whereabouts,
};
use tests::driver::Start as _;
use tests::todos::{LONG, assert_sound, backend_args, config, note, opener, settled, synced, todo, todos, until};

fn backend(dir: &tempfile::TempDir) -> EmbeddedBackend {
    EmbeddedBackend::open(dir.path().join("backend.db")).unwrap()
}

/// Verifies: R6, L4
#[test]
fn what_is_refused_for_ever_goes_into_quarantine_and_later_commits_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, path) = (backend(&dir), dir.path().join("a.db"));
    backend.refuse(|own| own.event.args.contains("todo 2"), true, "forbidden here");
    let store = synced(&path, &backend);
    let receipts: Vec<_> = (1..=4).map(|n| store.commit(todo(n)).unwrap()).collect();
    let failure = settled(&receipts[1].backend_sync).unwrap_err();
    assert!(matches!(&failure, SyncError::Rejected { certainty: Certainty::NotApplied, .. }), "{failure:?}");
    assert_eq!(failure.events(), Whereabouts::Quarantine);
    let places = [0, 2, 3].map(|n| settled(&receipts[n].backend_sync).unwrap().position().unwrap().global);
    assert_eq!(places, [1, 2, 3]);
    until("the session has it", || todos(&store) == 3);
    drop(store);
    let kept = Reader::open(&path).unwrap().quarantine().unwrap();
    assert_eq!((kept.len(), kept[0].quarantined.commit), (1, receipts[1].id()));
    assert_sound(&path);
}

/// Verifies: L4, R6 (poison after a rebase: what no longer applies is quarantined, with its cause)
#[test]
fn a_commit_that_no_longer_applies_behind_others_events_goes_into_quarantine() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (backend(&dir), backend(&dir));
    let path = dir.path().join("a.db");
    let store = synced(&path, &ours);
    until("the first pull is over", || store.status().backend.is_some());
    ours.switch().off();
    let (poisoned, fine) = (store.commit(todo(7)).unwrap(), store.commit(todo(8)).unwrap());
    settled(&fine.leader_sync).unwrap();
    let other = synced(&dir.path().join("b.db"), &theirs);
    settled(&other.commit(todo(7)).unwrap().backend_sync).unwrap();
    ours.switch().on();
    let failure = settled(&poisoned.backend_sync).unwrap_err();
    assert!(matches!(failure, SyncError::Materialise { certainty: Certainty::NotApplied, .. }), "{failure:?}");
    assert_eq!(poisoned.leader_sync.peek(), Some(Ok(Settled::Persisted)), "it had been");
    assert_eq!(settled(&fine.backend_sync).unwrap().position().unwrap().global, 2);
    until("both have both", || todos(&store) == 2 && todos(&other) == 2);
    assert_eq!(store.dump(), other.dump());
    drop(store);
    assert_sound(&path);
}

/// Verifies: L5, R5
#[test]
fn what_is_refused_for_now_is_shown_and_fences_until_it_is_withdrawn() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(&dir);
    backend.refuse(|own| own.event.args.contains("todo 2"), false, "not now");
    let store = synced(&dir.path().join("a.db"), &backend);
    let receipts: Vec<_> = (1..=3).map(|n| store.commit(todo(n)).unwrap()).collect();
    settled(&receipts[0].backend_sync).unwrap();
    until("it is shown", || store.status().stuck.as_ref().is_some_and(|(id, _)| *id == receipts[1].id()));
    let Waited::Pending(why) = receipts[2].backend_sync.wait_timeout(Duration::ZERO) else { panic!("it is fenced") };
    assert!(why.to_string().contains(&receipts[1].id().to_string()) && why.to_string().contains("not now"), "{why}");
    assert_eq!(backend.head(), Ok(1));
    store.withdraw(receipts[1].id());
    let failure = settled(&receipts[1].backend_sync).unwrap_err();
    assert!(matches!(failure, SyncError::Withdrawn { cause: None, .. }), "{failure:?}");
    assert_eq!(settled(&receipts[2].backend_sync).unwrap().position().unwrap().global, 2);
    until("the session has let it go", || todos(&store) == 2);
}

#[test]
fn what_is_refused_for_now_goes_on_by_itself_when_the_backend_accepts_it() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(&dir);
    backend.refuse(|_| true, false, "not now");
    let store = synced(&dir.path().join("a.db"), &backend);
    let receipt = store.commit(todo(1)).unwrap();
    until("it is shown", || store.status().stuck.is_some());
    backend.accept_all();
    assert!(settled(&receipt.backend_sync).is_ok());
    assert_eq!(store.status().stuck, None);
}

#[test]
fn a_policy_withdraws_what_is_stuck() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(&dir);
    backend.refuse(|own| own.event.args.contains("todo 1"), false, "not now");
    let config = Config { stuck: StuckPolicy::WithdrawAfter(Duration::from_millis(20)), ..config() };
    let store = opener(&dir.path().join("a.db")).config(config).backend(backend).start().unwrap();
    let (stuck, behind) = (store.commit(todo(1)).unwrap(), store.commit(todo(2)).unwrap());
    assert!(matches!(settled(&stuck.backend_sync), Err(SyncError::Withdrawn { cause: Some(_), .. })));
    assert!(settled(&behind.backend_sync).is_ok());
}

fn mismatched(dir: &tempfile::TempDir, identity: IdentityPolicy) -> (EmbeddedBackend, Store, countersign::CommitReceipt) {
    let backend = backend(dir);
    let config = Config { identity, ..config() };
    let store = opener(&dir.path().join("a.db")).config(config).backend(backend.clone()).start().unwrap();
    settled(&store.commit(note("of the first backend")).unwrap().backend_sync).unwrap();
    backend.switch().off();
    let pending = store.commit(note("pending")).unwrap();
    settled(&pending.leader_sync).unwrap();
    backend.reset().unwrap();
    backend.switch().on();
    (backend, store, pending)
}

/// Verifies: L8, R6
#[test]
fn another_backend_stops_syncing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, store, pending) = mismatched(&dir, IdentityPolicy::Stop);
    let failure = settled(&pending.backend_sync).unwrap_err();
    let SyncError::InvalidPush { cause: InvalidPush::BackendIdMismatch { .. }, events, .. } = &failure else {
        panic!("{failure:?}")
    };
    assert_eq!(*events, Whereabouts::Queued);
    assert!(matches!(store.status().sync, SyncState::BackendIdMismatch { ignored: false, .. }));
    let meanwhile = store.commit(note("meanwhile")).unwrap();
    assert_eq!(settled(&meanwhile.leader_sync), Ok(Settled::Persisted));
    assert!(matches!(settled(&meanwhile.backend_sync), Err(SyncError::InvalidPush { .. })));
    assert_eq!(backend.head(), Ok(0), "nothing is pushed");
    assert_eq!(tests::todos::journal(&store), ["of the first backend", "pending", "meanwhile"]);
    // Restarted, it is found as it settled.
    drop(store);
    let store = synced(&dir.path().join("a.db"), &backend);
    let again = store.receipt(pending.id()).unwrap().unwrap();
    assert_eq!(again.leader_sync.peek(), Some(Ok(Settled::Persisted)));
    assert_eq!(settled(&again.backend_sync), Err(failure));
}

/// Verifies: L8, L4
#[test]
fn another_backend_can_be_started_over_with() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, store, pending) = mismatched(&dir, IdentityPolicy::Stop);
    settled(&pending.backend_sync).unwrap_err();
    store.tell(News::Decide(IdentityPolicy::Reset));
    until("the history is gone", || tests::todos::journal(&store).is_empty());
    let receipt = store.commit(note("of the second backend")).unwrap();
    assert_eq!(settled(&receipt.backend_sync).unwrap().position().unwrap().global, 1);
    assert_eq!(backend_args(&backend), [r#"{"text":"of the second backend"}"#]);
    drop(store);
    let kept = Reader::open(&dir.path().join("a.db")).unwrap().quarantine().unwrap();
    assert_eq!(kept.iter().map(|row| row.quarantined.commit).collect::<Vec<_>>(), [pending.id()]);
    assert_sound(&dir.path().join("a.db"));
}

/// Verifies: L8
#[test]
fn by_policy_another_backend_is_started_over_with_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (_backend, store, pending) = mismatched(&dir, IdentityPolicy::Reset);
    let failure = settled(&pending.backend_sync).unwrap_err();
    assert_eq!(failure.events(), Whereabouts::Quarantine);
    until("the history is gone", || tests::todos::journal(&store).is_empty());
    assert_eq!(settled(&store.commit(note("new")).unwrap().backend_sync).unwrap().position().unwrap().global, 1);
}

/// Verifies: L8
#[test]
fn by_policy_another_backend_is_ignored_and_receipts_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, store, pending) = mismatched(&dir, IdentityPolicy::Ignore);
    until("it is noticed", || matches!(store.status().sync, SyncState::BackendIdMismatch { ignored: true, .. }));
    let more = store.commit(note("more")).unwrap();
    assert_eq!(settled(&more.leader_sync), Ok(Settled::Persisted));
    assert_eq!((pending.backend_sync.peek(), more.backend_sync.peek(), backend.head()), (None, None, Ok(0)));
}

/// Verifies: L8, L3
#[test]
fn a_backend_that_lost_history_counts_as_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(&dir);
    let store = synced(&dir.path().join("a.db"), &backend);
    for n in 0..5 {
        settled(&store.commit(note(n)).unwrap().backend_sync).unwrap();
    }
    until("all is pulled", || store.status().upstream_head.global == 5 && store.status().drained);
    backend.truncate(2).unwrap();
    let receipt = store.commit(note("after")).unwrap();
    assert!(matches!(
        settled(&receipt.backend_sync),
        Err(SyncError::InvalidPush { cause: InvalidPush::BackendIdMismatch { .. }, events: Whereabouts::Queued, .. })
    ));
    assert_eq!(backend.head(), Ok(2));
}

/// Verifies: R5, L4
#[test]
fn a_full_disk_holds_up_the_leader_and_what_waits_is_persisted_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = opener(&path).size_limit(400_000).start().unwrap();
    let mut receipts = Vec::new();
    until("the disk is full", || {
        receipts.push(store.commit(note("x".repeat(20_000))).unwrap());
        store.status().storage.is_some()
    });
    assert_eq!(store.status().storage.unwrap().class, StorageClass::Full);
    let last = receipts.last().unwrap();
    let Waited::Pending(why) = last.leader_sync.wait_timeout(Duration::ZERO) else { panic!("there is no room") };
    assert!(why.to_string().contains("storage is in trouble"), "{why}");
    let in_session = tests::todos::journal(&store).len();
    assert_eq!(in_session, receipts.len());

    let report = store.close(Duration::from_millis(50));
    assert!(!report.persisted);
    let handed_back = report.unpersisted.len() + report.uncertain.len();
    let persisted = receipts.iter().filter(|receipt| receipt.leader_sync.peek() == Some(Ok(Settled::Persisted))).count();
    assert_eq!(persisted + handed_back, receipts.len(), "each is in the file or in the report");
    assert_eq!(last.leader_sync.wait(), last.leader_sync.peek().unwrap(), "every wait has ended");
    let store = tests::todos::reopened(&path);
    for (id, _) in &report.unpersisted {
        assert!(store.receipt(*id).unwrap().is_none(), "{id} was handed back");
    }
    let is_unknown = |id: &countersign::CommitId| store.receipt(*id).unwrap().is_none();
    for (_, events) in report.unpersisted.into_iter().chain(report.uncertain).filter(|(id, _)| is_unknown(id)) {
        assert_eq!(settled(&store.commit(events).unwrap().leader_sync), Ok(Settled::Persisted));
    }
    assert_eq!(tests::todos::journal(&store).len(), in_session);
    assert!(store.close(LONG).persisted);
    assert_sound(&path);
}

/// Verifies: R5 (another process that writes the file makes a transaction wait, and fails none)
#[test]
fn a_file_that_somebody_else_locks_holds_up_the_leader_until_it_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = tests::todos::local(&path);
    settled(&store.commit(todo(1)).unwrap().leader_sync).unwrap();
    let intruder = rusqlite::Connection::open(&path).unwrap();
    intruder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let receipt = store.commit(todo(2)).unwrap();
    until("it is noticed", || store.status().storage.is_some_and(|failure| failure.class == StorageClass::Busy));
    assert_eq!(receipt.leader_sync.peek(), None);
    intruder.execute_batch("ROLLBACK").unwrap();
    assert_eq!(settled(&receipt.leader_sync), Ok(Settled::Persisted));
    assert_eq!(store.status().storage, None);
}

/// A backend that does something before each push, told which it is.
struct Before<F>(EmbeddedBackend, std::sync::Arc<F>);

struct BeforePush<F>(Box<dyn PushLane>, std::sync::Arc<F>, u32);

impl<F: Fn(u32) + Send + Sync + 'static> Backend for Before<F> {
    fn lanes(&self, who: &Who) -> Result<Lanes, BackendFailure> {
        let Lanes { push, pull } = self.0.lanes(who)?;
        Ok(Lanes { push: Box::new(BeforePush(push, self.1.clone(), 0)), pull })
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

impl<F: Fn(u32) + Send + Sync> PushLane for BeforePush<F> {
    fn push(&mut self, push: &Push) -> Result<(), BackendFailure> {
        self.2 += 1;
        (self.1)(self.2);
        self.0.push(push)
    }
}

/// Verifies: R4, R8 (pushed ahead of the disk: the receipt names the place that the backend gave, not where the file still has it)
#[test]
fn a_receipt_that_is_found_while_the_disk_is_behind_names_the_final_place() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(&dir);
    let path = dir.path().join("a.db");
    let other = synced(&dir.path().join("b.db"), &backend);
    let (free, freed) = std::sync::mpsc::channel::<()>();
    let freed = std::sync::Mutex::new(Some(freed));
    let file = path.clone();
    let before = move |push| {
        if push == 2 {
            let conn = rusqlite::Connection::open(&file).unwrap();
            conn.busy_timeout(LONG).unwrap();
            conn.execute_batch("BEGIN IMMEDIATE").unwrap();
            let freed = freed.lock().unwrap().take().unwrap();
            std::thread::spawn(move || freed.recv().map(|()| drop(conn)));
        }
        if push <= 2 {
            // On a thread of its own: a wait on a lane's thread is refused, since it may be what is waited for.
            let commit = || settled(&other.commit(note(push)).unwrap().backend_sync);
            std::thread::scope(|scope| scope.spawn(commit).join()).unwrap().unwrap();
        }
    };
    let store = opener(&path).backend(Before(backend.clone(), before.into())).start().unwrap();
    let receipt = store.commit(note("ours")).unwrap();
    let Ok(Settled::Confirmed(said)) = settled(&receipt.backend_sync) else { panic!("{receipt:?}") };
    assert_eq!(said.positions[..], [3]);
    let id = receipt.id();
    drop(receipt);
    let stored = Reader::open(&path).unwrap().find(id).unwrap();
    assert!(matches!(stored, Found::InLog { entries, .. } if entries[0].seq.pos.global < 3), "the disk is behind");
    let again = store.receipt(id).unwrap().unwrap();
    assert_eq!(again.backend_sync.peek(), Some(Ok(Settled::Confirmed(said))));
    // Lets go of the file's lock.
    free.send(()).unwrap();
    until("the disk has caught up", || store.status().drained && store.status().pending_events == 0);
    drop(store);
    assert_sound(&path);
}

/// Verifies: V2, R5 (a backend is somebody else's code)
#[test]
fn a_backend_that_panics_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(&dir);
    let before = |push| assert!(push > 2, "on purpose, in a test");
    let store = opener(&dir.path().join("a.db")).backend(Before(backend, before.into())).start().unwrap();
    let receipt = store.commit(note("in the end")).unwrap();
    assert_eq!(settled(&receipt.backend_sync).unwrap().position().unwrap().global, 1);
    // The echo may be here before the answer to the push is.
    until("the push has worked", || store.status().push_error.is_none());
}

/// Verifies: R5
#[test]
fn an_outage_declared_final_says_so_and_the_events_stay_queued() {
    let dir = tempfile::tempdir().unwrap();
    let backend = backend(&dir);
    let store = synced(&dir.path().join("a.db"), &backend);
    until("the first pull is over", || store.status().backend.is_some());
    store.tell(News::Offline);
    let receipt = store.commit(todo(1)).unwrap();
    settled(&receipt.leader_sync).unwrap();
    assert_eq!(backend.head(), Ok(0));
    store.tell(News::OfflineForGood);
    let failure = settled(&receipt.backend_sync).unwrap_err();
    assert!(matches!(failure, SyncError::IsOffline { events: Whereabouts::Queued, .. }), "{failure:?}");
    store.tell(News::Online);
    until("it is pushed all the same", || backend.head() == Ok(1));
    assert!(settled(&store.commit(todo(2)).unwrap().backend_sync).is_ok());
}
