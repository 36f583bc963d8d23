//! Trouble with the disk, and crashes.

use std::fs;

use countersign_core::StorageClass;

use super::*;
use fault::Point;

fn class(outcome: &Materialised) -> Option<StorageClass> {
    match outcome {
        Materialised::Failed(failure) => Some(failure.class),
        _ => None,
    }
}

// Verifies: R5
#[test]
fn a_full_disk_rolls_back_and_the_same_order_succeeds_once_there_is_room() {
    let mut bench = Bench::new(true);
    bench.commit(&[added(1)]);
    let pages: i64 = {
        let conn = &bench.storage.file().unwrap().conn;
        let pages = conn.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        conn.pragma_update(None, "max_page_count", pages).unwrap();
        pages
    };
    let events: Vec<_> = (2..60).map(|id| event("v1.Added", id, &"long".repeat(200))).collect();
    let entries = bench.model.own(&events);
    let txn = bench.model.append(entries);
    for _ in 0..3 {
        let outcome = bench.storage.materialise(&txn);
        assert_eq!(class(&outcome), Some(StorageClass::Full), "{outcome:?}");
        bench.check();
    }
    let conn = &bench.storage.file().unwrap().conn;
    conn.pragma_update(None, "max_page_count", pages + 1_000).unwrap();
    bench.ok(txn);
}

#[test]
fn a_file_that_somebody_else_writes_is_busy_for_now() {
    let mut bench = Bench::new(true);
    let other = rusqlite::Connection::open(bench.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let entries = bench.model.own(&[added(1)]);
    let txn = bench.model.append(entries);
    assert_eq!(class(&bench.storage.materialise(&txn)), Some(StorageClass::Busy));
    other.execute_batch("COMMIT").unwrap();
    bench.ok(txn);
}

// Verifies: R3, S2
#[test]
fn a_commit_whose_success_was_not_heard_of_is_looked_up() {
    let mut bench = Bench::new(true);
    fault::arm(Point::AfterCommit);
    bench.commit(&[added(1)]);
    bench.commit(&[added(2)]);
    assert_eq!(bench.items(), "1:x 2:x");
}

// Verifies: R3, S2
#[test]
fn a_commit_that_failed_is_found_not_to_be_there() {
    let mut bench = Bench::new(true);
    fault::arm(Point::BeforeCommit);
    let entries = bench.model.own(&[added(1)]);
    let txn = bench.model.append(entries);
    assert_eq!(class(&bench.storage.materialise(&txn)), Some(StorageClass::Io));
    bench.check();
    bench.ok(txn);
}

// Verifies: R3
#[test]
fn an_outcome_stays_unknown_until_the_file_can_be_asked() {
    for carried_out in [true, false] {
        let mut bench = Bench::new(true);
        let txn = bench.model.rebase(&[added(1), added(1)]);
        fault::arm(if carried_out { Point::AfterCommit } else { Point::BeforeCommit });
        fault::arm(Point::Reopen);
        fault::arm(Point::Reopen);
        for _ in 0..2 {
            let outcome = bench.storage.materialise(&txn);
            assert!(matches!(outcome, Materialised::UnknownOutcome(_)), "{outcome:?}");
        }
        // Answered with what was skipped, though it was carried out long ago; or carried out now.
        assert_eq!(bench.ok(txn).len(), 1);
    }
}

// Verifies: R3, S2
#[test]
fn while_an_outcome_is_unknown_nothing_else_is_tried() {
    for carried_out in [true, false] {
        let mut bench = Bench::new(true);
        let entries = bench.model.own(&[added(1)]);
        let first = bench.model.append(entries);
        let entries = bench.model.own_after(first.append[0].seq.pos, true, &[added(2)]);
        let second = Txn { number: first.number + 1, ..bench.model.append(entries) };
        fault::arm(if carried_out { Point::AfterCommit } else { Point::BeforeCommit });
        fault::arm(Point::Reopen);
        assert!(matches!(bench.storage.materialise(&first), Materialised::UnknownOutcome(_)));
        assert_eq!(bench.storage.materialise(&second), Materialised::Stale);
        bench.ok(first);
        bench.ok(second);
    }
}

// Verifies: R3
#[test]
fn committed_is_only_said_after_a_checkpoint() {
    let mut bench = Bench::new(true);
    let entries = bench.model.own(&[added(1)]);
    let txn = bench.model.append(entries);
    fault::arm(Point::AfterCommit);
    fault::arm(Point::Checkpoint);
    let outcome = bench.storage.materialise(&txn);
    assert!(matches!(outcome, Materialised::UnknownOutcome(_)), "{outcome:?}");
    bench.ok(txn);
}

/// A number that is there already without having been unknown is nobody's.
#[test]
fn an_order_is_not_carried_out_twice() {
    let mut bench = Bench::new(true);
    let entries = bench.model.own(&[added(1)]);
    let txn = bench.model.append(entries);
    bench.ok(txn.clone());
    assert_eq!(bench.storage.materialise(&txn), Materialised::Stale);
}

#[test]
fn a_damaged_file_is_named() {
    let mut bench = Bench::new(true);
    for id in 1..300 {
        bench.commit(&[event("v1.Added", id, &"long".repeat(100))]);
    }
    let path = bench.path();
    let Bench { folder: _folder, storage, model } = bench;
    drop(storage);
    let mut bytes = fs::read(&path).unwrap();
    // Everything but the first pages, which hold the schema.
    let from = bytes.len() / 2;
    bytes[from..].fill(0xA5);
    fs::write(&path, bytes).unwrap();
    match Storage::open(&path, options(true)) {
        Err(error) => assert!(matches!(error, OpenError::Corrupt { .. }), "{error}"),
        Ok((mut storage, ..)) => {
            let mut txn = model.txn();
            txn.undo_to = Some(countersign_core::Pos::ROOT);
            assert_eq!(class(&storage.materialise(&txn)), Some(StorageClass::Corrupt));
        }
    }
}

#[test]
fn a_panicking_materialiser_is_poison_and_nothing_unwinds() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Bomb {}
    impl crate::EventType for Bomb {
        const NAME: &'static str = "v1.Bomb";
    }
    let schema =
        Schema::builder(1).state_sql("CREATE TABLE t (x)").event(|_, _: Bomb| panic!("as the test wants")).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (mut storage, ..) = Storage::open(&store_path(&folder), options_with(schema, true)).unwrap();
    let mut model = Model::new(true);
    let bomb = Event { name: Arc::from("v1.Bomb"), args: Arc::from("{}"), client_only: false };
    let entries = model.own(&[bomb]);
    let txn = model.append(entries);
    let outcome = storage.materialise(&txn);
    assert!(matches!(outcome, Materialised::RolledBack { .. }), "{outcome:?}");
    assert_eq!(storage.check().unwrap(), Vec::<String>::new());
}

/// What a process leaves that is killed between any two orders: the file and its log, as they are on disk.
// Verifies: R3, S2
#[test]
fn a_copy_of_the_files_at_any_moment_opens_at_a_whole_transaction() {
    let mut bench = Bench::new(true);
    let crashed = tempfile::tempdir().unwrap();
    for step in 0..12 {
        let txn = match step % 4 {
            0 | 1 => {
                let entries = bench.model.own(&[added(step * 2), event("v1.Seen", step, ""), added(step * 2 + 1)]);
                bench.model.append(entries)
            }
            2 => bench.model.rebase(&[event("v1.Changed", 0, "!"), added(1_000 + step)]),
            _ => bench.model.confirm(2),
        };
        // The log of the file torn in the middle of the next transaction: the one before it is what counts.
        let (before, expected) = (wal(&bench.path()).len(), bench.model.log.clone());
        bench.ok(txn);
        for (torn, number) in [(false, step + 1), (true, step)] {
            let copy = crashed.path().join(format!("{step}-{torn}.db"));
            fs::copy(bench.path(), &copy).unwrap();
            let mut log = wal(&bench.path());
            if torn {
                assert!(log.len() > before);
                log.truncate((before + log.len()) / 2);
            }
            fs::write(wal_path(&copy), log).unwrap();
            let (mut storage, boot, _) = Storage::open(&copy, options(true)).unwrap();
            assert_eq!((boot.number, storage.check().unwrap()), (number, Vec::<String>::new()), "{step} {torn}");
            let expected = if torn { &expected } else { &bench.model.log };
            let pending = expected.iter().filter(|entry| entry.seq.pos > boot.heads.settled).count();
            assert_eq!(boot.pending.len(), pending);
        }
    }
}

fn wal_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

fn wal(path: &Path) -> Vec<u8> {
    fs::read(wal_path(path)).unwrap()
}
