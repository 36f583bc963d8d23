//! Crashes and errors of the disk at points of real work, on real SQLite files: see [`tests::crash`].
//!
//! Every point, tear and call: `cargo run --release -p tests --bin crash -- --all`.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use countersign::backend::EmbeddedBackend;
use countersign::{Durability, Found, Reader, Settled, Store};
use tests::crash::{ALL, Extent, run};
use tests::todos::{LONG, backend_args, local, note, opener, settled, synced, todo};
use tests::vfs::{Disk, Image, Tear};

/// Verifies: S1, S2, R1, R3, R4, R5, R6, L1, L4, L6, V1, V3
#[test]
fn whatever_a_crash_or_an_error_leaves_holds_what_was_promised() {
    let scenarios: Vec<_> = ALL.iter().collect();
    // Other tears and calls in each turn.
    let turn = std::env::var("TURN").ok().and_then(|turn| turn.parse().ok());
    let seed = turn.unwrap_or(Extent::QUICK.seed);
    let (count, failures) = run(&scenarios, &Extent { seed, ..Extent::QUICK }, &|_| ());
    eprintln!("{} scenarios, {count}", scenarios.len());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    let is_enough = count.points > 1_500 && count.crashes > 5_000 && count.double > 500 && count.errors > 4_000;
    assert!(is_enough, "less was tried than meant: {count}");
}

fn is_persisted(folder: &Path, store: &Store, id: countersign::CommitId) -> bool {
    let found = store.receipt(id).unwrap().is_some_and(|receipt| receipt.leader_sync.peek() == Some(Ok(Settled::Persisted)));
    let stored = Reader::open(&folder.join("a.db")).unwrap().find(id).unwrap();
    assert_eq!(found, matches!(stored, Found::InLog { .. }));
    found
}

/// Verifies: R3 (also where a reader keeps SQLite's log from being moved)
#[test]
fn what_was_not_synced_is_before_a_store_of_full_durability_promises_it() {
    let (dir, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = Disk::new(dir.path(), Image::default()).unwrap();
    let path = disk.root().join("a.db");
    drop(local(&path));
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM countersign_heads").unwrap();

    let store = opener(&path).durability(Durability::Process).blocking().unwrap();
    let id = store.commit(note("of a process that syncs nothing")).unwrap();
    settled(&id.leader_sync).unwrap();
    let id = id.id();
    drop(store);
    let lost = disk.history().power_loss(usize::MAX, Tear::Dropped);
    let folder = tempfile::tempdir().unwrap();
    let lost = Disk::new(folder.path(), lost).unwrap();
    assert!(!is_persisted(lost.root(), &local(&lost.root().join("a.db")), id), "the test shows nothing if it is synced by now");

    let store = local(&path);
    assert!(is_persisted(disk.root(), &store, id));
    let kept = disk.history().power_loss(usize::MAX, Tear::Dropped);
    let kept = Disk::new(after.path(), kept).unwrap();
    assert!(is_persisted(kept.root(), &local(&kept.root().join("a.db")), id));
    drop(reader);
}

/// Verifies: L6, R4 (where a store has forgotten that a commit was taken out, and what was behind it was taken)
#[test]
fn a_file_that_was_set_back_sends_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let [path, others] = ["store.db", "others.db"].map(|name| folder.path().join(name));
    let [mine, theirs] = [(); 2].map(|()| EmbeddedBackend::open(folder.path().join("backend.db")).unwrap());
    mine.switch().off();
    let store = synced(&path, &mine);
    let before = store.commit(note("before it")).unwrap();
    let impossible = store.commit((note("with it"), todo(1))).unwrap();
    let behind = store.commit(note("behind it")).unwrap();
    settled(&behind.leader_sync).unwrap();
    assert!(store.close(LONG).persisted);
    let copy = std::fs::read(&path).unwrap();

    settled(&synced(&others, &theirs).commit(todo(1)).unwrap().backend_sync).unwrap();
    mine.switch().on();
    let outcomes = |store: &Store| {
        [&before, &impossible, &behind].map(|receipt| settled(&store.receipt(receipt.id()).unwrap().unwrap().backend_sync))
    };
    let store = synced(&path, &mine);
    let first = outcomes(&store);
    assert!(matches!(first, [Ok(Settled::Confirmed(_)), Err(_), Ok(Settled::Confirmed(_))]), "{first:?}");
    assert!(store.close(LONG).persisted);

    std::fs::write(&path, copy).unwrap();
    let store = synced(&path, &mine);
    let second = outcomes(&store);
    assert!(matches!(second, [Ok(Settled::Confirmed(_)), Err(_), Ok(Settled::Confirmed(_))]), "{second:?}");
    settled(&store.commit(note("from now on")).unwrap().backend_sync).unwrap();
    let log = backend_args(&theirs);
    assert_eq!(log.iter().filter(|args| args.contains("behind it")).count(), 1, "{log:?}");
}
