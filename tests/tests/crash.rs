//! Crashes and errors of the disk at points of real work, on real SQLite files: see [`tests::crash`].
//!
//! Every point, tear and call: `cargo run --release -p tests --bin crash -- --all`.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use countersign::{Durability, Found, Reader, Settled, Store};
use tests::crash::{ALL, Extent, run};
use tests::todos::{local, note, opener, settled};
use tests::vfs::{Disk, Image, Tear};

/// Verifies: S1, S2, R1, R3, R4, R5, R6, L1, L4, L6, V1, V3
#[test]
fn whatever_a_crash_or_an_error_leaves_holds_what_was_promised() {
    let scenarios: Vec<_> = ALL.iter().collect();
    // Other tears and calls in each turn.
    let seed = std::env::var("TURN").map_or(Extent::QUICK.seed, |turn| turn.parse().expect("TURN is a number"));
    let (count, failures) = run(&scenarios, &Extent { seed, ..Extent::QUICK }, &|_| ());
    eprintln!("{} scenarios, {count}", scenarios.len());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    let is_enough = count.points > 2_500 && count.crashes > 8_000 && count.double > 500 && count.errors > 6_000;
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
