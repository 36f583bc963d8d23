//! Limits: every refusal of a commit, each an error value with nothing having happened.

use std::sync::Arc;

use countersign_core::{CommitError, Config, Event, Limit};
use tests::script::{Script, event, events, session};

fn large(name: &str, bytes: usize) -> Event {
    Event { args: Arc::from("x".repeat(bytes)), ..event(name) }
}

fn full(refused: Result<impl Sized, CommitError>) -> Option<Limit> {
    match refused {
        Err(CommitError::Full { limit, .. }) => Some(limit),
        _ => None,
    }
}

// Verifies: V5
#[test]
fn the_age_of_what_waits_for_the_backend() {
    let minute = std::time::Duration::from_secs(60);
    let config = Config { pending_age: Some(minute), ..Config::default() };
    let mut s =
        Script::ready_with(config, "What waits for the backend may be a minute old. Client-only commits are not concerned.");
    s.commit(1, "A");
    let too_long = |refused: Result<_, CommitError>| match refused {
        Err(CommitError::PendingTooLong { waited, max }) => Some((waited, max)),
        _ => None::<(std::time::Duration, std::time::Duration)>,
    };
    s.wait(30);
    s.commit(1, "B");
    s.wait(30);
    assert_eq!(too_long(s.try_commit(1, events("C")).map(drop)), Some((minute, minute)));
    s.commit(1, "c");
    s.run();
    s.note("all are confirmed: there is room again");
    s.commit(1, "C");
    s.run();
    insta::assert_snapshot!(s.end());
}

// Verifies: V5 (how long ago something waited does not count once the backend has it)
#[test]
fn what_no_longer_waits_has_no_age() {
    let config = Config { pending_age: Some(std::time::Duration::from_secs(60)), ..Config::default() };
    let mut s = Script::ready_with(config, "A is confirmed. A minute later nothing waits for the backend, and B is taken.");
    s.commit(1, "A");
    s.run();
    s.wait(60);
    let b = s.commit(1, "B");
    s.run();
    assert_eq!(s.positions(b), [2]);
}

// Verifies: V5
#[test]
fn events_and_bytes_that_wait_for_the_backend() {
    let config = Config { pending_events: 3, pending_bytes: 4_000, ..Config::default() };
    let mut s = Script::ready_with(
        config,
        "At most 3 events and 4 000 bytes wait for the backend. Client-only commits are not concerned.",
    );
    s.commit(1, "A B");
    assert_eq!(full(s.try_commit(1, events("C D"))), Some(Limit::PendingEvents));
    s.commit(1, "c");
    s.commit(1, "C");
    assert_eq!(full(s.try_commit(1, events("D"))), Some(Limit::PendingEvents));
    s.run();
    s.note("all are confirmed: there is room again");
    s.commit_events(1, vec![large("D", 3_000)]);
    assert_eq!(full(s.try_commit(1, vec![large("E", 500)])), Some(Limit::PendingBytes));
    s.run();
    insta::assert_snapshot!(s.end());
}

// Verifies: V5, V1 (what may be found at the backend takes room only beside what waits: else nothing could be made that finds it)
#[test]
fn what_may_yet_be_found_keeps_nobody_from_going_on() {
    let config = Config { pending_events: 1, ..Config::default() };
    let mut s = Script::ready_with(
        config,
        "At most one event waits. A was pushed, and is withdrawn without an answer: B is taken, C is not.",
    );
    let a = s.commit(1, "A");
    s.store();
    s.push_lost();
    s.withdraw(a);
    s.store_all();
    assert_eq!((s.quarantine(), s.status().pending_events), (vec!["A".to_owned()], 0));
    let b = s.commit(1, "B");
    assert_eq!(full(s.try_commit(1, events("C"))), Some(Limit::PendingEvents));
    s.run_awake();
    assert_eq!(s.positions(b), [1]);
}

// Verifies: V5 (what a session could not hand over yet is not stored either)
#[test]
fn bytes_that_the_leader_has_not_taken_count() {
    let config = Config { unpersisted_bytes: 4_000, ..Config::default() };
    let mut s = Script::ready_with(
        config,
        "S1 is refused with A behind X: both wait for the disk, and there is room for B, and not for C.",
    );
    s.open(2);
    s.try_begin(1, vec![large("A", 1_000)]).unwrap();
    s.commit(2, "X");
    s.finish(1, true);
    assert_eq!(s.status().leader_ahead, 1);
    s.commit_events(1, vec![large("B", 1_000)]);
    assert_eq!(full(s.try_commit(1, vec![large("C", 800)])), Some(Limit::UnpersistedBytes));
    s.run();
    assert_eq!(s.backend_log(), ["X", "A", "B"]);
}

// Verifies: V5
#[test]
fn events_and_bytes_that_wait_for_the_disk() {
    let config = Config { unpersisted_events: 3, unpersisted_bytes: 4_000, ..Config::default() };
    let mut s = Script::ready_with(config, "At most 3 events and 4 000 bytes wait for the disk.");
    s.commit(1, "A B");
    assert_eq!(full(s.try_commit(1, events("C D"))), Some(Limit::UnpersistedEvents));
    s.store_all();
    s.commit_events(1, vec![large("C", 3_000)]);
    assert_eq!(full(s.try_commit(1, vec![large("D", 500)])), Some(Limit::UnpersistedBytes));
    s.run();
    s.commit(1, "E");
    s.run();
    insta::assert_snapshot!(s.end());
}

// Verifies: V5
#[test]
fn client_only_events_behind_unconfirmed_ones() {
    let config = Config { pending_client_only: 2, ..Config::default() };
    let mut s = Script::ready_with(
        config,
        "At most 2 client-only events behind unconfirmed ones; with nothing pending they don't count.",
    );
    s.commit(1, "a b c");
    s.commit(1, "A d e");
    assert_eq!(full(s.try_commit(1, events("f"))), Some(Limit::PendingClientOnly));
    s.run();
    s.commit(1, "f");
    s.run();
    insta::assert_snapshot!(s.end());
}

// Verifies: V5
#[test]
fn an_event_and_a_commit_that_are_too_large() {
    let config = Config { commit_events: 3, commit_bytes: 3_000, event_bytes: 2_000, ..Config::default() };
    let mut s = Script::ready_with(config, "One event of at most 2 000 bytes, a commit of at most 3 events and 3 000 bytes.");
    let refused = s.try_commit(1, vec![event("A"), large("B", 2_000)]);
    assert!(matches!(refused, Err(CommitError::EventTooLarge { index: 1, max: 2_000, .. })));
    let refused = s.try_commit(1, events("A B C D"));
    assert!(matches!(refused, Err(CommitError::CommitTooLarge { events: 4, .. })));
    let refused = s.try_commit(1, vec![large("A", 1_500), large("B", 1_500)]);
    assert!(matches!(refused, Err(CommitError::CommitTooLarge { events: 2, .. })));
    let a = s.commit(1, "A");
    assert_eq!(a.ordinal, 1, "nothing had happened");
    s.run();
    insta::assert_snapshot!(s.end());
}

// Verifies: V5
#[test]
fn a_commit_larger_than_a_limit_is_taken_when_nothing_waits() {
    let config = Config { pending_events: 2, ..Config::default() };
    let mut s = Script::ready_with(config, "A limit stops what comes on top, not a commit that alone is larger.");
    let a = s.commit(1, "A B C");
    assert_eq!(full(s.try_commit(1, events("D"))), Some(Limit::PendingEvents));
    s.run();
    assert_eq!(s.positions(a), [1, 2, 3]);
    insta::assert_snapshot!(s.end());
}

// Verifies: V5, L1
#[test]
fn the_last_number() {
    let mut s = Script::ready("Numbers end at 2^53 - 1, the last that a JavaScript peer reads back exactly.");
    s.others_at_the_end_of_numbers();
    let refused = s.try_commit(1, events("A B"));
    assert!(matches!(refused, Err(CommitError::OutOfNumbers)));
    s.commit(1, "A");
    let refused = s.try_commit(1, events("B"));
    assert!(matches!(refused, Err(CommitError::OutOfNumbers)));
    s.commit(1, "b");
    s.run();
    insta::assert_snapshot!(s.end());
}

// Verifies: R1
#[test]
fn sessions_that_can_take_no_commit() {
    let mut s = Script::ready("A session that was never opened, one that has a commit begun, and one that is not seeded.");
    assert!(matches!(s.try_commit(9, events("A")), Err(CommitError::SessionClosed)));
    s.begin(1, "A");
    assert!(matches!(s.try_commit(1, events("B")), Err(CommitError::SessionBusy)));
    s.finish(1, true);
    s.commit(1, "C");
    s.open(2);
    assert!(
        matches!(s.try_commit(2, events("B")), Err(CommitError::SessionNotReady)),
        "its seed comes after what is being stored"
    );
    s.run();
    assert!(s.is_ready(session(2)));
    s.commit(2, "B");
    s.run();
    insta::assert_snapshot!(s.end());
}

// Verifies: R6, V5
#[test]
fn what_can_not_be_found_at_the_backend_takes_no_room() {
    let config = Config { pending_events: 2, ..Config::default() };
    let mut s = Script::ready_with(
        config,
        "A commit of A and b is withdrawn after it may have been sent, and A is found at the backend: b is in quarantine for good. It \
         takes no room, after a restart neither.",
    );
    let a = s.commit(1, "A b");
    s.store();
    s.push_reply_lost();
    s.withdraw(a);
    s.store();
    assert_eq!(s.quarantine(), ["A", "b"]);
    s.run_awake();
    assert_eq!(s.quarantine(), ["b"]);
    s.crash();
    s.open(2);
    s.commit(2, "C");
    assert!(s.try_commit(2, events("D")).is_ok(), "there is room for two");
}

// Verifies: V5
#[test]
fn a_push_is_bounded_in_bytes() {
    let size = event("A").encoded_bytes();
    let config = Config { push_bytes: 3 * size, ..Config::default() };
    let mut s = Script::ready_with(config, "A push has room for the bytes of three of these events, and for no byte more.");
    s.commit(1, "A");
    s.store();
    let later = ["B", "C", "D", "E"].map(|name| s.commit(1, name));
    s.store_all();
    assert_eq!(s.pushed().unwrap(), ["A"]);
    s.push();
    assert_eq!(s.pushed().unwrap(), ["B", "C", "D"]);
    s.push();
    assert_eq!(s.pushed().unwrap(), ["E"]);
    s.run();
    assert_eq!(later.map(|commit| s.positions(commit)), [[2], [3], [4], [5]]);
}

// Verifies: V5 (a limit is the last that is taken)
#[test]
fn what_is_as_large_as_a_limit_is_taken() {
    let size = event("A").encoded_bytes();
    let config = Config { event_bytes: size, commit_events: 2, commit_bytes: 2 * size, ..Config::default() };
    let mut s = Script::ready_with(config, "An event and a commit that are exactly as large as they may be.");
    let a = s.commit(1, "A B");
    s.run();
    assert_eq!(s.positions(a), [1, 2]);
    let CommitError::EventTooLarge { bytes, max, .. } = s.try_commit(1, vec![large("C", 5)]).unwrap_err() else {
        panic!("one byte more is too large");
    };
    assert_eq!((bytes, max), (size + 1, size));
    assert!(matches!(s.try_commit(1, events("C D E")), Err(CommitError::CommitTooLarge { events: 3, .. })));
}
