//! Orders at work: appended, confirmed, refused, skipped, found again.

use countersign_core::{Certainty, Entry, Heads, Origin, Poison, Pos, Seq, SessionId, Standing, WireIds};

use super::*;

// Verifies: S1, L1, L3
#[test]
fn events_are_appended_and_confirmed() {
    let mut bench = Bench::new(true);
    bench.commit(&[event("v1.Seen", 1, "")]);
    assert_eq!(bench.model.heads.settled, Pos { global: 0, client: 1 });
    bench.commit(&[added(1), event("v1.Seen", 2, ""), added(2)]);
    bench.commit(&[event("v1.Seen", 3, "")]);
    let txn = bench.model.confirm(1);
    bench.ok(txn);
    assert_eq!(bench.model.heads.settled, Pos { global: 1, client: 1 });
    assert_eq!(bench.trail(), "seen 1, added 1, seen 2, added 2, seen 3");
    let (mut bench, boot, _) = bench.reopen(options(true));
    assert_eq!(boot.pending, bench.model.pending());
    assert_eq!(boot.pending.len(), 2);
    assert_eq!((boot.number, boot.heads, boot.settled_head), (4, bench.model.heads.clone(), bench.model.heads.settled));
    assert_eq!(boot.anchor, Some(bench.model.log[1].clone()));
    let txn = bench.model.confirm(1);
    bench.ok(txn);
    let (_, boot, _) = bench.reopen(options(true));
    assert!(boot.pending.is_empty());
}

#[test]
fn what_has_settled_keeps_no_undo() {
    let mut bench = Bench::new(true);
    for id in 1..5 {
        bench.commit(&[added(id)]);
    }
    let forgotten = |bench: &mut Bench| ledger::Ledger::read(&bench.storage.file().unwrap().conn).unwrap().forgotten;
    assert_eq!(forgotten(&mut bench), 0);
    let txn = bench.model.confirm(3);
    bench.ok(txn);
    assert_eq!(forgotten(&mut bench), 3);
}

// Verifies: S2
#[test]
fn an_order_that_stands_on_another_transaction_is_stale() {
    let mut bench = Bench::new(true);
    bench.commit(&[added(1)]);
    for number in [0, 1, 3, u64::MAX] {
        let entries = bench.model.own(&[added(2)]);
        let txn = Txn { number, ..bench.model.append(entries) };
        assert_eq!(bench.storage.materialise(&txn), Materialised::Stale, "{number}");
    }
    bench.check();
}

// Verifies: L4
#[test]
fn all_poisoned_commits_are_named_in_one_pass_each_judged_without_the_others() {
    let mut bench = Bench::new(true);
    bench.commit(&[added(1)]);
    let mut entries = Vec::new();
    // The second event of the second commit collides; the fourth commit would, if the second stood; the fifth does, with the first.
    for events in [vec![added(2)], vec![added(3), added(1)], vec![added(4)], vec![added(3)], vec![event("v1.Noted", 9, "")]] {
        let head = entries.last().map_or(bench.model.head(), |entry: &Entry| entry.seq.pos);
        entries.extend(bench.model.own_after(head, true, &events));
    }
    let txn = bench.model.append(entries);
    let Materialised::RolledBack { refused } = bench.storage.materialise(&txn) else { panic!("not refused") };
    assert_eq!(refused.iter().map(|(commit, _)| commit.ordinal).collect::<Vec<_>>(), [3, 6]);
    let Poison::Materialise { event, message } = &refused[0].1 else { panic!("{refused:?}") };
    assert!(&**event == "v1.Added" && message.contains("UNIQUE"), "{message}");
    bench.check();
    let commits: Vec<_> = refused.iter().map(|(commit, _)| *commit).collect();
    let txn = bench.model.withdraw(&txn, &commits, Certainty::NotApplied);
    assert_eq!(bench.ok(txn), []);
    assert_eq!(bench.items(), "1:x 2:x 3:x 4:x");
    let quarantine = bench.storage.quarantine().unwrap();
    assert_eq!(quarantine.iter().map(|row| row.quarantined.events.len()).collect::<Vec<_>>(), [2, 1]);
    let found = bench.storage.find(commits[0]).unwrap();
    assert!(matches!(&found, Found::Quarantined(row) if !row.acknowledged), "{found:?}");
    assert!(bench.storage.acknowledge(commits[0]).unwrap());
    assert!(matches!(bench.storage.find(commits[0]).unwrap(), Found::Quarantined(row) if row.acknowledged));
    let (mut bench, boot, _) = bench.reopen(options(true));
    assert!(boot.uncertain.is_empty());
    assert!(!bench.storage.acknowledge(CommitId { session: SessionId([9; 16]), ordinal: 1 }).unwrap());
}

#[test]
fn what_is_confirmed_and_does_not_apply_stands_without_effect() {
    let mut bench = Bench::new(true);
    bench.commit(&[added(1), added(2)]);
    // Another client has taken both names first, and one of its events nobody knows.
    let txn = bench.model.rebase(&[added(5), event("v9.Unheard", 1, ""), added(5), event("v1.Noted", 77, "")]);
    let skipped = bench.ok(txn);
    assert_eq!(skipped.iter().map(|skip| skip.at.global).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(&*skipped[0].reason, "unknown event");
    assert!(skipped[1].reason.contains("UNIQUE") && skipped[2].reason.contains("FOREIGN KEY"), "{skipped:?}");
    // The first statement of the event that was skipped has no effect either.
    assert_eq!(bench.trail(), "added 5, added 1, added 2");
    let rows = Reader::open(&bench.path()).unwrap().log(Pos::synced(1), 2).unwrap();
    assert_eq!(
        rows.iter().map(|row| row.skip.as_deref()).collect::<Vec<_>>(),
        [Some("unknown event"), Some(&*skipped[1].reason)]
    );
    assert!(rows.iter().all(|row| row.state == LogState::Confirmed));
}

// Verifies: R1, S1, S3
#[test]
fn what_the_backend_may_have_and_does_not_apply_is_held() {
    let mut bench = Bench::new(true);
    bench.commit(&[added(1), added(2)]);
    bench.commit(&[added(3)]);
    let last = bench.model.head().global;
    // Another client has taken a name first: the whole commit has no effect, and stays in the log. So it does if the store is
    // opened again, and its next transaction knows nothing of it.
    let mut txn = bench.model.rebase(&[added(2)]);
    txn.hold_to = Some(Pos::synced(last + 1));
    let skipped = bench.ok(txn);
    assert_eq!(skipped.iter().map(|skip| skip.at.global).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(bench.items(), "2:x 3:x");
    let (mut bench, boot, _) = bench.reopen(options(true));
    assert!(boot.held && boot.pending.len() == 3);
    bench.commit(&[added(4)]);
    bench.check();
    assert_eq!(bench.items(), "2:x 3:x 4:x");
    // Judged again, and nothing is held up to there: it is refused, and what it wrote stays undone.
    let txn = bench.model.rebase(&[]);
    let Materialised::RolledBack { refused } = bench.storage.materialise(&txn) else { panic!("not refused") };
    assert_eq!(refused.len(), 1);
    let txn = bench.model.withdraw(&txn, &[refused[0].0], Certainty::Unknown);
    assert_eq!(bench.ok(txn), []);
    let (bench, boot, _) = bench.reopen(options(true));
    assert!(!boot.held && boot.uncertain.len() == 1);
    assert_eq!(bench.items(), "2:x 3:x 4:x");
}

// Verifies: S1
#[test]
fn what_is_held_and_confirmed_is_applied_where_it_stands() {
    let mut bench = Bench::new(true);
    bench.commit(&[event("v1.Changed", 9, "+"), added(9), added(1)]);
    let mut txn = bench.model.rebase(&[added(1)]);
    txn.hold_to = Some(Pos::synced(4));
    assert_eq!(bench.ok(txn).len(), 3);
    assert_eq!(bench.items(), "1:x");
    // The backend has it behind that: event by event, as every other client has it.
    let mut txn = bench.model.rebase(&[]);
    for entry in &mut txn.append {
        entry.standing = Standing::Confirmed;
    }
    (txn.heads.upstream, txn.heads.upstream_parent, txn.heads.settled) = (4, 3, Pos::synced(4));
    let skipped = bench.ok(txn);
    assert_eq!(skipped.iter().map(|skip| skip.at.global).collect::<Vec<_>>(), [4]);
    assert_eq!(bench.items(), "1:x 9:x");
}

#[test]
fn an_own_confirmed_event_that_does_not_apply_is_skipped_alone() {
    let mut bench = Bench::new(true);
    bench.commit(&[added(1), added(2)]);
    // Found confirmed behind another client's events, under which the first of the two can't be applied.
    let mut txn = bench.model.rebase(&[added(1)]);
    for entry in &mut txn.append {
        entry.standing = Standing::Confirmed;
    }
    (txn.heads.upstream, txn.heads.upstream_parent, txn.heads.settled) = (3, 2, Pos::synced(3));
    let skipped = bench.ok(txn);
    assert_eq!(skipped.iter().map(|skip| skip.at.global).collect::<Vec<_>>(), [2]);
    assert_eq!(bench.items(), "1:x 2:x");
}

#[test]
fn an_own_event_that_nobody_knows_is_stored_and_reported() {
    let mut bench = Bench::new(true);
    let entries = bench.model.own(&[event("v9.Unheard", 1, ""), added(1)]);
    let txn = bench.model.append(entries);
    let skipped = bench.ok(txn);
    assert_eq!((skipped.len(), skipped[0].at), (1, Pos::synced(1)));
    assert_eq!(bench.items(), "1:x");
}

#[test]
fn foreign_identities_and_gaps_are_kept() {
    let mut bench = Bench::new(true);
    let mut txn = bench.model.rebase(&[added(1), added(2)]);
    let ids = Some(WireIds { ordinal: 4, commit: 2, last: true });
    txn.append[0].origin = Origin::Foreign { client: Arc::from("c9"), session: Arc::from("any text"), ids };
    txn.append[1].seq = Seq::new(Pos::synced(5), 0);
    txn.append[1].parent = Pos::synced(1);
    (txn.heads.upstream, txn.heads.upstream_parent, txn.heads.settled) = (5, 1, Pos::synced(5));
    bench.ok(txn);
    let (_, boot, _) = bench.reopen(options(true));
    assert_eq!(boot.anchor.unwrap().parent, Pos::synced(1));
}

#[test]
fn a_broken_chain_is_refused_rather_than_stored() {
    let mut bench = Bench::new(true);
    let mut entries = bench.model.own(&[event("v1.Seen", 1, "")]);
    entries[0].parent = Pos::synced(9);
    let txn = bench.model.append(entries);
    assert!(matches!(bench.storage.materialise(&txn), Materialised::Failed(failure) if failure.message.contains("e9")));
    bench.check();
}

#[test]
fn a_commit_is_found_wherever_it_is() {
    let mut bench = Bench::new(true);
    let first = bench.commit(&[added(1), added(2)]);
    let second = bench.commit(&[added(3)]);
    bench.model.commits += 1;
    let empty = CommitId { ordinal: bench.model.commits, ..first };
    let txn = bench.model.confirm(2);
    bench.ok(txn);
    let future = CommitId { ordinal: 9, ..first };
    let stranger = CommitId { session: SessionId([9; 16]), ordinal: 1 };
    let mut reader = Reader::open(&bench.path()).unwrap();
    for id in [first, second, empty, future, stranger] {
        assert_eq!(reader.find(id).unwrap(), bench.storage.find(id).unwrap());
    }
    let found = reader.find(first).unwrap();
    assert!(matches!(&found, Found::InLog { entries, quarantined: None, .. } if entries.len() == 2) && found.confirmed());
    assert!(!reader.find(second).unwrap().confirmed());
    assert_eq!(reader.find(empty).unwrap(), Found::DecidedWithoutEvents);
    assert_eq!(reader.find(future).unwrap(), Found::Unknown);
    assert_eq!(reader.find(stranger).unwrap(), Found::Unknown);
}

// Verifies: R1
#[test]
fn a_released_commit_is_found_in_the_log_with_the_error_it_settled_with() {
    let mut bench = Bench::new(true);
    let commit = bench.commit(&[added(1), added(2)]);
    let txn = bench.model.txn();
    let txn = bench.model.withdraw(&txn, &[commit], Certainty::Unknown);
    let events = txn.failed[0].events.clone();
    bench.ok(txn);
    let (mut bench, boot, _) = bench.reopen(options(true));
    assert_eq!(boot.uncertain.len(), 1);
    assert_eq!(boot.uncertain[0].events, events);
    // The backend had them after all.
    let mut txn = bench.model.rebase(&[added(1), added(2)]);
    for (entry, own) in txn.append.iter_mut().zip(&events) {
        entry.origin = Origin::Own { id: own.id, commit: own.commit, last: own.last, rebases: 0, guard: None };
        txn.release.push(own.id);
    }
    bench.ok(txn);
    let Found::InLog { entries, quarantined: Some(row), .. } = bench.storage.find(commit).unwrap() else { panic!("not found") };
    assert!(entries.len() == 2 && row.quarantined.events.is_empty() && row.quarantined.error.certainty() == Certainty::Unknown);
    let (_, boot, _) = bench.reopen(options(true));
    assert!(boot.uncertain.is_empty());
}

#[test]
fn readers_see_what_is_committed_and_change_nothing() {
    let mut bench = Bench::new(true);
    let mut reader = Reader::open(&bench.path()).unwrap();
    bench.commit(&[added(1), event("v1.Seen", 1, "")]);
    let status = reader.status().unwrap();
    assert_eq!((status.entries, status.pending, status.transactions, status.head.to_string().as_str()), (2, 2, 1, "e1.1"));
    let rows = reader.query("SELECT id, text, id FROM items").unwrap();
    assert_eq!(rows.columns, ["id", "text", "id:2"]);
    assert_eq!(rows.rows, [[serde_json::Value::from(1), "x".into(), 1.into()]]);
    for sql in ["DELETE FROM items", "CREATE TABLE t (x)", "PRAGMA user_version = 3", "BEGIN", "ATTACH 'x.db' AS x"] {
        assert!(matches!(reader.query(sql), Err(ReadError::NotReadOnly { .. })), "{sql}: {:?}", reader.query(sql));
    }
    assert!(matches!(reader.query("SELECT nothing"), Err(ReadError::Sql { message }) if message.contains("nothing")));
    let mut seen = Vec::new();
    reader
        .each(Pos::ROOT, |row| {
            seen.push(row.entry.seq.pos.to_string());
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, ["e1", "e1.1"]);
}

// Verifies: S1, S3
#[test]
fn what_is_held_is_told_once() {
    let mut bench = Bench::new(true);
    bench.commit(&[event("v9.Unheard", 1, ""), added(1)]);
    let mut txn = bench.model.rebase(&[added(1)]);
    txn.hold_to = Some(Pos::synced(3));
    let skipped = bench.ok(txn);
    assert_eq!(skipped.iter().map(|skip| skip.at.global).collect::<Vec<_>>(), [2, 3], "{skipped:?}");
}

// Verifies: S1, S3
#[test]
fn what_is_held_stays_so_when_an_undo_builds_the_state_anew() {
    let mut bench = Bench::new(true);
    bench.commit(&[added(9), added(1)]);
    bench.commit(&[added(5)]);
    let mut txn = bench.model.rebase(&[added(1)]);
    txn.hold_to = Some(Pos::synced(4));
    assert_eq!(bench.ok(txn).len(), 2);
    assert_eq!(bench.items(), "1:x 5:x");
    // Without a backend for a while: what was done can't be undone any more.
    let (mut bench, boot, _) = bench.reopen(options(false));
    bench.model.backend = false;
    bench.model.set_heads(countersign_core::Heads { settled: bench.model.head(), ..boot.heads });
    bench.commit(&[added(6)]);
    let (mut bench, boot, _) = bench.reopen(options(true));
    assert!(boot.held);
    bench.model.backend = true;
    bench.model.set_heads(boot.heads);
    // The third and fourth commit are withdrawn; the first stays where it is, held.
    let kept = bench.model.log.iter().filter(|entry| entry.seq.pos <= Pos::synced(3)).cloned().collect::<Vec<_>>();
    let mut txn = bench.model.txn();
    txn.undo_to = kept.last().map(|entry| entry.seq.pos);
    bench.ok(txn);
    assert_eq!(bench.items(), "1:x", "as sessions have it, that leave out the whole commit");
}

// Verifies: R4, R6 (how much of a commit the backend has is known of each that waits, whoever else waits before it)
#[test]
fn a_commit_that_is_split_behind_another_ones_is_known_as_split() {
    let mut bench = Bench::new(true);
    bench.commit(&[added(1)]);
    (bench.model.session, bench.model.ordinal, bench.model.commits) = (SessionId([8; 16]), 0, 0);
    let split = bench.commit(&[added(2), added(3)]);
    // An older copy of the file has the first commit still: the backend has the first event of the second, and not it.
    let [first, confirmed, rest]: [Entry; 3] = bench.model.pending().try_into().unwrap();
    let at = |global, standing, entry: Entry| {
        let (seq, parent) = (Seq::new(Pos::synced(global), 1), Pos::synced(global - 1));
        Entry { seq, parent, standing, ..entry }
    };
    let mut txn = bench.model.txn();
    txn.undo_to = Some(Pos::ROOT);
    let confirmed = Entry { seq: Seq::new(Pos::synced(1), 0), ..at(1, Standing::Confirmed, confirmed) };
    txn.append = vec![confirmed, at(2, Standing::Pending, first), at(3, Standing::Pending, rest)];
    txn.heads = Heads { upstream: 1, acknowledged: 1, settled: Pos::synced(1), generation: 1, ..bench.model.heads.clone() };
    bench.ok(txn);
    let (_bench, boot, _) = bench.reopen(options(true));
    assert_eq!(boot.partly_confirmed, [(split, vec![1])]);
}
