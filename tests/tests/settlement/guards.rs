//! Guards: what a commit says has to hold of the state before it.

use countersign_core::{Certainty, SyncError};
use tests::script::{Script, event};

fn conflict(error: &SyncError) -> Certainty {
    match error {
        SyncError::Conflict { certainty, .. } => *certainty,
        other => panic!("{other:?} is no conflict"),
    }
}

// Verifies: R1, R3, R6, S3
#[test]
fn it_held_and_does_not_on_a_new_base() {
    let mut s =
        Script::ready("A is stored under a guard. Behind X it no longer holds: Conflict, the leader stage stays ok, B goes on.");
    let a = s.commit_guarded(1, "A A2", "X").expect("nothing is there");
    let b = s.commit(1, "B");
    s.store_all();
    assert!(s.persisted(a));
    s.others("X");
    s.run();
    assert!(s.persisted(a), "the leader stage stays as it settled");
    assert_eq!(conflict(&s.failed(a)), Certainty::NotApplied);
    assert_eq!(s.quarantine(), ["A", "A2"]);
    assert_eq!((s.positions(b), s.database(1)), (vec![2], vec!["X", "B"]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R4, S5
#[test]
fn it_holds_on_a_new_base() {
    let mut s =
        Script::ready("A goes behind Y, which its guard does not ask for: confirmed like any other, and X comes too late.");
    let a = s.commit_guarded(1, "A", "X").expect("nothing is there");
    s.store_all();
    s.others("Y");
    s.run();
    assert_eq!(s.positions(a), [2]);
    s.others("X");
    s.run();
    assert_eq!(s.positions(a), [2], "what is confirmed is not asked about again");
    assert_eq!(s.log(), ["Y'@e1", "A@e2r1", "X'@e3"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1
#[test]
fn it_does_not_hold_when_the_commit_is_made() {
    let mut s = Script::ready("X is here already: the commit is not taken, and nothing happens.");
    s.others("X");
    s.run();
    assert_eq!(s.commit_guarded(1, "A", "X"), None);
    s.run();
    assert_eq!((s.log(), s.database(1)), (vec!["X'@e1".to_owned()], vec!["X"]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R2, R6
#[test]
fn the_leader_has_more_than_the_session_saw() {
    let mut s = Script::ready(
        "S2 has committed X, which S1 has not seen: the guard of A holds in S1 and not at the leader. Both stages fail.",
    );
    s.open(2);
    s.hold_sessions();
    let x = s.commit(2, "X");
    let a = s.commit_guarded(1, "A", "X").expect("S1 has not seen it");
    let b = s.commit(1, "B");
    s.store_all();
    s.let_sessions_go();
    s.run();
    assert_eq!(conflict(&s.leader_failed(a)), Certainty::NotApplied);
    assert_eq!(s.failed(a), s.leader_failed(a));
    assert_eq!((s.positions(x), s.positions(b)), (vec![1], vec![2]));
    assert_eq!((s.database(1), s.database(2)), (vec!["X", "B"], vec!["X", "B"]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R6, R8, L4
#[test]
fn it_is_stored_with_the_commit() {
    let mut s = Script::ready(
        "A is stored under a guard, and the process killed. The next one finds X at the backend: the guard is asked again.",
    );
    let a = s.commit_guarded(1, "A", "X").expect("nothing is there");
    s.store_all();
    s.crash();
    s.others("X");
    s.run();
    conflict(&s.failed(a));
    assert_eq!((s.quarantine(), s.log()), (vec!["A".to_owned()], vec!["X'@e1".to_owned()]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R4, L6
#[test]
fn what_the_backend_has_taken_is_not_asked_about() {
    let mut s = Script::ready(
        "A was taken by the backend before X, and its reply lost with the process: confirmed, whatever the guard says now.",
    );
    let a = s.commit_guarded(1, "A", "X").expect("nothing is there");
    s.store();
    s.push();
    s.exchange_log("X A");
    s.crash();
    s.run();
    assert_eq!(s.positions(a), [2]);
    assert!(s.quarantine().is_empty());
    insta::assert_snapshot!(s.end());
}

// Verifies: S5, V6
#[test]
fn a_guarded_commit_is_not_pushed_ahead_of_the_disk() {
    let mut s = Script::ready(
        "After two refusals in a row pushes go ahead of the disk: A does. B behind it has a guard that only storage can ask, and waits\n\
         for that. It no longer holds, so B is never sent.",
    );
    let a = s.commit(1, "A");
    let b = s.commit_guarded(1, "B", "Y").expect("nothing is there");
    s.store_all();
    s.others("X");
    s.push();
    s.page();
    s.store();
    s.others("Y");
    s.push();
    s.page();
    assert_eq!(s.pushed(), Some(vec!["A".to_owned()]), "without B");
    s.run();
    assert_eq!(s.positions(a), [3]);
    conflict(&s.failed(b));
    assert_eq!(
        (s.quarantine(), s.log()),
        (vec!["B".to_owned()], vec!["X'@e1".to_owned(), "Y'@e2".to_owned(), "A@e3r2".to_owned()])
    );
    insta::assert_snapshot!(s.end());
}

// Verifies: R4, R6
#[test]
fn the_rest_of_a_split_commit_is_not_asked_about() {
    let mut s = Script::ready(
        "100 of 150 events are confirmed before a foreign X comes: the guard held where the commit begins, so the rest goes on.",
    );
    let a = s.commit_batch(1, (1..=150).map(|n| event(&format!("A{n}"))).collect(), "X").expect("nothing is there");
    s.store_all();
    s.push();
    s.others("X");
    s.run();
    assert_eq!(s.positions(a).len(), 150);
    assert!(s.quarantine().is_empty());
    insta::assert_snapshot!(s.end());
}

// Verifies: R3, R6
#[test]
fn client_only_events_before_it_have_settled() {
    let mut s = Script::ready(
        "The client-only a of the commit settles when it is stored; behind X the guard no longer holds, and A alone is undone.",
    );
    let a = s.commit_guarded(1, "a A", "X").expect("nothing is there");
    s.store_all();
    s.others("X");
    s.run();
    conflict(&s.failed(a));
    assert_eq!(s.quarantine(), ["A"]);
    insta::assert_snapshot!(s.end());
}
