//! Undo, rebase, and building the state anew.

use countersign_core::{Certainty, Heads, Pos, SessionApplied, SessionTxn};

use super::*;

// Verifies: S1, S3, R8
#[test]
fn a_rebase_renumbers_what_is_pending() {
    let mut bench = Bench::new(true);
    let confirmed = bench.commit(&[added(1)]);
    let txn = bench.model.confirm(1);
    bench.ok(txn);
    let commit = bench.commit(&[added(2), event("v1.Changed", 1, "-mine"), event("v1.Seen", 2, "")]);
    let txn = bench.model.rebase(&[event("v1.Changed", 1, "-theirs")]);
    assert_eq!(txn.undo_to, Some(Pos::synced(1)));
    bench.ok(txn);
    assert_eq!(bench.items(), "1:x-theirs-mine 2:x");
    let Found::InLog { entries, .. } = bench.storage.find(commit).unwrap() else { panic!("not found") };
    assert_eq!(entries.iter().map(|entry| entry.seq.to_string()).collect::<Vec<_>>(), ["e3r1", "e4r1", "e4.1r1"]);
    assert!(bench.storage.find(confirmed).unwrap().confirmed());
}

// Verifies: S3
#[test]
fn a_rebase_that_poisons_own_commits_is_rolled_back_and_named() {
    let mut bench = Bench::new(true);
    bench.commit(&[added(1)]);
    bench.commit(&[added(2)]);
    bench.commit(&[added(3)]);
    let txn = bench.model.rebase(&[added(2)]);
    let Materialised::RolledBack { refused } = bench.storage.materialise(&txn) else { panic!("not refused") };
    assert_eq!(refused.len(), 1);
    bench.check();
    let txn = bench.model.withdraw(&txn, &[refused[0].0], Certainty::Unknown);
    bench.ok(txn);
    assert_eq!(bench.trail(), "added 2, added 1, added 3");
}

// Verifies: L8
#[test]
fn a_wipe_forgets_history_and_keeps_the_quarantine() {
    let mut bench = Bench::new(true);
    let confirmed = bench.commit(&[added(1)]);
    let txn = bench.model.confirm(1);
    bench.ok(txn);
    let pending = bench.commit(&[added(2)]);
    let mut txn = bench.model.txn();
    txn = bench.model.withdraw(&txn, &[pending], Certainty::Unknown);
    (txn.wipe, txn.undo_to, txn.heads) = (true, None, Default::default());
    txn.heads.generation = 1;
    bench.ok(txn);
    assert_eq!(bench.items(), "");
    assert!(matches!(bench.storage.find(pending).unwrap(), Found::Quarantined(_)));
    assert_eq!(bench.storage.find(confirmed).unwrap(), Found::Forgotten);
    let next = bench.commit(&[added(1)]);
    assert!(matches!(bench.storage.find(next).unwrap(), Found::InLog { .. }));
    let (_, boot, _) = bench.reopen(options(true));
    assert_eq!((boot.pending.len(), boot.anchor), (1, None));
    assert_eq!(boot.uncertain, [], "what was meant for another backend is not looked for in this one");
}

// Verifies: S1
#[test]
fn a_local_log_becomes_pending_when_a_backend_is_attached() {
    let mut bench = Bench::new(false);
    bench.commit(&[event("v1.Seen", 0, "")]);
    bench.commit(&[added(1), event("v1.Seen", 1, "")]);
    bench.commit(&[added(2)]);
    assert!(bench.model.pending().is_empty());
    let (mut bench, boot, _) = bench.reopen(options(true));
    bench.model.backend = true;
    bench.model.set_heads(Heads { settled: Pos { global: 0, client: 1 }, ..Heads::default() });
    assert_eq!(
        (boot.heads.settled, boot.settled_head, boot.pending.len()),
        (bench.model.heads.settled, Pos { global: 0, client: 1 }, 3)
    );
    bench.check();
    bench.commit(&[added(3)]);
    // A later part can still be undone alone.
    let commit = bench.commit(&[added(4)]);
    let txn = bench.model.txn();
    let txn = bench.model.withdraw(&txn, &[commit], Certainty::NotApplied);
    bench.ok(txn);
    // The backend holds other events: undo doesn't reach, the state is built anew.
    let txn = bench.model.rebase(&[added(9)]);
    bench.ok(txn);
    assert_eq!(bench.trail(), "seen 0, added 9, added 1, seen 1, added 2, added 3");
    let txn = bench.model.rebase(&[added(8)]);
    bench.ok(txn);
    assert_eq!(bench.trail(), "seen 0, added 9, added 8, added 1, seen 1, added 2, added 3");
    let txn = bench.model.confirm(3);
    bench.ok(txn);
    let (_, boot, _) = bench.reopen(options(true));
    assert!(boot.pending.is_empty());
}

// Verifies: S1
#[test]
fn undo_into_the_middle_of_what_was_local_builds_the_state_anew() {
    let mut bench = Bench::new(false);
    bench.commit(&[added(1)]);
    let second = bench.commit(&[added(2)]);
    bench.commit(&[added(3)]);
    let (mut bench, ..) = bench.reopen(options(true));
    bench.model.backend = true;
    bench.model.set_heads(Heads::default());
    let txn = bench.model.txn();
    let txn = bench.model.withdraw(&txn, &[second], Certainty::NotApplied);
    assert_eq!(txn.undo_to, Some(Pos::synced(1)));
    bench.ok(txn);
    assert_eq!(bench.trail(), "added 1, added 3");
    // What was replayed can be undone now.
    let txn = bench.model.rebase(&[added(7)]);
    bench.ok(txn);
    assert_eq!(bench.trail(), "added 7, added 1, added 3");
}

/// A store that lost its backend settles everything; with a backend again, old marks must not pass for undo.
#[test]
fn a_backend_taken_away_and_attached_again_leaves_no_false_undo() {
    let mut bench = Bench::new(true);
    bench.commit(&[added(1)]);
    bench.commit(&[added(2)]);
    let (mut bench, boot, _) = bench.reopen(options(false));
    assert_eq!(boot.pending.len(), 2);
    bench.model.backend = false;
    let mut txn = bench.model.txn();
    txn.heads.settled = Pos::synced(2);
    bench.ok(txn);
    let (mut bench, boot, _) = bench.reopen(options(true));
    assert_eq!(boot.pending.len(), 2);
    bench.model.backend = true;
    bench.model.set_heads(Heads::default());
    let txn = bench.model.rebase(&[added(7)]);
    bench.ok(txn);
    assert_eq!(bench.trail(), "added 7, added 1, added 2");
}

// Verifies: S1, S3
#[test]
fn another_schema_builds_the_state_anew_and_keeps_what_is_pending() {
    let mut bench = Bench::new(true);
    let txn = bench.model.rebase(&[added(1), event("v1.Noted", 5, "skipped"), event("v9.Unheard", 1, "")]);
    assert_eq!(bench.ok(txn).len(), 2);
    bench.commit(&[added(2), event("v1.Changed", 2, "+long")]);
    bench.commit(&[added(30)]);
    // Interrupted, nothing has changed.
    let Bench { folder, storage, model } = bench;
    drop(storage);
    let path = store_path(&folder);
    let other = || schema_version(2, "text TEXT NOT NULL DEFAULT '', CHECK (length(text) < 3 AND id < 30)");
    fault::arm(fault::Point::BeforeCommit);
    assert!(Storage::open(&path, options_with(other(), true)).is_err());
    let (storage, _, report) = Storage::open(&path, options(true)).unwrap();
    assert_eq!(report, OpenReport::default());
    drop(storage);
    let told = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let heard = std::rc::Rc::clone(&told);
    let progress: Box<dyn FnMut(Progress)> = Box::new(move |at| heard.borrow_mut().push(at));
    let (storage, boot, report) =
        Storage::open(&path, Options { progress: Some(progress), ..options_with(other(), true) }).unwrap();
    assert_eq!(*told.borrow(), [Progress { done: 6, total: 6 }]);
    let rebuilt = report.rebuilt.unwrap();
    assert_eq!(rebuilt.events, 6);
    assert_eq!(rebuilt.pending_skipped.iter().map(|skip| skip.at.global).collect::<Vec<_>>(), [5, 6]);
    assert_eq!(rebuilt.skipped.iter().map(|skip| skip.at.global).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(boot.pending.len(), 3);
    assert!(!boot.held, "it goes to the backend all the same");
    let mut bench = Bench { folder, storage, model };
    bench.check();
    assert_eq!(bench.items(), "1:x 2:x");
    // What is pending can be undone; what no longer applies is judged anew when it is applied again.
    let txn = bench.model.rebase(&[added(3)]);
    let Materialised::RolledBack { refused } = bench.storage.materialise(&txn) else { panic!("not refused") };
    assert_eq!(refused.iter().map(|(commit, _)| commit.ordinal).collect::<Vec<_>>(), [1, 2]);
    bench.check();
    // Back under the first schema, the skips are lifted.
    let (mut bench, _, report) = bench.reopen(options(true));
    assert!(report.rebuilt.unwrap().pending_skipped.is_empty());
    bench.check();
    assert_eq!(bench.items(), "1:x 2:x+long 30:x");
}

// Verifies: S3
#[test]
fn a_session_undoes_what_the_leader_undoes() {
    let mut bench = Bench::new(true);
    bench.commit(&[added(1)]);
    let txn = bench.model.confirm(1);
    bench.ok(txn);
    bench.commit(&[added(2), event("v1.Changed", 1, "-mine")]);
    bench.commit(&[event("v1.Removed", 1, ""), event("v1.Seen", 1, "")]);
    let (mut session, seed) = bench.storage.snapshot().unwrap();
    assert_eq!((seed.number, seed.head, &seed.pending), (4, bench.model.log.last().unwrap().seq, &bench.model.pending()));
    let items = |session: &SessionDb| {
        let sql = "SELECT group_concat(id || ':' || text, ' ') FROM (SELECT * FROM items ORDER BY id)";
        session.query(|conn| conn.query_row(sql, [], |row| row.get::<_, Option<String>>(0))).unwrap().unwrap_or_default()
    };
    assert_eq!(items(&session), bench.items());
    for (undo, expected) in [(2, "1:x-mine 2:x"), (1, "1:x 2:x"), (1, "1:x")] {
        let txn = SessionTxn { undo, ..SessionTxn::default() };
        assert_eq!(session.run(&txn), SessionApplied::Done);
        assert_eq!(items(&session), expected);
    }
    let last = bench.model.log.len() - 4;
    let mut txn = bench.model.txn();
    txn.undo_to = Some(bench.model.log[last - 1].seq.pos);
    bench.ok(txn);
    assert_eq!(bench.items(), "1:x");
}

/// A session that would have to undo what can't be undone says so, rather than undo too little.
#[test]
fn a_session_without_undo_asks_to_be_seeded_anew() {
    let mut bench = Bench::new(false);
    bench.commit(&[added(1)]);
    let (mut bench, ..) = bench.reopen(options(true));
    bench.model.backend = true;
    bench.model.set_heads(Heads::default());
    bench.commit(&[added(2)]);
    let (mut session, seed) = bench.storage.snapshot().unwrap();
    assert_eq!(seed.pending.len(), 2);
    let undo = SessionTxn { undo: 1, ..SessionTxn::default() };
    assert_eq!(session.run(&undo), SessionApplied::Done);
    assert!(matches!(session.run(&undo), SessionApplied::Failed { .. }));
}

use crate::session::SessionDb;
