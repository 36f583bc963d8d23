//! The golden traces: what a receipt goes through, as transcripts. S session, L leader, B backend.

use countersign_core::{Certainty, IdentityPolicy, InvalidPush, StorageClass, SyncError, Whereabouts};
use tests::script::{Script, event};

// Verifies: R1, R2, R3, R4
#[test]
fn t1_happy_path_settles_at_the_acknowledgement() {
    let mut s = Script::ready(
        "T1, happy: S commits A at e1, L stores it, B acknowledges it, then the pull echoes A.\n\
         The backend stage settles at the first of the two; only the pull moves the cursor on disk.",
    );
    let a = s.commit(1, "A");
    assert_eq!((s.leader(a), s.backend(a)), (None, None));
    assert_eq!(s.pushed(), None, "only what is stored is pushed");
    s.store();
    assert!(s.persisted(a) && s.backend(a).is_none());
    s.push();
    assert_eq!(s.positions(a), [1]);
    assert_eq!(s.status().upstream_head.global, 0);
    s.page();
    s.store();
    assert_eq!(s.status().upstream_head.global, 1);
    assert_eq!(s.log(), ["A@e1"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R2, R4
#[test]
fn t1_happy_path_settles_at_the_echo_if_that_is_first() {
    let mut s = Script::ready("T1, the other order: the echo overtakes the acknowledgement, which then changes nothing.");
    let a = s.commit(1, "A");
    s.store();
    let late = s.delay_reply();
    s.page();
    assert_eq!(s.positions(a), [1]);
    s.store();
    s.push_arrives(late);
    assert_eq!(s.log(), ["A@e1"]);
    assert_eq!(s.status().pending_events, 0);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R5, R8, S3
#[test]
fn t2_renumbered_after_leader_ok() {
    let mut s = Script::ready(
        "T2: a foreign X takes e1 first. L rebases A to e2. The leader stage stays ok, the backend stage pends, then ok at e2.",
    );
    let a = s.commit(1, "A");
    s.store();
    s.others("X");
    s.push();
    assert_eq!(s.status().server_ahead, 1);
    s.page();
    assert!(s.persisted(a) && s.backend(a).is_none());
    s.store();
    assert_eq!(s.log(), ["X'@e1", "A@e2r1"]);
    assert_eq!(s.database(1), ["X", "A"]);
    s.push();
    assert_eq!(s.positions(a), [2]);
    assert_eq!(s.rebases(a), 1);
    s.run();
    assert_eq!(s.backend_log(), ["X", "A"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R4, R8
#[test]
fn t3_a_commit_split_over_two_pushes_settles_with_its_last_event() {
    let mut s = Script::ready(
        "T3: a commit of 150 events is split over two pushes, with a foreign X between them.\n\
         The receipt settles with the last event, at its later number.",
    );
    let many = (1..=150).map(|n| event(&format!("A{n}"))).collect();
    let a = s.commit_events(1, many);
    s.store();
    assert_eq!(s.pushed().map(|names| names.len()), Some(100));
    s.push();
    assert_eq!(s.backend(a), None);
    s.others("X");
    s.push();
    s.page();
    assert_eq!(s.backend(a), None);
    s.store();
    s.push();
    let expected: Vec<u64> = (1..=100).chain(102..=151).collect();
    assert_eq!(s.positions(a), expected);
    s.run();
    assert_eq!(s.backend_log().len(), 151);
    assert_eq!(s.log().len(), 151);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R8, L4
#[test]
fn t4_the_leader_is_ahead_of_a_session() {
    let mut s = Script::ready(
        "T4: L is already at e1 when S1 gives A the place e1: refused inside, rebased, sent again. No stage ever failed.",
    );
    s.open(2);
    let a = s.begin(1, "A");
    let b = s.commit(2, "B");
    s.finish(1, true);
    assert_eq!(s.status().leader_ahead, 1);
    s.store_all();
    assert!(s.persisted(a) && s.persisted(b));
    assert_eq!(s.log(), ["B@e1", "A@e2"]);
    assert_eq!(s.database(1), ["B", "A"]);
    s.run();
    assert_eq!((s.positions(a), s.positions(b)), (vec![2], vec![1]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R4, R5, L6
#[test]
fn t5_lost_acknowledgement() {
    let mut s = Script::ready(
        "T5: the reply to the push of A is lost, and B takes A only after the pull that looked for it. The next push is refused as\n\
         ServerAhead, an active pull brings A back, the backend stage is ok once, and A is in the log once.",
    );
    let a = s.commit(1, "A");
    s.store();
    let slow = s.lose_push();
    s.page();
    s.push_arrives_unnoticed(slow);
    assert_eq!(s.backend(a), None);
    s.wake();
    assert_eq!(s.pushed(), Some(vec!["A".to_owned()]));
    s.push();
    assert!(s.pull_under_way().is_some_and(|pull| pull.fresh), "the refusal makes an active pull");
    s.page();
    assert_eq!(s.positions(a), [1]);
    s.run();
    assert_eq!(s.log(), ["A@e1"]);
    assert_eq!(s.backend_log(), ["A"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R4, R5, L6
#[test]
fn t5_lost_acknowledgement_that_the_next_pull_makes_up_for() {
    let mut s = Script::ready("T5, shorter: B took A before the pull that looks for it, and nothing is pushed again.");
    let a = s.commit(1, "A");
    s.store();
    s.push_reply_lost();
    assert_eq!(s.backend(a), None);
    s.page();
    assert_eq!(s.positions(a), [1]);
    s.run_awake();
    assert_eq!(s.status().server_ahead, 0);
    assert_eq!(s.log(), ["A@e1"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R4, L4, L6
#[test]
fn t6_accepted_then_killed_before_the_reply() {
    let mut s = Script::ready(
        "T6: accepted, process killed before the reply, opened again: the receipt is found, then ok, without a duplicate.",
    );
    let a = s.commit(1, "A");
    s.store();
    s.push_reply_lost();
    s.crash();
    assert!(s.persisted(a) && s.backend(a).is_none());
    assert_eq!(s.pushed(), None, "pull before push");
    s.page();
    assert_eq!(s.positions(a), [1]);
    s.run();
    assert_eq!(s.log(), ["A@e1"]);
    assert_eq!(s.backend_log(), ["A"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R2, L7
#[test]
fn t7_client_only_commit() {
    let mut s =
        Script::ready("T7: of a client-only commit the backend stage does not apply, and says so when the leader stage is ok.");
    let c = s.commit(1, "c");
    assert_eq!(s.backend(c), None);
    s.store();
    assert!(s.persisted(c) && s.not_applicable(c));
    assert_eq!(s.pushed(), None);
    assert_eq!(s.log(), ["c@e0.1"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R3, R6, L8
#[test]
fn t8_backend_reset() {
    let mut s = Script::ready(
        "T8: the backend is another one. The backend stage fails with BackendIdMismatch, the leader stage stays ok;\n\
         under the policy `reset` the events are in quarantine, not gone.",
    );
    let a = s.commit(1, "A");
    s.run();
    let b = s.commit(1, "B");
    s.store();
    s.push_unsent();
    s.exchange_backend("hub2");
    s.page();
    assert_eq!(s.backend(b), None, "a failure is stored before it is said");
    s.store();
    let error = s.failed(b);
    assert!(matches!(error, SyncError::InvalidPush { cause: InvalidPush::BackendIdMismatch { .. }, .. }));
    assert_eq!((error.certainty(), error.events()), (Certainty::Unknown, Whereabouts::Queued));
    assert!(s.persisted(b));
    s.decide(IdentityPolicy::Reset);
    s.store();
    assert_eq!(s.quarantine(), ["B"]);
    assert!(s.log().is_empty());
    assert!(s.persisted(b));
    assert_eq!(s.positions(a), [1]);
    s.run();
    assert_eq!(s.backend_log().len(), 0, "nothing of the old history gets to the new backend");
    let c = s.commit(1, "C");
    s.run();
    assert_eq!(s.positions(c), [1]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R4, L4, L6
#[test]
fn t9_a_power_loss_undoes_a_rebase_on_disk() {
    let mut s = Script::ready(
        "T9: accepted at e2 after a rebase that a power loss then undid on disk: the log says A at e1, the pull brings X at e1\n\
         and A at e2. A is recognised, is in the log once, and nothing is pushed again.",
    );
    let a = s.commit(1, "A");
    s.store();
    let before = s.last_txn();
    s.others("X");
    s.push();
    s.page();
    s.store();
    assert_eq!(s.log(), ["X'@e1", "A@e2r1"]);
    s.push_reply_lost();
    s.power_loss(before);
    assert_eq!(s.log(), ["A@e1"]);
    s.page();
    assert_eq!(s.positions(a), [2]);
    s.store();
    assert_eq!(s.pushed(), None);
    s.run();
    assert_eq!(s.log(), ["X'@e1", "A@e2"]);
    assert_eq!(s.backend_log(), ["X", "A"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R2, R3, R6
#[test]
fn t10_poison_in_the_middle_of_a_transaction() {
    let mut s = Script::ready(
        "T10: three commits of one transaction, the second poisoned: first and third Ok, second Err and in quarantine,\n\
         in one more transaction.",
    );
    s.poison("B", None);
    s.commit(1, "Z");
    let (a, b, c) = (s.commit(1, "A"), s.commit(1, "B"), s.commit(1, "C"));
    s.store();
    s.note("A, B and C have gathered while Z was syncing");
    s.store();
    assert_eq!((s.leader(a), s.leader(b), s.leader(c)), (None, None, None));
    s.store();
    assert!(s.persisted(a) && s.persisted(c));
    let error = s.leader_failed(b);
    assert!(matches!(error, SyncError::Materialise { certainty: Certainty::NotApplied, .. }));
    assert_eq!(s.failed(b), error);
    assert_eq!(s.quarantine(), ["B"]);
    s.run();
    assert_eq!((s.positions(a), s.positions(c)), (vec![2], vec![3]));
    assert_eq!((s.rebases(a), s.rebases(c)), (0, 1), "only what stood behind B was renumbered");
    assert_eq!(s.backend_log(), ["Z", "A", "C"]);
    assert_eq!(s.database(1), ["Z", "A", "C"]);
    insta::assert_snapshot!(s.end());
}

/// `second`: what B says.
fn t11(strips_ids: bool, second: &'static str) -> Script {
    let mut s = Script::ready(
        "T11: A was pushed, its reply lost, then withdrawn; B follows. The echo of A is A's (out of quarantine), not B's;\n\
         B stays pending until it is pushed.",
    );
    if strips_ids {
        s.strip_ids();
    }
    let a = s.commit(1, "A");
    s.store();
    s.push_reply_lost();
    let b = s.commit(1, second);
    s.store();
    s.withdraw(a);
    s.store();
    let error = s.failed(a);
    assert_eq!(error, SyncError::Withdrawn { cause: None, certainty: Certainty::Unknown });
    assert_eq!(s.quarantine(), ["A"]);
    s.page();
    assert_eq!(s.backend(b), None, "the echo of A is not B's");
    s.store();
    assert!(s.quarantine().is_empty());
    assert_eq!(s.log(), ["A@e1".to_owned(), format!("{second}@e2r2")]);
    assert_eq!(s.failed(a), error, "the receipt stays as it settled");
    s.wake();
    s.run();
    assert_eq!(s.positions(b), [2]);
    assert_eq!(s.backend_log(), ["A", second]);
    s
}

// Verifies: R1, R4, L4
#[test]
fn t11_withdrawn_and_accepted_all_the_same() {
    insta::assert_snapshot!(t11(false, "B").end());
}

// Verifies: R1, R4, L4
#[test]
fn t11_withdrawn_and_accepted_all_the_same_without_ids() {
    insta::assert_snapshot!(t11(true, "B").end());
}

/// What was never sent can't have come back, so even then it is told from what it equals.
// Verifies: R1, R4, R6, R8, L4
#[test]
fn t11_withdrawn_and_accepted_all_the_same_without_ids_and_the_next_one_says_the_same() {
    insta::assert_snapshot!(t11(true, "A").end());
}

// Verifies: R3, R5, S2
#[test]
fn t12_a_full_disk_with_a_second_transaction_queued() {
    let config = countersign_core::Config { txns_in_flight: 2, ..Default::default() };
    let mut s = Script::ready_with(
        config,
        "T12: Txn 1 (withdraw C, append D in its place) fails on a full disk while Txn 2 (append E) is queued:\n\
         Txn 2 is rolled back, since it does not stand on what is there; both are issued anew.",
    );
    s.commit(1, "A");
    s.commit(1, "B");
    s.run();
    let c = s.commit(1, "C");
    let d = s.commit(1, "D");
    s.store_all();
    s.push_unsent();
    s.withdraw(c);
    let e = s.commit(1, "E");
    assert_eq!(s.txns(), 2);
    s.store_fails(StorageClass::Full);
    assert_eq!((s.backend(c), s.leader(e)), (None, None));
    s.store();
    assert_eq!(s.log(), ["A@e1", "B@e2", "C@e3", "D@e4"]);
    assert_eq!((s.backend(c), s.leader(e)), (None, None));
    s.wake();
    s.store_all();
    assert!(matches!(s.failed(c), SyncError::Withdrawn { certainty: Certainty::NotApplied, .. }));
    assert!(s.persisted(e));
    s.until_pushed();
    s.run();
    assert_eq!((s.positions(d), s.positions(e)), (vec![3], vec![4]));
    assert_eq!(s.quarantine(), ["C"]);
    insta::assert_snapshot!(s.end());
}
