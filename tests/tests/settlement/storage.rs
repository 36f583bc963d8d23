//! Trouble with the disk.

use countersign_core::{
    CommitError, Config, Effect, EffectId, Input, Materialised, Output, Poison, StorageClass, StorageFailure, SyncState,
};
use tests::script::{Script, events};

fn two_in_flight(about: &str) -> Script {
    Script::ready_with(Config { txns_in_flight: 2, ..Config::default() }, about)
}

/// The last two transactions that were asked for.
fn last_two_ordered(s: &Script) -> [EffectId; 2] {
    let ordered = s.outputs().iter().filter_map(|output| match output {
        Output::Effect { id, effect: Effect::Materialise(_) } => Some(*id),
        _ => None,
    });
    let ids: Vec<_> = ordered.collect();
    let [.., first, second] = ids[..] else { panic!("two are under way") };
    [first, second]
}

// Verifies: R3, R5, V3
#[test]
fn a_full_disk_that_is_freed() {
    let mut s = Script::ready(
        "The disk is full: nothing fails, it is tried again with backoff, and what was admitted meanwhile goes with it.",
    );
    let a = s.commit(1, "A");
    s.store_fails(StorageClass::Full);
    let b = s.commit(1, "B");
    assert_eq!(s.txns(), 0);
    s.wake();
    s.store_fails(StorageClass::Full);
    assert!(s.leader(a).is_none() && s.leader(b).is_none());
    s.wake();
    s.run();
    assert!(s.persisted(a) && s.persisted(b));
    assert_eq!((s.positions(a), s.positions(b)), (vec![1], vec![2]));
    assert_eq!(s.status().storage, None);
    insta::assert_snapshot!(s.end());
}

// Verifies: R3, S2
#[test]
fn an_unknown_outcome_that_was_a_commit() {
    let mut s =
        Script::ready("It can't be said whether a transaction was committed; it was. The same is asked for again, and is there.");
    let a = s.commit(1, "A");
    s.store_unknown(true);
    assert!(s.leader(a).is_none());
    s.wake();
    s.store();
    assert!(s.persisted(a));
    s.run();
    assert_eq!(s.log(), ["A@e1"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R3, S2
#[test]
fn an_unknown_outcome_that_was_none() {
    let mut s = Script::ready(
        "It can't be said whether a transaction was committed; it was not. It is carried out when asked for again.",
    );
    let a = s.commit(1, "A");
    s.store_unknown(false);
    let b = s.commit(1, "B");
    s.wake();
    s.run();
    assert!(s.persisted(a) && s.persisted(b));
    assert_eq!(s.log(), ["A@e1", "B@e2"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R3, S2
#[test]
fn an_unknown_outcome_that_was_a_commit_with_a_second_transaction_queued() {
    let mut s = two_in_flight(
        "Txn 2's outcome is unknown (it was committed). Txn 3 is not tried before that is known, and then issued anew.",
    );
    let (a, b) = (s.commit(1, "A"), s.commit(1, "B"));
    assert_eq!(s.txns(), 2);
    s.store_unknown(true);
    s.store();
    assert!(s.leader(a).is_none() && s.leader(b).is_none());
    s.run_awake();
    assert!(s.persisted(a) && s.persisted(b));
    assert_eq!(s.log(), ["A@e1", "B@e2"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R3, S2
#[test]
fn an_unknown_outcome_that_was_none_with_a_second_transaction_queued() {
    let mut s =
        two_in_flight("Txn 2's outcome is unknown (it was not committed). Txn 3 is not tried: both are issued anew, in order.");
    let (a, b) = (s.commit(1, "A"), s.commit(1, "B"));
    s.store_unknown(false);
    s.store();
    s.run_awake();
    assert!(s.persisted(a) && s.persisted(b));
    assert_eq!(s.log(), ["A@e1", "B@e2"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R3, S2
#[test]
fn an_unknown_outcome_that_stays_unknown() {
    let mut s = Script::ready(
        "The outcome of a transaction is unknown (it was committed), and asking again fails: still unknown, and asked again.",
    );
    let a = s.commit(1, "A");
    s.store_unknown(true);
    s.wake();
    s.store_fails(StorageClass::Io);
    s.wake();
    s.store();
    assert!(s.persisted(a));
    s.run();
    assert_eq!(s.log(), ["A@e1"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R3, S2
#[test]
fn a_second_transaction_that_fails_alone() {
    let mut s = two_in_flight("Txn 2 is committed, and txn 3 behind it fails on a full disk: only that is issued anew.");
    let (a, b) = (s.commit(1, "A"), s.commit(1, "B"));
    s.store();
    s.store_fails(StorageClass::Full);
    assert!(s.persisted(a) && s.leader(b).is_none());
    s.run_awake();
    assert_eq!((s.positions(a), s.positions(b)), (vec![1], vec![2]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R3, R6, S2
#[test]
fn a_second_transaction_that_is_poisoned() {
    let mut s =
        two_in_flight("Txn 2 is committed, and txn 3 behind it is poisoned, while C waits: B alone goes, and C joins later.");
    s.poison("B", None);
    let (a, b, c) = (s.commit(1, "A"), s.commit(1, "B"), s.commit(1, "C"));
    s.store_all();
    assert!(s.persisted(a) && s.persisted(c));
    assert_eq!(s.leader_failed(b), s.failed(b));
    s.run();
    assert_eq!(s.log(), ["A@e1", "C@e2r1"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R3, V4
#[test]
fn a_file_with_another_number() {
    let mut s = Script::ready(
        "The file carries another number than was left in it: told as trouble, tried again with backoff, never taken as done.",
    );
    let a = s.commit(1, "A");
    s.store_stale();
    assert!(s.leader(a).is_none() && s.txns() == 0);
    assert!(s.status().storage.is_some());
    s.wake();
    s.run();
    assert!(s.persisted(a));
    insta::assert_snapshot!(s.end());
}

// Verifies: R3, R5
#[test]
fn a_damaged_file_is_final() {
    let mut s =
        Script::ready("The file is damaged: terminal and named. What is stored stays stored, and no more commits are taken.");
    let a = s.commit(1, "A");
    s.store();
    let b = s.commit(1, "B");
    s.store_fails(StorageClass::Corrupt);
    assert!(s.persisted(a) && s.leader(b).is_none());
    assert!(matches!(s.status().sync, SyncState::StorageBroken { .. }));
    let refused = s.try_commit(1, events("C"));
    assert!(matches!(refused, Err(CommitError::StorageBroken { .. })));
    assert_eq!(s.status().next, None, "nothing is tried again");
    s.push();
    assert_eq!(s.positions(a), [1], "an answer still counts");
    insta::assert_snapshot!(s.end());
}

// Verifies: R2, R3
#[test]
fn commits_gather_while_one_transaction_syncs() {
    let mut s =
        Script::ready("Group commit: what is admitted while a transaction syncs goes with the next one, and is Ok in order.");
    s.open(2);
    let a = s.commit(1, "A");
    let (b, c, d) = (s.commit(2, "B"), s.commit(2, "C"), s.commit(2, "D"));
    s.store();
    assert!(s.persisted(a));
    s.store_all();
    assert!(s.persisted(b) && s.persisted(c) && s.persisted(d));
    s.run();
    insta::assert_snapshot!(s.end());
}

// Verifies: V5, R2
#[test]
fn a_transaction_is_bounded_and_never_cuts_a_commit() {
    let config = Config { txn_events: 3, ..Config::default() };
    let mut s = Script::ready_with(config, "At most 3 events in a transaction, but a larger commit goes whole.");
    s.commit(1, "Z");
    let (a, b, c) = (s.commit(1, "A1 A2"), s.commit(1, "B1 B2 B3 B4"), s.commit(1, "C1"));
    s.store();
    s.store();
    assert!(s.persisted(a) && s.leader(b).is_none());
    s.store();
    assert!(s.persisted(b) && s.leader(c).is_none());
    s.run();
    assert_eq!(s.positions(c), [8]);
    insta::assert_snapshot!(s.end());
}

// Verifies: V4
#[test]
fn a_damaged_file_is_not_tried_again_whatever_comes_after() {
    let mut s = two_in_flight("The file is damaged. What is said of the second transaction after that changes nothing.");
    s.commit(1, "A");
    s.commit(1, "B");
    let [first, second] = last_two_ordered(&s);
    let met = |class| StorageFailure { class, message: "it was met".into() };
    s.tell(Input::Materialised { id: first, outcome: Materialised::UnknownOutcome(met(StorageClass::Corrupt)) });
    s.tell(Input::Materialised { id: second, outcome: Materialised::Failed(met(StorageClass::Full)) });
    assert!(matches!(s.status().sync, SyncState::StorageBroken { .. }));
    assert_eq!(s.status().next, None, "a deadline that nobody looks at would pass again and again");
}

// Verifies: R3, R6, S2
#[test]
fn nobody_is_refused_by_a_transaction_that_stands_on_one_of_unknown_outcome() {
    let mut s = two_in_flight(
        "Txn 2's outcome is unknown (it was committed), and txn 3 is said to be refused: it stands on nothing that is known. Both are\n\
         asked for again, and B is fine.",
    );
    let (a, b) = (s.commit(1, "A"), s.commit(1, "B"));
    let [_, second] = last_two_ordered(&s);
    s.store_unknown(true);
    let poison = Poison::Materialise { event: "B".into(), message: "no such row".into() };
    s.tell(Input::Materialised { id: second, outcome: Materialised::RolledBack { refused: vec![(b, poison)] } });
    s.run_awake();
    assert!(s.persisted(a) && s.persisted(b));
    assert_eq!((s.positions(a), s.positions(b)), (vec![1], vec![2]));
    assert!(s.quarantine().is_empty());
}
