//! What a failure says is certain: not applied, partial, or unknown.

use countersign_core::{Certainty, SyncError};
use tests::script::{Script, event};

// Verifies: R6
#[test]
fn not_applied_since_it_was_never_sent() {
    let mut s = Script::ready("A is stored, could never be sent, and is withdrawn: not applied.");
    let a = s.commit(1, "A");
    s.store();
    s.push_unsent();
    s.withdraw(a);
    s.store_all();
    assert_eq!(s.failed(a), SyncError::Withdrawn { cause: None, certainty: Certainty::NotApplied });
    assert_eq!(s.quarantine(), ["A"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R6
#[test]
fn not_applied_since_the_backend_said_so() {
    let mut s = Script::ready("The backend refuses A for ever, and no other request with it is unanswered: not applied.");
    let a = s.commit(1, "A");
    s.store();
    s.push_rejected(&[0]);
    s.store_all();
    assert!(matches!(s.failed(a), SyncError::Rejected { certainty: Certainty::NotApplied, .. }));
    assert!(s.persisted(a));
    insta::assert_snapshot!(s.end());
}

// Verifies: R6, L6
#[test]
fn not_applied_since_another_event_holds_its_place() {
    let mut s = Script::ready("The fate of a push of A is unknown; then X turns out to stand where A would have: not applied.");
    let a = s.commit(1, "A");
    s.store();
    s.push_lost();
    s.others("X");
    s.page();
    s.store();
    s.withdraw(a);
    s.store_all();
    assert_eq!(s.failed(a).certainty(), Certainty::NotApplied);
    s.run();
    assert_eq!(s.backend_log(), ["X"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R6, L6
#[test]
fn unknown_since_a_request_is_unanswered() {
    let mut s =
        Script::ready("The fate of a push of A is unknown, and A is withdrawn: unknown. It turns up, and leaves quarantine.");
    let a = s.commit(1, "A");
    s.store();
    let slow = s.lose_push();
    s.withdraw(a);
    s.store_all();
    assert_eq!(s.failed(a).certainty(), Certainty::Unknown);
    assert_eq!(s.quarantine(), ["A"]);
    s.push_arrives_unnoticed(slow);
    s.run();
    assert!(s.quarantine().is_empty());
    assert_eq!(s.log(), ["A@e1"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R6
#[test]
fn unknown_since_an_earlier_request_is_unanswered() {
    let mut s =
        Script::ready("The fate of a first push of A is unknown. A second one is refused for ever: unknown all the same.");
    let a = s.commit(1, "A");
    s.store();
    s.push_lost();
    s.until_pushed();
    s.push_rejected(&[0]);
    s.store_all();
    assert!(matches!(s.failed(a), SyncError::Rejected { certainty: Certainty::Unknown, .. }));
    insta::assert_snapshot!(s.end());
}

// Verifies: R6
#[test]
fn unknown_after_a_restart() {
    let mut s = Script::ready("After a restart nobody knows what had been sent: A is withdrawn, unknown.");
    let a = s.commit(1, "A");
    s.store();
    s.crash();
    s.page();
    s.push_unsent();
    s.withdraw(a);
    s.store_all();
    assert_eq!(s.failed(a).certainty(), Certainty::Unknown);
    insta::assert_snapshot!(s.end());
}

// Verifies: R6
#[test]
fn not_applied_after_a_restart_once_others_hold_the_places() {
    let mut s =
        Script::ready("After a restart the first pull shows what there is; what X takes afterwards, no old request can take.");
    let a = s.commit(1, "A");
    s.store();
    s.crash();
    s.page();
    s.others("X");
    s.push();
    s.page();
    s.store_all();
    s.push_unsent();
    s.withdraw(a);
    s.store_all();
    assert_eq!(s.failed(a).certainty(), Certainty::NotApplied);
    insta::assert_snapshot!(s.end());
}

// Verifies: R4, R6, L4
#[test]
fn partial_since_the_first_part_is_confirmed() {
    let mut s = Script::ready("Of a split commit the first 100 events are taken, and the rest is refused for ever: partial.");
    let a = s.commit_events(1, (1..=150).map(|n| event(&format!("A{n}"))).collect());
    let b = s.commit(1, "B");
    s.store_all();
    s.push();
    s.push_rejected(&[7]);
    s.store_all();
    assert!(matches!(s.failed(a), SyncError::Rejected { certainty: Certainty::Partial { confirmed: 100 }, .. }));
    assert_eq!(s.quarantine().len(), 50);
    s.run();
    assert_eq!(s.positions(b), [101]);
    assert_eq!(s.log().len(), 101);
    insta::assert_snapshot!(s.end());
}

// Verifies: R6
#[test]
fn unknown_though_the_first_part_is_confirmed() {
    let mut s =
        Script::ready("Of a split commit the first 100 events are taken, the fate of the rest is unknown, and it is withdrawn.");
    let a = s.commit_events(1, (1..=150).map(|n| event(&format!("A{n}"))).collect());
    s.store_all();
    s.push();
    s.push_lost();
    s.withdraw(a);
    s.store_all();
    assert_eq!(s.failed(a).certainty(), Certainty::Unknown);
    assert_eq!(s.quarantine().len(), 50);
    insta::assert_snapshot!(s.end());
}

// Verifies: R6, R8
#[test]
fn partial_is_known_after_a_restart() {
    let mut s = Script::ready(
        "The first 100 events of a split commit are confirmed; after a restart the rest is, at places of one receipt.",
    );
    let a = s.commit_events(1, (1..=150).map(|n| event(&format!("A{n}"))).collect());
    s.store_all();
    s.push();
    s.page();
    s.store_all();
    s.crash();
    s.run();
    assert_eq!(s.positions(a), (1..=150).collect::<Vec<u64>>());
    insta::assert_snapshot!(s.end());
}
