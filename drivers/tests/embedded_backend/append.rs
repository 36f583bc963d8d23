//! What a push does to the log.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign::backend::{Backend, EmbeddedBackend};
use countersign_core::{BackendFailure, Event, OwnEvent, Push};

use crate::support::*;

// Verifies: R4, L1
#[test]
fn a_batch_is_appended_whole_at_the_head_only() {
    let (_dir, path) = place();
    let backend = open(&path);
    let mut alice = lanes(&backend, "alice").push;
    alice.push(&push(0, events(1, 1..=3))).unwrap();
    let mut bob = lanes(&backend, "bob").push;
    for parent in [0, 2, 4, u64::MAX] {
        let ahead = bob.push(&push(parent, events(2, 1..=2))).unwrap_err();
        assert_eq!(ahead, BackendFailure::ServerAhead { head: 3 }, "{parent}");
    }
    bob.push(&push(3, events(2, 1..=2))).unwrap();
    let log = backend.log().unwrap();
    assert_contiguous(&log);
    let said: Vec<_> = log.iter().map(|e| (&*e.client, &*e.event.args, e.ids.unwrap().ordinal)).collect();
    assert_eq!(said, [("alice", "1", 1), ("alice", "2", 2), ("alice", "3", 3), ("bob", "1", 1), ("bob", "2", 2)]);
    assert_eq!(&*log[4].session, events(2, 1..=1)[0].id.session.to_string());
    assert_eq!(backend.head().unwrap(), 5);
}

#[test]
fn an_empty_batch_changes_nothing() {
    let (_dir, path) = place();
    let backend = open(&path);
    lanes(&backend, "alice").push.push(&push(7, Vec::new())).unwrap();
    assert_eq!(backend.head().unwrap(), 0);
}

// Verifies: L6, R4
#[test]
fn a_repeated_batch_is_acknowledged_and_not_stored_again() {
    let (_dir, path) = place();
    let backend = open(&path);
    let mut alice = lanes(&backend, "alice").push;
    let batch = push(0, events(1, 1..=3));
    alice.push(&batch).unwrap();
    alice.push(&batch).expect("it is the log's tail");
    lanes(&backend, "bob").push.push(&push(3, events(2, 1..=2))).unwrap();
    alice.push(&batch).expect("it is somewhere in the log");
    alice.push(&push(1, events(1, 2..=3))).expect("a part of it is, too");
    assert_eq!(backend.head().unwrap(), 5);
}

// Verifies: L6
#[test]
fn what_is_only_like_a_batch_in_the_log_is_no_repetition() {
    let (_dir, path) = place();
    let backend = open(&path);
    let mut alice = lanes(&backend, "alice").push;
    alice.push(&push(0, events(1, 1..=3))).unwrap();
    let ahead = Err(BackendFailure::ServerAhead { head: 3 });
    assert_eq!(alice.push(&push(0, events(1, 1..=4))), ahead, "longer than what is there");
    assert_eq!(alice.push(&push(0, events(1, 2..=3))), ahead, "elsewhere");
    assert_eq!(alice.push(&push(0, events(2, 1..=3))), ahead, "of another session");
    assert_eq!(alice.push(&push(0, vec![event(1, 1, "\"other\"")])), ahead, "with other content");
    assert_eq!(lanes(&backend, "bob").push.push(&push(0, events(1, 1..=3))), ahead, "of another client");
    let unfinished = OwnEvent { last: false, ..event(1, 1, "1") };
    assert_eq!(alice.push(&push(0, vec![unfinished])), ahead, "with another place in its commit");
    assert_eq!(backend.head().unwrap(), 3);
}

// Verifies: L7
#[test]
fn what_does_not_belong_in_a_log_is_refused_with_all_of_its_batch() {
    let (_dir, path) = place();
    let backend = open(&path);
    let large = event(1, 2, &format!("\"{}\"", "x".repeat(890_000)));
    let own = event(1, 3, "3");
    let event = Arc::new(Event { client_only: true, ..(*own.event).clone() });
    let batch = [events(1, 1..=1), vec![large, OwnEvent { event, ..own }]].concat();
    let failure = lanes(&backend, "alice").push.push(&push(0, batch)).unwrap_err();
    let BackendFailure::Refused { events } = failure else { panic!("{failure:?}") };
    assert_eq!(events.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [1, 2]);
    assert!(events[0].1.contains("at most 890000") && events[1].1.contains("client-only"), "{events:?}");
    assert_eq!(backend.head().unwrap(), 0);
}

// Verifies: L8
#[test]
fn a_batch_for_another_backend_is_refused() {
    let (_dir, path) = place();
    let backend = open(&path);
    let ours = backend.identity().unwrap();
    let mut alice = lanes(&backend, "alice").push;
    let meant = |identity: &str| Push { backend: Some(identity.into()), ..push(0, events(1, 1..=1)) };
    assert_eq!(alice.push(&meant("another")), Err(BackendFailure::Identity { theirs: ours.clone() }));
    assert_eq!(backend.head().unwrap(), 0);
    alice.push(&meant(&ours)).unwrap();
    let theirs = backend.reset().unwrap();
    assert_ne!(theirs, ours);
    assert_eq!((backend.head().unwrap(), backend.identity().unwrap()), (0, theirs.clone()));
    assert_eq!(alice.push(&meant(&ours)), Err(BackendFailure::Identity { theirs }));
    assert_eq!(backend.head().unwrap(), 0, "no event of the one history in the other");
}

// Verifies: R4, L1, L4
#[test]
fn one_of_several_writers_gets_each_position() {
    const WRITERS: u8 = 4;
    const BATCHES: u64 = 25;
    let (_dir, path) = place();
    let shared = open(&path);
    let write = |session: u8| {
        // Half of them have a handle of their own.
        let backend = if session.is_multiple_of(2) { open(&path) } else { shared.clone() };
        let mut lane = lanes(&backend, "writer").push;
        let mut head = 0;
        let mut refused = 0_u64;
        for batch in 0..BATCHES {
            let ordinals = 3 * batch + 1..=3 * batch + 3;
            loop {
                match lane.push(&push(head, events(session, ordinals.clone()))) {
                    Ok(()) => break,
                    Err(BackendFailure::ServerAhead { head: theirs }) => {
                        assert!(theirs > head, "refused at the head");
                        (head, refused) = (theirs, refused + 1);
                    }
                    Err(failure) => panic!("{failure:?}"),
                }
            }
            head += 3;
        }
        refused
    };
    let refused: u64 = std::thread::scope(|scope| {
        let writers: Vec<_> = (1..=WRITERS).map(|session| scope.spawn(move || write(session))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    let log = shared.log().unwrap();
    assert_contiguous(&log);
    assert_eq!(log.len() as u64, u64::from(WRITERS) * BATCHES * 3);
    let ids: BTreeSet<_> = log.iter().map(|e| (e.session.clone(), e.ids.unwrap().ordinal)).collect();
    assert_eq!(ids.len(), log.len(), "each event once");
    for batch in log.chunks(3) {
        let ordinals: Vec<_> = batch.iter().map(|e| e.ids.unwrap().ordinal).collect();
        assert!(ordinals[0] % 3 == 1 && ordinals == [ordinals[0], ordinals[0] + 1, ordinals[0] + 2], "{ordinals:?}");
        assert!(batch.iter().all(|e| e.session == batch[0].session), "nothing inside a batch");
    }
    assert!(refused > 0, "nobody was ever in another's way: nothing was tried");
}

#[test]
fn the_log_outlives_its_handles_and_can_be_looked_at() {
    let (_dir, path) = place();
    assert!(EmbeddedBackend::open_read_only(&path).is_err());
    assert!(!path.exists(), "looking creates nothing");
    let identity = {
        let backend = open(&path);
        lanes(&backend, "alice").push.push(&push(0, events(1, 1..=2))).unwrap();
        backend.identity().unwrap()
    };
    let looking = EmbeddedBackend::open_read_only(&path).unwrap();
    assert_eq!((looking.head().unwrap(), looking.identity().unwrap()), (2, identity));
    assert_eq!(positions(&looking.log().unwrap()), [1, 2]);
    let failure = lanes(&looking, "alice").push.push(&push(2, events(1, 3..=3))).unwrap_err();
    assert!(matches!(failure, BackendFailure::Unreachable { maybe_applied: false, .. }), "{failure:?}");
    assert!(looking.reset().is_err() && looking.truncate(0).is_err());
    assert_eq!(open(&path).head().unwrap(), 2);
    assert_eq!(looking.describe(), format!("embedded:{}", looking.path().display()));
}

// Verifies: R4
#[test]
fn a_file_that_is_gone_is_not_silently_replaced_by_an_empty_one() {
    let (dir, path) = place();
    let backend = open(&path);
    let mut alice = lanes(&backend, "alice").push;
    alice.push(&push(0, events(1, 1..=2))).unwrap();
    std::fs::rename(&path, dir.path().join("elsewhere.db")).unwrap();
    let failure = alice.push(&push(2, events(1, 3..=3))).unwrap_err();
    let BackendFailure::Unreachable { message, maybe_applied: false } = failure else { panic!("{failure:?}") };
    assert!(message.contains("no backend at") && message.contains("backend.db"), "{message}");
    assert!(!path.exists());
    assert!(backend.head().is_err());
    let another = open(&path);
    let expected = Push { backend: Some("old".into()), ..push(0, events(1, 3..=3)) };
    assert_eq!(alice.push(&expected), Err(BackendFailure::Identity { theirs: another.identity().unwrap() }));
}
