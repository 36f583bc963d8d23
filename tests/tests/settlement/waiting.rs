//! What a commit is told to wait for.

use std::time::Duration;

use countersign_core::{
    BackendFailure, Certainty, Config, Input, OfflinePolicy, Reason, Stage, SyncError, SyncState, Waiting, Why,
};
use tests::script::{Script, session};

fn waits(s: &Script, commit: countersign_core::CommitId) -> Waiting {
    s.waiting(commit).unwrap_or_else(|| panic!("{commit} waits for nothing"))
}

// Verifies: R2 (what is told to come before a commit does, commits without events among it)
#[test]
fn commits_on_their_way_to_the_leader_wait_for_one_another() {
    let mut s = Script::ready("The leader is ahead of S1: what S1 commits waits there, a commit without events like the others.");
    s.open(2);
    let first = s.begin(1, "A");
    let other = s.commit(2, "X");
    s.hold_sessions();
    s.finish(1, true);
    let empty = s.commit(1, "");
    let last = s.commit(1, "B");
    let ahead: Vec<usize> = [other, first, empty, last].map(|commit| waits(&s, commit).ahead).into();
    assert_eq!(ahead, [0, 1, 2, 3]);
    assert!([first, empty, last].into_iter().all(|commit| waits(&s, commit).stage == Stage::Leader));
    s.let_sessions_go();
    s.run();
    assert_eq!((s.positions(other), s.positions(first), s.positions(last)), (vec![1], vec![2], vec![3]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R1 (a commit that is out of the queue does not say that it is being pushed)
#[test]
fn a_commit_that_has_left_the_queue_is_being_withdrawn() {
    let mut s =
        Script::ready("A is refused for ever, and storage has not been told: A waits for that, and nothing is before it.");
    s.commit(1, "Z");
    let a = s.commit(1, "A");
    s.store_all();
    s.push();
    s.push_rejected(&[0]);
    let waiting = waits(&s, a);
    assert_eq!((waiting.stage, waiting.why, waiting.ahead), (Stage::Backend, Why::Withdrawing, 0));
    s.run();
    assert!(matches!(s.failed(a), SyncError::Rejected { .. }));
    insta::assert_snapshot!(s.end());
}

// Verifies: R5, V1 (an outage lasts as long as it was said to, whatever was on its way before)
#[test]
fn a_late_reply_does_not_end_an_outage_that_the_driver_knows_of() {
    let offline = OfflinePolicy { deadline: Some(Duration::from_secs(60)), withdraw: false };
    let mut s = Script::ready_with(
        Config { offline, ..Config::default() },
        "The network goes away while A is pushed, and the reply comes all the same: the outage goes on, and becomes final.",
    );
    let a = s.commit(1, "A");
    s.store();
    let b = s.commit(1, "B");
    s.store();
    s.tell(Input::Offline);
    s.wait(5);
    s.push();
    s.store_all();
    assert_eq!(s.positions(a), [1]);
    s.wait(10);
    let Why::Offline { since, .. } = waits(&s, b).why else { panic!("B waits for the network") };
    let SyncState::Offline { lasting, .. } = s.status().sync else { panic!("there is no network") };
    assert_eq!((since.0, lasting), (5_000_000, Duration::from_secs(10)));
    assert_eq!(s.wake(), Reason::OfflineDeadline);
    s.store_all();
    assert!(matches!(s.failed(b), SyncError::IsOffline { .. }));
    s.tell(Input::Online);
    s.run();
    assert_eq!(s.backend_log(), ["A", "B"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R2 (who is behind another commit of the session is told so once the backend has him, and not while he is being pushed)
#[test]
fn a_commit_that_is_accepted_waits_for_the_one_before_it() {
    let mut s = Script::ready(
        "A and B were pushed, and the reply was lost; A is withdrawn, and while that is being stored both come back: B has only to wait\n\
         for what becomes of A.",
    );
    let (a, b) = (s.commit(1, "A"), s.commit(1, "B"));
    s.store();
    s.push_unsent();
    s.store_all();
    s.until_pushed();
    assert_eq!(s.pushed(), Some(vec!["A".to_owned(), "B".to_owned()]));
    assert_eq!([a, b].map(|commit| waits(&s, commit).why), [Why::Pushing, Why::Pushing]);
    s.push_reply_lost();
    s.withdraw(a);
    s.page();
    assert_eq!(waits(&s, b).why, Why::Fenced { behind: a, message: None });
    s.run();
    assert!(matches!(s.failed(a), SyncError::Withdrawn { certainty: Certainty::Unknown, .. }));
    assert_eq!((s.positions(b), s.backend_log().len()), (vec![2], 2));
    insta::assert_snapshot!(s.end());
}

// Verifies: V4 (nobody is told of a time at which nothing happens)
#[test]
fn nothing_is_tried_again_by_a_store_that_is_closing() {
    let mut s = Script::ready("A pull has failed and would be tried again; then the store is shut down, and nothing is.");
    let a = s.commit(1, "A");
    s.pull_fails(BackendFailure::Unknown { message: "429 too many requests".into() });
    s.store();
    assert!(waits(&s, a).next.is_some());
    s.tell(Input::Shutdown);
    assert_eq!((waits(&s, a).next, s.status().next), (None, None));
    insta::assert_snapshot!(s.end());
}

// Verifies: V5, S3 (a session whose seed is long in coming holds no more than its backlog)
#[test]
fn a_session_that_is_being_seeded_keeps_to_its_backlog() {
    let config = Config { session_backlog: 2, ..Config::default() };
    let mut s =
        Script::ready_with(config, "S2 waits for its seed while S1 goes on: it is seeded once more, and then has everything.");
    s.open_late(2);
    for name in ["A1", "A2", "A3", "A4"] {
        s.commit(1, name);
        s.run();
    }
    s.seed_late();
    s.run();
    assert!(s.is_ready(session(2)));
    assert_eq!(s.database(2), ["A1", "A2", "A3", "A4"]);
    insta::assert_snapshot!(s.end());
}
