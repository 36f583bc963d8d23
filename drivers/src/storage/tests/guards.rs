//! Guards in the file: asked in the leader's transaction, kept as long as they may be asked again.

use countersign_core::{Guard, Origin, Poison};

use super::*;

/// The schema, with a guard on a free place.
fn guarded_schema(version: u32) -> Schema {
    schema_builder(version, "text TEXT NOT NULL")
        .guard_sql("v1.Free", "SELECT count(*) = 0 FROM items WHERE id = :id", Some("it is taken"))
        .build()
        .unwrap()
}

fn bench(backend: bool) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let (storage, _, _) = Storage::open(&store_path(&folder), options_with(guarded_schema(1), backend)).unwrap();
    Bench { folder, storage, model: Model::new(backend) }
}

fn free(id: u64) -> Guard {
    Guard { name: "v1.Free".into(), args: format!(r#"{{"id":{id}}}"#).into() }
}

/// A commit of these events under that guard, as the machine hands it over.
fn under(bench: &mut Bench, guard: Guard, events: &[Event]) -> Txn {
    let mut entries = bench.model.own(events);
    let first = entries.iter_mut().find(|entry| !entry.event.client_only).unwrap();
    let Origin::Own { guard: slot, .. } = &mut first.origin else { unreachable!("an own entry") };
    *slot = Some(Arc::new(guard));
    bench.model.append(entries)
}

fn stored(bench: &Bench) -> i64 {
    let conn = rusqlite::Connection::open(bench.path()).unwrap();
    conn.query_row("SELECT count(*) FROM countersign_guards", [], |row| row.get(0)).unwrap()
}

fn refused(bench: &mut Bench, txn: &Txn) -> Vec<(CommitId, Poison)> {
    match bench.storage.materialise(txn) {
        Materialised::RolledBack { refused } => refused,
        other => panic!("{other:?}"),
    }
}

// Verifies: S2, L4 (all are named, whether it is the guard or an event that does not fit, and nothing is written)
#[test]
fn a_guard_is_asked_before_the_first_event_of_its_commit() {
    let mut bench = bench(true);
    let txn = under(&mut bench, free(1), &[added(1), added(2)]);
    bench.ok(txn);
    let taken = under(&mut bench, free(2), &[event("v1.Seen", 1, ""), added(3)]);
    let mut txn = taken;
    let poisoned = bench.model.own_after(txn.append.last().unwrap().seq.pos, true, &[added(1)]);
    txn.append.extend(poisoned);
    let refused = refused(&mut bench, &txn);
    let conflict = Poison::Conflict { guard: "v1.Free".into(), message: "it is taken".into() };
    assert_eq!((refused.len(), &refused[0].1), (2, &conflict));
    assert!(matches!(refused[1].1, Poison::Materialise { .. }));
    bench.check();
    assert_eq!((bench.items().as_str(), stored(&bench)), ("1:x 2:x", 1));
}

// Verifies: S1, R3 (after a rebase and a restart; what the backend has accepted is not asked about)
#[test]
fn it_is_kept_until_the_commit_is_confirmed_and_asked_again_on_a_new_base() {
    let mut bench = bench(true);
    let txn = under(&mut bench, free(7), &[added(5), event("v1.Seen", 5, "")]);
    bench.ok(txn);
    let (mut bench, boot, _) = bench.reopen(options_with(guarded_schema(1), true));
    assert_eq!(boot.pending[0].own_guard().map(|guard| (**guard).clone()), Some(free(7)));
    // Others add something: the guard is asked again, and still holds.
    let txn = bench.model.rebase(&[added(1)]);
    assert!(txn.append[1].own_guard().is_some());
    bench.ok(txn);
    assert_eq!(stored(&bench), 1);
    // Now it does not.
    let txn = bench.model.rebase(&[added(7)]);
    assert_eq!(refused(&mut bench, &txn).len(), 1);
    bench.check();
    // If the backend has accepted it, it stays, guard or not.
    let mut accepted = txn;
    accepted.heads.acknowledged = accepted.append.iter().rfind(|entry| !entry.event.client_only).unwrap().seq.pos.global;
    bench.ok(accepted);
    assert_eq!(bench.items(), "1:x 5:x 7:x");
    // And once it is confirmed, there is no guard any more.
    let txn = bench.model.confirm(1);
    bench.ok(txn);
    assert_eq!(stored(&bench), 0);
}

// Verifies: S1 (a rebuild asks no guard)
#[test]
fn building_the_state_anew_asks_no_guard() {
    let mut bench = bench(true);
    let txn = under(&mut bench, free(1), &[added(1)]);
    bench.ok(txn);
    let (bench, boot, report) = bench.reopen(options_with(schema_version(2, "text"), true));
    assert!(report.rebuilt.unwrap().pending_skipped.is_empty());
    assert_eq!((bench.items().as_str(), boot.pending.len()), ("1:x", 1));
    assert!(boot.pending[0].own_guard().is_some(), "a later schema may have it again");
}

// Verifies: L4 (what was local has its guard when a backend is attached)
#[test]
fn without_a_backend_it_is_kept_for_the_time_with_one() {
    let mut bench = bench(false);
    let txn = under(&mut bench, free(1), &[added(1)]);
    bench.ok(txn);
    assert_eq!(stored(&bench), 1);
    let (mut bench, boot, _) = bench.reopen(options_with(guarded_schema(1), true));
    assert!(boot.pending[0].own_guard().is_some());
    bench.model.backend = true;
    bench.model.set_heads(boot.heads);
    let txn = bench.model.rebase(&[added(1)]);
    assert_eq!(refused(&mut bench, &txn).len(), 1);
}

// Verifies: S1, R3
#[test]
fn what_its_guard_holds_stays_so_under_another_schema() {
    let mut bench = bench(true);
    let txn = under(&mut bench, free(7), &[added(5)]);
    bench.ok(txn);
    let mut txn = bench.model.rebase(&[added(7)]);
    txn.hold_to = txn.append.last().map(|last| last.seq.pos);
    assert_eq!(bench.ok(txn).len(), 1);
    assert_eq!(bench.items(), "7:x");
    let schema = schema_builder(2, "text TEXT NOT NULL DEFAULT ''")
        .guard_sql("v1.Free", "SELECT count(*) = 0 FROM items WHERE id = :id", Some("it is taken"))
        .build()
        .unwrap();
    let (bench, boot, report) = bench.reopen(options_with(schema, true));
    assert!(report.rebuilt.is_some());
    assert!(boot.held, "it is held, and judged when the log is here; it is now applied: {}", bench.items());
}
