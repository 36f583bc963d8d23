//! Races in a whole store: its own threads and file, and the threads of an application.

mod closing;
mod syncing;

use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use countersign_core::SyncError;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{CommitError, Session, Store};
use crate::backend::EmbeddedBackend;
use crate::clock::Clock;
use crate::races::{check, schema};
use crate::receipt::{CommitReceipt, Settled};
use crate::state::NewEvent;
use crate::storage::{Durability, Options, Storage};
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

/// What became of a commit, once every wait has ended.
fn fate(receipt: &CommitReceipt) -> Result<Settled, SyncError> {
    receipt.leader_sync.wait()
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
