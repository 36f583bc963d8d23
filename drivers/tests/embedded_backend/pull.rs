//! What a pull gets, and when.

use std::thread::JoinHandle;

use countersign::backend::{Interrupter, Lanes, PullLane};
use countersign_core::{BackendFailure, Page, Pull};

use crate::support::*;

type Waiting = JoinHandle<(Box<dyn PullLane>, Result<Page, BackendFailure>)>;

fn pull_in_thread(mut lane: Box<dyn PullLane>, pull: Pull) -> Waiting {
    std::thread::spawn(move || {
        let page = lane.pull(&pull);
        (lane, page)
    })
}

fn is_interruption(page: &Result<Page, BackendFailure>) -> bool {
    matches!(page, Err(BackendFailure::Unreachable { message, maybe_applied: false }) if message.contains("interrupted"))
}

#[test]
fn a_fresh_pull_answers_at_once_and_names_the_backend() {
    let (_dir, path) = place();
    let backend = open(&path);
    let identity = backend.identity().unwrap();
    let mut alice = lanes(&backend, "alice");
    let empty = Page { events: Vec::new(), more: false, backend: identity.clone() };
    assert_eq!(alice.pull.pull(&fresh(0)), Ok(empty.clone()));
    alice.push.push(&push(0, events(1, 1..=2))).unwrap();
    assert_eq!(alice.pull.pull(&of(fresh(2), &identity)), Ok(empty));
    let page = alice.pull.pull(&of(fresh(1), &identity)).unwrap();
    assert_eq!((positions(&page.events), page.more), (vec![2], false));
    assert_eq!(page.events[0], backend.log().unwrap()[1]);
}

#[test]
fn pages_end_at_100_events() {
    let (_dir, path) = place();
    let backend = open(&path);
    let Lanes { push: mut push_lane, pull: mut pull_lane } = lanes(&backend, "alice");
    push_lane.push(&push(0, events(1, 1..=250))).unwrap();
    let mut at = 0;
    for (last, more) in [(100, true), (200, true), (250, false)] {
        let page = pull_lane.pull(&Pull { fresh: at == 0, ..next(at) }).unwrap();
        assert_eq!(positions(&page.events), (at + 1..=last).collect::<Vec<_>>());
        assert_eq!(page.more, more);
        at = last;
    }
}

#[test]
fn pages_end_at_900_000_bytes() {
    let (_dir, path) = place();
    let backend = open(&path);
    let Lanes { push: mut push_lane, pull: mut pull_lane } = lanes(&backend, "alice");
    // The largest event, two that fill a page together, and one more.
    let args = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
    let sizes = [889_000, 440_000, 440_000, 440_000];
    let batch = sizes.iter().zip(1..).map(|(bytes, ordinal)| event(1, ordinal, &args(*bytes))).collect();
    push_lane.push(&push(0, batch)).unwrap();
    let mut pages = Vec::new();
    for after in [0, 1, 3] {
        let page = pull_lane.pull(&fresh(after)).unwrap();
        let bytes: usize = page.events.iter().map(|e| e.event.args.len() + e.event.name.len()).sum();
        assert!(bytes <= 900_000, "{bytes}");
        pages.push((positions(&page.events), page.more));
    }
    assert_eq!(pages, [(vec![1], true), (vec![2, 3], true), (vec![4], false)]);
}

#[test]
fn a_pull_that_follows_waits_for_news_from_any_handle() {
    let (_dir, path) = place();
    let backend = open(&path);
    let mut pull = lanes(&backend, "alice").pull;
    pull.pull(&fresh(0)).unwrap();
    let mut others = lanes(&open(&path), "bob").push;
    for seq in 1..=20 {
        let waiting = pull_in_thread(pull, next(seq - 1));
        others.push(&push(seq - 1, events(2, seq..=seq))).unwrap();
        let (lane, page) = waiting.join().unwrap();
        assert_eq!(positions(&page.unwrap().events), [seq]);
        pull = lane;
    }
}

#[test]
fn an_interruption_ends_one_pull_that_is_under_way_or_the_next() {
    let (_dir, path) = place();
    let backend = open(&path);
    let mut pull = lanes(&backend, "alice").pull;
    let interrupter: Interrupter = pull.interrupter();
    pull.pull(&fresh(0)).unwrap();
    // It may come before the pull or during it: in both cases the pull has to end.
    for _ in 0..20 {
        let waiting = pull_in_thread(pull, next(0));
        interrupter.clone().interrupt();
        let (lane, page) = waiting.join().unwrap();
        assert!(is_interruption(&page), "{page:?}");
        pull = lane;
    }
    interrupter.interrupt();
    interrupter.interrupt();
    assert!(is_interruption(&pull.pull(&fresh(0))));
    assert!(pull.pull(&fresh(0)).is_ok(), "two before one pull end one pull");
    let other = lanes(&backend, "bob").pull.interrupter();
    other.interrupt();
    assert!(pull.pull(&fresh(0)).is_ok(), "another lane's is not ours");
    drop(pull);
    interrupter.interrupt();
}

// Verifies: L8
#[test]
fn a_waiting_pull_learns_that_the_backend_has_become_another() {
    let (_dir, path) = place();
    let backend = open(&path);
    let ours = backend.identity().unwrap();
    let mut pull = lanes(&backend, "alice").pull;
    pull.pull(&of(fresh(0), &ours)).unwrap();
    let waiting = pull_in_thread(pull, of(next(0), &ours));
    let theirs = open(&path).reset().unwrap();
    let (mut pull, page) = waiting.join().unwrap();
    assert_eq!(page, Err(BackendFailure::Identity { theirs: theirs.clone() }));
    assert_eq!(pull.pull(&of(fresh(0), &ours)), Err(BackendFailure::Identity { theirs }));
}

// Verifies: L2
#[test]
fn a_pull_learns_that_the_backend_has_lost_history() {
    let (_dir, path) = place();
    let backend = open(&path);
    let Lanes { push: mut push_lane, pull: mut pull_lane } = lanes(&backend, "alice");
    push_lane.push(&push(0, events(1, 1..=5))).unwrap();
    assert_eq!(pull_lane.pull(&fresh(0)).unwrap().events.len(), 5);
    let waiting = pull_in_thread(pull_lane, next(5));
    assert_eq!(open(&path).truncate(3).unwrap(), 2);
    let (mut pull_lane, page) = waiting.join().unwrap();
    assert!(matches!(page, Err(BackendFailure::Truncated { .. })), "{page:?}");
    let fresh_one = pull_lane.pull(&fresh(5));
    let Err(BackendFailure::Truncated { message }) = fresh_one else { panic!("{fresh_one:?}") };
    assert!(message.contains("e3") && message.contains("e5"), "{message}");
    assert_eq!(push_lane.push(&push(5, events(1, 6..=6))), Err(BackendFailure::ServerAhead { head: 3 }));
}

// Verifies: L2
#[test]
fn other_events_in_the_place_of_lost_ones_are_no_continuation() {
    let (_dir, path) = place();
    let backend = open(&path);
    let Lanes { push: mut push_lane, pull: mut pull_lane } = lanes(&backend, "alice");
    push_lane.push(&push(0, events(1, 1..=5))).unwrap();
    pull_lane.pull(&fresh(0)).unwrap();
    backend.truncate(3).unwrap();
    push_lane.push(&push(3, events(2, 1..=9))).unwrap();
    let page = pull_lane.pull(&next(5));
    let Err(BackendFailure::Truncated { message }) = page else { panic!("{page:?}") };
    assert!(message.contains("e5"), "{message}");
}
