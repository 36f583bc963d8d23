//! Trouble on request.

use countersign_core::BackendFailure;

use crate::support::*;

fn unreachable(result: Result<(), BackendFailure>) -> bool {
    match result {
        Err(BackendFailure::Unreachable { maybe_applied, .. }) => maybe_applied,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_backend_that_is_off_answers_nobody_on_its_handle() {
    let (_dir, path) = place();
    let backend = open(&path);
    let mut alice = lanes(&backend, "alice");
    let mut bob = lanes(&open(&path), "bob");
    let switch = backend.clone().switch();
    switch.off();
    assert!(!backend.switch().is_on());
    assert!(!unreachable(alice.push.push(&push(0, events(1, 1..=1)))));
    let BackendFailure::Unreachable { message, .. } = alice.pull.pull(&fresh(0)).unwrap_err() else { panic!() };
    assert!(message.contains("switched off"), "{message}");
    bob.push.push(&push(0, events(2, 1..=1))).expect("another handle has a switch of its own");
    switch.on();
    assert_eq!(positions(&alice.pull.pull(&fresh(0)).unwrap().events), [1]);
    alice.push.push(&push(1, events(1, 1..=1))).unwrap();
}

#[test]
fn switching_off_ends_a_pull_that_waits() {
    let (_dir, path) = place();
    let backend = open(&path);
    let mut pull = lanes(&backend, "alice").pull;
    pull.pull(&fresh(0)).unwrap();
    for _ in 0..20 {
        let waiting = std::thread::spawn(move || {
            let page = pull.pull(&next(0));
            (pull, page)
        });
        // Off and on at once, until the pull has noticed: it may not have begun yet.
        while !waiting.is_finished() {
            backend.switch().off();
            backend.switch().on();
        }
        let (lane, page) = waiting.join().unwrap();
        assert!(matches!(page, Err(BackendFailure::Unreachable { maybe_applied: false, .. })), "{page:?}");
        pull = lane;
    }
}

// Verifies: L6
#[test]
fn switching_off_during_a_push_leaves_open_whether_it_was_taken() {
    let (_dir, path) = place();
    let backend = open(&path);
    let switch = backend.switch();
    // Runs when the push has begun.
    backend.refuse(
        move |_| {
            switch.off();
            false
        },
        true,
        "never",
    );
    assert!(unreachable(lanes(&backend, "alice").push.push(&push(0, events(1, 1..=1)))));
    assert_eq!(backend.head().unwrap(), 1, "this one was");
}

// Verifies: L6, R4
#[test]
fn a_lost_reply_leaves_the_batch_in_the_log_once() {
    let (_dir, path) = place();
    let backend = open(&path);
    let mut alice = lanes(&backend, "alice").push;
    backend.lose_next_replies(2);
    assert_eq!(alice.push(&push(7, events(1, 1..=2))), Err(BackendFailure::ServerAhead { head: 0 }), "not taken: not lost");
    let batch = push(0, events(1, 1..=2));
    assert!(unreachable(alice.push(&batch)), "it may have been applied");
    assert_eq!(backend.head().unwrap(), 2, "and was");
    assert!(unreachable(alice.push(&batch)));
    alice.push(&batch).unwrap();
    assert_eq!(backend.head().unwrap(), 2);
}

#[test]
fn failing_pushes_reach_nothing() {
    let (_dir, path) = place();
    let backend = open(&path);
    let mut alice = lanes(&backend, "alice").push;
    backend.fail_next_pushes(2);
    for _ in 0..2 {
        assert!(!unreachable(alice.push(&push(0, events(1, 1..=1)))));
    }
    assert_eq!(backend.head().unwrap(), 0);
    alice.push(&push(0, events(1, 1..=1))).unwrap();
    backend.fail_next_pushes(1);
    backend.fail_next_pushes(0);
    alice.push(&push(1, events(1, 2..=2))).unwrap();
}

#[test]
fn refused_events_are_named_or_not() {
    let (_dir, path) = place();
    let backend = open(&path);
    let mut alice = lanes(&backend, "alice").push;
    backend.refuse(|own| &*own.event.args == "2", true, "no twos");
    backend.refuse(|own| own.id.ordinal >= 2 && own.id.ordinal < 4, true, "neither two nor three");
    let refused = vec![(1, "no twos".into()), (2, "neither two nor three".into())];
    assert_eq!(alice.push(&push(0, events(1, 1..=4))), Err(BackendFailure::Refused { events: refused }));
    assert_eq!(backend.head().unwrap(), 0, "the rest was not taken either");
    alice.push(&push(0, events(1, 4..=5))).unwrap();
    backend.accept_all();
    backend.refuse(|own| own.id.ordinal == 2, false, "not today");
    assert_eq!(alice.push(&push(2, events(1, 1..=3))), Err(BackendFailure::Unknown { message: "not today".into() }));
    backend.accept_all();
    alice.push(&push(2, events(1, 1..=3))).unwrap();
}
