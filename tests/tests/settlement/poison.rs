//! What can't be materialised: own events at first and after a rebase, and others' events.

use countersign_core::{Certainty, Input, SyncError};
use tests::script::{Script, event};

// Verifies: R3, R6, S3
#[test]
fn own_poison_at_first() {
    let mut s = Script::ready("The leader can't apply A: both stages fail, at once, while later commits go on.");
    s.poison("A", None);
    let a = s.commit(1, "A");
    let b = s.commit(1, "B");
    s.store_all();
    assert!(matches!(s.leader_failed(a), SyncError::Materialise { certainty: Certainty::NotApplied, .. }));
    assert_eq!(s.failed(a), s.leader_failed(a));
    s.run();
    assert_eq!(s.positions(b), [1]);
    assert_eq!(s.database(1), ["B"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R2, R6
#[test]
fn own_poison_fails_before_earlier_commits_are_confirmed() {
    let mut s = Script::ready(
        "A waits for the backend; the poisoned B behind it fails as soon as that is known, and C comes after A all the same.",
    );
    let a = s.commit(1, "A");
    s.store();
    s.push_unsent();
    s.poison("B", None);
    let (b, c) = (s.commit(1, "B"), s.commit(1, "C"));
    s.store_all();
    assert!(s.backend(a).is_none());
    assert!(matches!(s.failed(b), SyncError::Materialise { .. }));
    s.until_pushed();
    s.run();
    assert_eq!((s.positions(a), s.positions(c)), (vec![1], vec![2]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R3, R6, S3
#[test]
fn own_poison_after_a_rebase() {
    let mut s = Script::ready(
        "A is stored; behind a foreign X it can't be applied any more: the leader stage stays ok, the backend stage fails.",
    );
    s.poison("A", Some("X"));
    let (a, b) = (s.commit(1, "A"), s.commit(1, "B"));
    s.store_all();
    assert!(s.persisted(a));
    s.others("X");
    s.run();
    assert!(s.persisted(a), "the leader stage stays as it settled");
    assert!(matches!(s.failed(a), SyncError::Materialise { certainty: Certainty::NotApplied, .. }));
    assert_eq!(s.positions(b), [2]);
    assert_eq!(s.log(), ["X'@e1", "B@e2r2"]);
    assert_eq!(s.quarantine(), ["A"]);
    assert_eq!(s.database(1), ["X", "B"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R3, R6
#[test]
fn a_guard_that_no_longer_holds_on_a_new_base() {
    let mut s = Script::ready(
        "The guard of A held when it was stored, and does not behind X: Conflict, the leader stage stays ok, B goes on.",
    );
    s.guard("A", "X");
    let (a, b) = (s.commit(1, "A"), s.commit(1, "B"));
    s.store_all();
    s.others("X");
    s.run();
    assert!(s.persisted(a));
    assert!(matches!(s.failed(a), SyncError::Conflict { certainty: Certainty::NotApplied, .. }));
    assert_eq!(s.quarantine(), ["A"]);
    assert_eq!(s.positions(b), [2]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R2, R6
#[test]
fn a_guard_that_does_not_hold_at_first() {
    let mut s = Script::ready("X is here before A, whose guard does not hold behind it: both stages fail with Conflict.");
    s.guard("A", "X");
    s.others("X");
    s.run();
    let a = s.commit(1, "A");
    s.run();
    assert!(matches!(s.leader_failed(a), SyncError::Conflict { certainty: Certainty::NotApplied, .. }));
    assert_eq!(s.failed(a), s.leader_failed(a));
    insta::assert_snapshot!(s.end());
}

// Verifies: R4, R6, L4
#[test]
fn own_poison_of_a_split_commit_takes_the_unconfirmed_tail() {
    let mut s = Script::ready(
        "100 of 150 events are confirmed when a foreign X makes the 120th impossible: the unconfirmed tail goes into quarantine.",
    );
    s.poison("A120", Some("X"));
    let a = s.commit_events(1, (1..=150).map(|n| event(&format!("A{n}"))).collect());
    let b = s.commit(1, "B");
    s.store_all();
    s.push();
    s.others("X");
    s.run();
    assert!(matches!(s.failed(a), SyncError::Materialise { certainty: Certainty::Partial { confirmed: 100 }, .. }));
    assert_eq!(s.quarantine().len(), 50);
    assert_eq!(s.positions(b), [102]);
    assert_eq!(s.log().len(), 102);
    insta::assert_snapshot!(s.end());
}

// Verifies: S1, L2
#[test]
fn a_pulled_event_that_cannot_be_materialised_is_skipped() {
    let mut s =
        Script::ready("A foreign X can't be applied here: it stands in the log without effect, is told of, and nothing stops.");
    s.poison("X", None);
    let a = s.commit(1, "A");
    s.store();
    s.others("X Y");
    s.run();
    assert_eq!(s.log(), ["X'@e1", "Y'@e2", "A@e3r1"]);
    assert_eq!(s.skipped(), ["e1 (no such row)"]);
    assert_eq!(s.positions(a), [3]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R4, S1
#[test]
fn an_own_event_that_the_backend_has_taken_is_skipped_and_stays_confirmed() {
    let mut s = Script::ready(
        "A was taken by the backend behind X, which makes it impossible here: confirmed and skipped, not in quarantine.",
    );
    s.poison("A", Some("X"));
    let a = s.commit(1, "A");
    s.store();
    s.push();
    s.exchange_log("X A");
    s.crash();
    s.run();
    assert_eq!(s.positions(a), [2]);
    assert_eq!(s.skipped(), ["e2 (no such row)"]);
    assert!(s.quarantine().is_empty());
    insta::assert_snapshot!(s.end());
}

// Verifies: V4, V6, R3
#[test]
fn poison_of_an_event_that_was_acknowledged_ahead_of_the_disk() {
    let mut s = Script::ready(
        "After two refusals in a row pushes go ahead of the disk. The backend takes A at e3, and only then storage finds that\n\
         it can't apply A there. A is not withdrawn, since the backend has it; it is skipped at once, and what is behind it is stored\n\
         whether the network is there or not.",
    );
    s.poison("A", Some("Y"));
    let a = s.commit(1, "A");
    s.store();
    s.others("X");
    s.push();
    s.page();
    s.store();
    s.others("Y");
    s.push();
    s.page();
    assert_eq!(s.pushed(), Some(vec!["A".to_owned()]), "pushed before the rebase is stored");
    s.push();
    assert_eq!(s.positions(a), [3]);
    s.tell(Input::Offline);
    let b = s.commit(1, "B");
    s.store_all();
    assert_eq!(s.skipped(), ["e3 (no such row)"]);
    assert!(s.persisted(b), "B does not wait for a pull");
    s.tell(Input::Online);
    s.run();
    assert_eq!(s.positions(b), [4]);
    assert_eq!(s.log(), ["X'@e1", "Y'@e2", "A@e3r2", "B@e4r2"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R4, R6
#[test]
fn a_quarantined_event_is_released_by_its_acknowledgement() {
    let mut s = Script::ready(
        "A is pushed ahead of the disk, and found impossible before the answer comes: quarantine, unknown. The backend has taken it:\n\
         the acknowledgement makes the machine look, and A leaves quarantine at its confirmed place.",
    );
    s.poison("A", Some("Y"));
    let a = s.commit(1, "A");
    s.store();
    s.others("X");
    s.push();
    s.page();
    s.store();
    s.others("Y");
    s.push();
    s.page();
    let slow = s.delay_reply();
    s.store_all();
    assert!(matches!(s.failed(a), SyncError::Materialise { certainty: Certainty::Unknown, .. }));
    assert_eq!(s.quarantine(), ["A"]);
    s.push_arrives(slow);
    s.run();
    assert!(s.quarantine().is_empty());
    assert_eq!(s.log(), ["X'@e1", "Y'@e2", "A@e3"]);
    assert!(matches!(s.failed(a), SyncError::Materialise { .. }), "the receipt stays as it settled");
    insta::assert_snapshot!(s.end());
}
