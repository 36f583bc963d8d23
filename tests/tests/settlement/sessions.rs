//! Sessions: closing, slow and broken databases, the end of the store.

use countersign_core::{CommitError, Config, Input};
use tests::script::{Script, events, session};

// Verifies: V1, R1 (what a session hands over when it is free again waits for nothing else to happen)
#[test]
fn a_commit_that_was_in_the_middle_of_things_is_stored_at_once() {
    let mut s =
        Script::ready("S1 is in the middle of committing A while X of S2 is stored. It has X, and A is on its way to the disk.");
    s.open(2);
    let a = s.begin(1, "A");
    s.commit(2, "X");
    s.store();
    assert_eq!(s.txns(), 0);
    s.hold_sessions();
    s.finish(1, true);
    assert_eq!(s.txns(), 1, "nothing more is said to the machine before");
    s.let_sessions_go();
    s.store();
    assert!(s.persisted(a));
    s.run();
    assert_eq!((s.database(1), s.backend_log()), (vec!["X", "A"], vec!["X".to_owned(), "A".to_owned()]));
}

// Verifies: R1, R3
#[test]
fn a_closed_sessions_commits_go_on() {
    let mut s = Script::ready("S1 is closed with A stored and B not: both go on to the backend, and their receipts settle.");
    let a = s.commit(1, "A");
    s.store();
    let b = s.commit(1, "B");
    s.close(1);
    s.run();
    assert_eq!((s.positions(a), s.positions(b)), (vec![1], vec![2]));
    assert!(matches!(s.try_commit(1, events("C")), Err(CommitError::SessionClosed)));
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, L4
#[test]
fn a_session_is_closed_with_a_commit_that_the_leader_had_refused() {
    let mut s = Script::ready(
        "L is ahead of S1, whose A was refused and waits to be rebased, when S1 is closed: A is taken all the same.",
    );
    s.open(2);
    let a = s.begin(1, "A");
    let b = s.commit(2, "B");
    s.finish(1, true);
    s.close(1);
    s.run();
    assert_eq!((s.positions(a), s.positions(b)), (vec![2], vec![1]));
    assert_eq!(s.backend_log(), ["B", "A"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R3
#[test]
fn shutdown_takes_no_more_and_stores_what_there_is() {
    let mut s = Script::ready("Shutdown: no more commits; what is admitted is stored, and goes on after the next opening.");
    let a = s.commit(1, "A");
    s.tell(Input::Shutdown);
    assert!(matches!(s.try_commit(1, events("B")), Err(CommitError::Closing)));
    assert!(!s.status().drained);
    s.store_all();
    assert!(s.status().drained && s.persisted(a));
    s.crash();
    s.run();
    assert_eq!(s.positions(a), [1]);
    insta::assert_snapshot!(s.end());
}

// Verifies: L4, S2
#[test]
fn a_crash_before_the_commit_is_stored() {
    let mut s = Script::ready("The process dies before A is stored: no receipt was said to be ok, and nothing is half there.");
    s.commit(1, "A");
    s.crash();
    s.run();
    assert!(s.log().is_empty() && s.backend_log().is_empty());
    insta::assert_snapshot!(s.end());
}

// Verifies: V2, V5, S3
#[test]
fn a_session_that_falls_too_far_behind_is_seeded_anew() {
    let config = Config { session_backlog: 2, ..Config::default() };
    let mut s = Script::ready_with(
        config,
        "The database of S2 is busy with a commit for long: it is seeded anew, and its own commit is applied again.",
    );
    s.open(2);
    let b = s.begin(2, "B");
    for name in ["A1", "A2", "A3", "A4"] {
        s.commit(1, name);
        s.run();
    }
    s.finish(2, true);
    s.run();
    assert_eq!(s.positions(b), [5]);
    assert_eq!(s.database(2), ["A1", "A2", "A3", "A4", "B"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: V2, S3, L4
#[test]
fn a_sessions_database_breaks() {
    let mut s = Script::ready(
        "The database of S1 breaks during a rebase: it is seeded anew, with its own commits on top. Nothing is lost.",
    );
    let a = s.commit(1, "A");
    s.store();
    s.hold_sessions();
    s.others("X");
    s.push();
    s.page();
    s.store();
    assert!(matches!(s.try_commit(1, events("B")), Err(CommitError::SessionBusy)));
    s.session_breaks();
    s.let_sessions_go();
    let b = s.commit(1, "B");
    s.run();
    assert_eq!((s.positions(a), s.positions(b)), (vec![2], vec![3]));
    assert_eq!(s.database(1), ["X", "A", "B"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: V2, S3
#[test]
fn a_session_that_somebody_gave_up_takes_what_comes() {
    let mut s = Script::ready(
        "S1 is being rebased when somebody wants to commit: it is kept free for him. He gives up, and says so: what has come\n\
         meanwhile is taken. It does not wait for somebody else to commit.",
    );
    s.hold_sessions();
    s.others("X");
    s.run();
    assert!(matches!(s.try_commit(1, events("A")), Err(CommitError::SessionBusy)));
    s.let_sessions_go();
    s.others("Y");
    s.run();
    assert_eq!(s.database(1), ["X"], "kept free for whoever wants to commit");
    s.tell(Input::Finish { session: session(1), applied: false });
    assert_eq!(s.database(1), ["X", "Y"]);
    assert_eq!(s.status().sessions_behind, 0);
    insta::assert_snapshot!(s.end());
}

// Verifies: S3, R8
#[test]
fn a_busy_session_is_rebased_after_its_commit() {
    let mut s = Script::ready("S1 is applying a commit while X arrives: the rebase waits for it, and then covers it.");
    let a = s.commit(1, "A");
    s.store();
    let b = s.begin(1, "B");
    s.others("X");
    s.push();
    s.page();
    s.store();
    assert_eq!(s.database(1), ["A"]);
    s.finish(1, true);
    assert_eq!(s.database(1), ["X", "A", "B"]);
    s.run();
    assert_eq!((s.positions(a), s.positions(b)), (vec![2], vec![3]));
    insta::assert_snapshot!(s.end());
}

// Verifies: S3, D3
#[test]
fn a_session_waits_for_its_database() {
    let mut s = Script::ready(
        "Two rebases come while the database of S1 is busy with the first: the second is taken when it has answered.",
    );
    let a = s.commit(1, "A");
    s.store();
    s.hold_sessions();
    s.others("X");
    s.push();
    s.page();
    s.store();
    s.others("Y");
    s.push();
    s.page();
    s.store();
    s.let_sessions_go();
    assert_eq!(s.database(1), ["X", "Y", "A"]);
    s.run();
    assert_eq!(s.positions(a), [3]);
    insta::assert_snapshot!(s.end());
}

// Verifies: S3
#[test]
fn a_session_opened_while_events_are_pending() {
    let mut s = Script::ready("S2 is opened while A is pending and B is not stored yet: its seed has A, and B follows.");
    let a = s.commit(1, "A c");
    s.store();
    s.commit(1, "B");
    s.open(2);
    s.store();
    assert_eq!(s.database(2), ["A", "c", "B"]);
    s.others("X");
    s.run();
    assert_eq!(s.database(2), ["X", "A", "c", "B"]);
    assert_eq!(s.positions(a), [2]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R8, S3
#[test]
fn many_confirmed_units_are_forgotten_at_last() {
    let mut s = Script::ready("300 events are confirmed: the session's database keeps no undo of them.");
    for n in 0..3 {
        let many = (1..=100).map(|i| tests::script::event(&format!("A{}", n * 100 + i))).collect();
        s.commit_events(1, many);
    }
    s.run();
    assert_eq!(s.database(1).len(), 300);
    insta::assert_snapshot!(s.end());
}

// Verifies: V5
#[test]
fn a_closed_session_is_forgotten_once_its_commits_have_settled() {
    let mut s = Script::ready("S1 is closed with A admitted and not stored: nothing of it is left once A has settled.");
    s.commit(1, "A");
    s.close(1);
    s.run();
    let node = format!("{:?}", s.node());
    assert!(node.contains("sessions: {}"), "{node}");
}
