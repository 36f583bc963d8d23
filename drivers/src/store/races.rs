//! Races in a whole store: its own threads and file, and the threads of an application.

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use countersign_core::{CommitId, SyncError};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{CommitError, LookupError, News, Risk, Session, SessionError, Store};
use crate::backend::EmbeddedBackend;
use crate::clock::Clock;
use crate::races::{check, schema};
use crate::receipt::{CommitReceipt, Settled};
use crate::state::NewEvent;
use crate::storage::{Durability, Options, Reader, Storage};
use crate::sync::{lock, thread, wait_until};
use crate::testing::TestClock;

/// A place for files, in memory where there is such.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// A place with the files of a store that nothing was committed to, and of a backend. Made once: how they are made is not tried.
fn place() -> TempDir {
    static EMPTY: LazyLock<[(&str, Vec<u8>); 2]> = LazyLock::new(|| {
        let folder = folder();
        let options = Options {
            schema: schema(),
            durability: Durability::Process,
            backend: false,
            size_limit: None,
            client: None,
            clock: Clock::default(),
            progress: None,
        };
        drop(Storage::open(&folder.path().join(STORE), options).unwrap());
        drop(EmbeddedBackend::open(folder.path().join(BACKEND)).unwrap());
        [STORE, BACKEND].map(|name| (name, fs::read(folder.path().join(name)).unwrap()))
    });
    let place = folder();
    for (name, bytes) in &*EMPTY {
        fs::write(place.path().join(name), bytes).unwrap();
    }
    place
}

const STORE: &str = "store.db";
const BACKEND: &str = "backend.db";

fn opener(place: &TempDir) -> super::Opener {
    Store::open(place.path().join(STORE)).schema(schema()).durability(Durability::Process).clock(TestClock::new())
}

fn noted(text: impl Into<String>) -> NewEvent {
    NewEvent::new("v1.Noted", serde_json::json!({ "text": text.into() }))
}

fn notes(session: &Session) -> Vec<String> {
    session.query(rows).unwrap()
}

fn rows(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = db.prepare("SELECT text FROM notes")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Commits by a thread of its own, until the store takes no more.
fn commits(session: &Session, who: &'static str, many: usize) -> thread::JoinHandle<Vec<(String, CommitReceipt)>> {
    let session = session.clone();
    thread::spawn(move || {
        let mut taken = Vec::new();
        for number in 0..many {
            let text = format!("{who}{number}");
            match session.commit(noted(text.clone())) {
                Ok(receipt) => taken.push((text, receipt)),
                Err(CommitError::Refused(countersign_core::CommitError::Closing)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        taken
    })
}

/// What is in the file of a store that is not open any more.
fn stored(place: &TempDir) -> Vec<String> {
    let db = Connection::open(place.path().join(STORE)).unwrap();
    rows(&db).unwrap()
}

/// Waits until the storage thread has let go of the file.
fn wait_for_file(store: &Store) {
    let (ended, news) = &store.shared().rest;
    let mut ended = lock(ended);
    while !ended.storage {
        ended = wait_until(news, ended, None);
    }
}

/// Nothing is due in it with nobody to run it.
fn is_at_rest(session: &Session) -> bool {
    !session.inner.cell.has_due()
}

// Verifies: R1, R2, R3, V1
#[test]
fn what_two_sessions_commit_is_persisted_in_order_and_both_have_it() {
    check(|| {
        let place = place();
        let store = opener(&place).blocking().unwrap();
        let other = store.session().unwrap();
        let waits = [(&store.session, "a"), (&other, "b")].map(|(session, who)| {
            let commits = commits(session, who, 2);
            thread::spawn(move || {
                let taken = commits.join().unwrap();
                let (_, last) = taken.last().unwrap();
                assert_eq!(last.leader_sync.wait(), Ok(Settled::Persisted));
                for (_, receipt) in &taken {
                    assert_eq!(receipt.leader_sync.peek(), Some(Ok(Settled::Persisted)), "in commit order");
                    assert_eq!(receipt.backend_sync.wait(), Ok(Settled::NotApplicable));
                }
            })
        });
        waits.into_iter().for_each(|wait| wait.join().unwrap());
        assert!(store.clone().close(Duration::MAX).persisted);
        assert!(is_at_rest(&store.session) && is_at_rest(&other));
        let (one, two) = (notes(&store.session), notes(&other));
        assert_eq!((one.len(), &one), (4, &two));
        drop((store, other));
        assert_eq!(stored(&place), one);
    });
}

/// What became of a commit, once every wait has ended.
fn fate(receipt: &CommitReceipt) -> Result<Settled, SyncError> {
    receipt.leader_sync.wait()
}

// Verifies: R1, R3, V1
#[test]
fn a_store_that_is_closed_meanwhile_has_what_it_took() {
    check(|| {
        let place = place();
        let store = opener(&place).blocking().unwrap();
        let threads = [commits(&store.session, "a", 2), commits(&store.session, "b", 2)];
        let report = store.clone().close(Duration::MAX);
        assert!(report.persisted && report.unpersisted.is_empty() && report.uncertain.is_empty(), "{report:?}");
        let taken: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        for (text, receipt) in &taken {
            assert_eq!(fate(receipt), Ok(Settled::Persisted), "{text}");
        }
        drop(store);
        let mut stored = stored(&place);
        stored.sort_unstable();
        let mut taken: Vec<String> = taken.into_iter().map(|(text, _)| text).collect();
        taken.sort_unstable();
        assert_eq!(stored, taken);
    });
}

// Verifies: V1
#[test]
fn a_commit_that_is_refused_meanwhile_does_not_hold_up_the_end() {
    check(|| {
        let place = place();
        let store = opener(&place).blocking().unwrap();
        let refused = [(); 2].map(|()| {
            let store = store.clone();
            thread::spawn(move || assert!(store.commit(noted("")).is_err()))
        });
        assert!(store.clone().close(Duration::MAX).persisted);
        refused.into_iter().for_each(|refused| refused.join().unwrap());
    });
}

// Verifies: R1, R3, V1
#[test]
fn a_store_that_is_closed_at_once_says_what_it_has_not_stored() {
    check(|| {
        let place = place();
        let store = opener(&place).blocking().unwrap();
        let threads = [commits(&store.session, "a", 2), commits(&store.session, "b", 2)];
        let report = store.clone().close(Duration::ZERO);
        let taken: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        wait_for_file(&store);
        let fates: Vec<_> = taken.iter().map(|(text, receipt)| (text, receipt.id(), fate(receipt))).collect();
        drop(store);
        let stored = stored(&place);
        let names = |handed_back: &[(CommitId, countersign_core::Batch)], id| handed_back.iter().any(|(of, _)| *of == id);
        for (text, id, fate) in fates {
            let (is_back, is_uncertain) = (names(&report.unpersisted, id), names(&report.uncertain, id));
            match fate {
                Ok(Settled::Persisted) => assert!(stored.contains(text) && !is_back && !is_uncertain, "{text}"),
                Err(SyncError::Closed { durable: false }) => assert!(!stored.contains(text) && is_back, "{text}"),
                Err(SyncError::Unknown { .. }) => assert!(is_uncertain && !is_back, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    });
}

// Verifies: R3, R7
#[test]
fn what_was_committed_when_the_last_handle_goes_is_stored() {
    check(|| {
        let place = place();
        let store = opener(&place).blocking().unwrap();
        let threads = [commits(&store.session, "a", 1), commits(&store.session, "b", 2)];
        drop(store);
        let taken: usize = threads.into_iter().map(|thread| thread.join().unwrap().len()).sum();
        assert_eq!(taken, 3);
        // The last handle waits, whichever thread has had it.
        assert_eq!(stored(&place).len(), 3);
    });
}

// Verifies: R7
#[test]
fn nothing_of_a_receipt_stays_once_it_has_settled_whenever_it_is_dropped() {
    check(|| {
        let place = place();
        let store = opener(&place).blocking().unwrap();
        let [one, two] = [commits(&store.session, "a", 2), commits(&store.session, "b", 1)];
        let drops = thread::spawn(move || drop(one.join().unwrap()));
        let kept = two.join().unwrap();
        drops.join().unwrap();
        store.barrier(countersign_core::Stage::Backend).wait().unwrap();
        assert_eq!(store.shared().with(|hub, _| hub.receipts.size().0), 0);
        assert_eq!(fate(&kept[0].1), Ok(Settled::Persisted));
        assert!(store.close(Duration::MAX).persisted);
    });
}

// Verifies: R1, R8
#[test]
fn a_receipt_that_is_found_again_meanwhile_settles_the_same() {
    check(|| {
        let place = place();
        let store = opener(&place).blocking().unwrap();
        let receipt = store.commit(noted("a")).unwrap();
        let finds = [(); 2].map(|()| {
            let (store, id) = (store.clone(), receipt.id());
            thread::spawn(move || {
                let found = store.receipt(id).unwrap().unwrap();
                (found.leader_sync.wait(), found.backend_sync.wait())
            })
        });
        for find in finds {
            assert_eq!(find.join().unwrap(), (Ok(Settled::Persisted), Ok(Settled::NotApplicable)));
        }
        assert!(store.close(Duration::MAX).persisted);
    });
}

// Verifies: V1
#[test]
fn who_watches_or_looks_misses_nothing() {
    check(|| {
        let place = place();
        let store = opener(&place).blocking().unwrap();
        let watches = {
            let (mut watch, store) = (store.watch(["notes"]), store.clone());
            thread::spawn(move || {
                while notes(&store.session).len() < 2 {
                    assert!(watch.wait_timeout(Duration::from_secs(600)).is_some());
                }
            })
        };
        let looks = {
            let store = store.clone();
            thread::spawn(move || drop(store.wait_until(Duration::MAX, |status| status.drained).unwrap()))
        };
        let follows = {
            let receipt = store.commit(noted("a")).unwrap();
            thread::spawn(move || assert!(receipt.updates().blocking().last().unwrap().stage().is_none()))
        };
        store.commit(noted("b")).unwrap();
        [watches, looks, follows].into_iter().for_each(|thread| thread.join().unwrap());
        assert!(store.close(Duration::MAX).persisted);
    });
}

// Verifies: R1, R2, R4, V1
#[test]
fn what_two_threads_commit_is_confirmed_once_and_the_backend_is_let_go() {
    check(|| {
        let place = place();
        let backend = EmbeddedBackend::open(place.path().join(BACKEND)).unwrap();
        let store = opener(&place).backend(backend).blocking().unwrap();
        let store = Arc::new(store);
        let threads = [commits(&store.session, "a", 1), commits(&store.session, "b", 1)];
        let mut places: Vec<u64> = Vec::new();
        for thread in threads {
            for (_, receipt) in thread.join().unwrap() {
                let settled = receipt.backend_sync.wait().unwrap();
                assert_eq!(receipt.leader_sync.peek(), Some(Ok(Settled::Persisted)), "the leader comes first");
                places.push(settled.position().unwrap().global);
            }
        }
        places.sort_unstable();
        assert_eq!(places, [1, 2]);
        let report = Store::clone(&store).close(Duration::MAX);
        assert!(report.persisted && report.unresolved.is_empty() && report.confirmed == 2, "{report:?}");
    });
}

// Verifies: R1, R2, V1
#[test]
fn every_wait_ends_when_a_store_with_a_backend_is_closed_meanwhile() {
    check(|| {
        let place = place();
        let backend = EmbeddedBackend::open(place.path().join(BACKEND)).unwrap();
        let store = opener(&place).backend(backend).blocking().unwrap();
        let threads = [commits(&store.session, "a", 1), commits(&store.session, "b", 1)];
        let report = store.clone().close(Duration::MAX);
        assert!(report.persisted, "{report:?}");
        for (_, receipt) in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
            assert_eq!(receipt.leader_sync.wait(), Ok(Settled::Persisted));
            let is_open = report.unresolved.contains(&receipt.id());
            match receipt.backend_sync.wait() {
                Ok(Settled::Confirmed(_)) => assert!(!is_open),
                Err(SyncError::Closed { durable: true }) => assert!(is_open),
                other => panic!("{other:?}"),
            }
        }
        drop(store);
        let pending = Reader::open(&place.path().join(STORE)).unwrap().pending(9).unwrap();
        let mut pending: Vec<CommitId> = pending.into_iter().map(|pending| pending.commit).collect();
        pending.sort_unstable();
        assert_eq!(pending, report.unresolved, "what was answered is stored");
    });
}

// Verifies: R1, V1
#[test]
fn another_client_comes_to_a_position_that_was_confirmed_meanwhile() {
    check(|| {
        let place = place();
        let backend = EmbeddedBackend::open(place.path().join(BACKEND)).unwrap();
        let store = opener(&place).backend(backend.clone()).blocking().unwrap();
        let elsewhere = self::place();
        let other = opener(&elsewhere).backend(backend).blocking().unwrap();
        let writes = {
            let store = store.clone();
            thread::spawn(move || {
                let receipt = store.commit(noted("a")).unwrap();
                receipt.backend_sync.wait().unwrap().token().unwrap()
            })
        };
        let token = writes.join().unwrap();
        other.reached(&token).wait().unwrap();
        assert_eq!(notes(&other.session), ["a"]);
        assert!(other.close(Duration::MAX).persisted && store.close(Duration::MAX).persisted);
    });
}

// Verifies: R1, R6
#[test]
fn a_failure_is_tried_again_once_whoever_asks_and_whenever_the_store_is_closed() {
    check(|| {
        let place = place();
        let backend = EmbeddedBackend::open(place.path().join(BACKEND)).unwrap();
        let store = opener(&place).backend(backend).offline().blocking().unwrap();
        let failed = store.commit(noted("a")).unwrap();
        store.withdraw(failed.id());
        assert!(matches!(failed.backend_sync.wait(), Err(SyncError::Withdrawn { .. })));
        let tries = [(); 2].map(|()| {
            let (store, id) = (store.clone(), failed.id());
            thread::spawn(move || store.retry(id, Risk::NoDuplicate).ok())
        });
        let closes = {
            let store = store.clone();
            thread::spawn(move || assert!(store.close(Duration::MAX).persisted))
        };
        let again: Vec<_> = tries.into_iter().filter_map(|again| again.join().unwrap()).collect();
        closes.join().unwrap();
        assert!(again.len() <= 1, "{again:?}");
        for receipt in &again {
            assert_eq!(receipt.leader_sync.wait(), Ok(Settled::Persisted));
        }
        drop(store);
        assert_eq!(stored(&place).len(), again.len());
    });
}

// Verifies: R1, R2, V1
#[test]
fn what_a_session_has_committed_goes_on_when_it_closes() {
    check(|| {
        let place = place();
        let store = opener(&place).blocking().unwrap();
        let session = store.session().unwrap();
        let thread = commits(&session, "a", 2);
        drop(session);
        let own = store.commit(noted("b")).unwrap();
        for (_, receipt) in thread.join().unwrap() {
            assert_eq!(receipt.backend_sync.wait(), Ok(Settled::NotApplicable));
        }
        assert_eq!(own.leader_sync.wait(), Ok(Settled::Persisted));
        assert!(store.clone().close(Duration::MAX).persisted);
        assert!(is_at_rest(&store.session));
        assert_eq!(notes(&store.session).len(), 3);
    });
}

// Verifies: R1, V1
#[test]
fn a_session_is_opened_or_told_that_the_store_is_closed() {
    check(|| {
        let place = place();
        let store = opener(&place).blocking().unwrap();
        let opens = {
            let store = store.clone();
            thread::spawn(move || match store.session() {
                Ok(session) => commits(&session, "a", 1).join().unwrap().len(),
                Err(SessionError::Closed) => 0,
                Err(error) => panic!("{error}"),
            })
        };
        let report = store.clone().close(Duration::MAX);
        assert!(report.persisted, "{report:?}");
        let taken = opens.join().unwrap();
        drop(store);
        assert_eq!(stored(&place).len(), taken);
    });
}

// Verifies: R1, R8, V1
#[test]
fn every_wait_of_a_receipt_that_is_found_again_ends_when_the_store_is_closed() {
    check(|| {
        let place = place();
        let backend = EmbeddedBackend::open(place.path().join(BACKEND)).unwrap();
        let store = opener(&place).backend(backend).offline().blocking().unwrap();
        let receipt = store.commit(noted("a")).unwrap();
        let finds = [(); 2].map(|()| {
            let (store, id) = (store.clone(), receipt.id());
            thread::spawn(move || match store.receipt(id) {
                Ok(Some(found)) => {
                    let ends = (found.leader_sync.wait(), found.backend_sync.wait());
                    assert!(found.updates().blocking().last().unwrap().stage().is_none());
                    Some(ends)
                }
                Ok(None) | Err(LookupError::Closed) => None,
                Err(error) => panic!("{error}"),
            })
        });
        let tells = {
            let store = store.clone();
            thread::spawn(move || store.tell(News::OfflineForGood))
        };
        let _ = store.clone().close(Duration::ZERO);
        let ends = finds.into_iter().filter_map(|find| find.join().unwrap());
        let own = (receipt.leader_sync.wait(), receipt.backend_sync.wait());
        for found in ends {
            assert_eq!(found, own);
        }
        tells.join().unwrap();
        wait_for_file(&store);
    });
}
