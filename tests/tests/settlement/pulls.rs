//! Pulls: pages in any order, gaps, a backend that contradicts itself.

use countersign_core::{BackendFailure, Config, Reason, SyncState};
use tests::script::Script;

// Verifies: V4, R5
#[test]
fn server_ahead_that_shows_nothing_new_is_no_busy_loop() {
    let mut s = Script::ready(
        "The backend keeps saying that it is ahead, and its pull shows nothing new: tried again with backoff, not at once.",
    );
    let a = s.commit(1, "A");
    s.store();
    s.push_answers(BackendFailure::ServerAhead { head: 0 });
    s.page();
    assert!(s.pushed().is_some(), "the first time it may have been a race");
    s.push_answers(BackendFailure::ServerAhead { head: 0 });
    s.page();
    assert_eq!(s.pushed(), None);
    assert_eq!(s.wake(), Reason::PushRetry);
    s.push_answers(BackendFailure::ServerAhead { head: 0 });
    s.page();
    assert_eq!(s.pushed(), None);
    s.wake();
    s.run();
    assert_eq!(s.positions(a), [1]);
    insta::assert_snapshot!(s.end());
}

// Verifies: L2, V4
#[test]
fn a_gap_in_the_backends_log() {
    let mut s = Script::ready(
        "A page has a gap: only what follows without one is taken. A fresh pull shows it again: BackendLogBroken, with backoff.",
    );
    s.page_of("X@e1 Z@e3-e2");
    assert!(s.pull_under_way().is_some_and(|pull| pull.fresh), "overtaking pages are asked for again");
    s.page_of("X@e1 Z@e3-e2");
    assert!(matches!(s.status().sync, SyncState::BackendLogBroken { at: 1 }));
    let a = s.commit(1, "A");
    s.store_all();
    assert!(s.persisted(a) && s.pushed().is_none());
    assert_eq!(s.wake(), Reason::PullRetry);
    s.page_of("X@e1 Z@e3-e2");
    assert_eq!(s.pushed(), None);
    assert_eq!(s.wake(), Reason::PullRetry);
    s.note("the gap is mended");
    s.others("X Y Z");
    s.run();
    assert_eq!(s.log(), ["X'@e1", "Y'@e2", "Z'@e3", "A@e4r1"]);
    assert_eq!(s.positions(a), [4]);
    insta::assert_snapshot!(s.end());
}

// Verifies: L2, D3
#[test]
fn pages_overtake_one_another() {
    let mut s = Script::ready(
        "A live page overtakes history: only the overtaking events are dropped, and the next pull follows what is contiguous.",
    );
    s.others("X Y Z");
    s.page_of("X@e1 Z@e3-e2");
    s.page();
    s.run();
    assert_eq!(s.log(), ["X'@e1", "Y'@e2", "Z'@e3"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: L2, L4
#[test]
fn an_event_that_comes_twice_is_taken_once() {
    let mut s = Script::ready("A page repeats what is known: nothing is taken twice.");
    s.others("X Y");
    s.page();
    s.page_of("X@e1 Y@e2");
    s.run();
    assert_eq!(s.log(), ["X'@e1", "Y'@e2"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: V6, R5
#[test]
fn many_pages_are_one_rebase() {
    let mut s = Script::ready("While more pages are on their way the rebase waits for them: one transaction for all.");
    let a = s.commit(1, "A");
    s.store();
    s.others("W X Y Z");
    s.push();
    s.page_up_to(1);
    assert_eq!(s.txns(), 0);
    s.page_up_to(2);
    assert_eq!(s.txns(), 0);
    s.page();
    assert_eq!(s.txns(), 1);
    s.run();
    assert_eq!(s.positions(a), [5]);
    assert_eq!(s.rebases(a), 3);
    insta::assert_snapshot!(s.end());
}

// Verifies: V5
#[test]
fn pages_are_not_asked_for_while_storage_is_slow() {
    let config = Config { pulled_events: 2, ..Config::default() };
    let mut s = Script::ready_with(config, "Storage is slow: no more pages are asked for than memory may hold.");
    s.others("V W X Y Z");
    s.page_up_to(2);
    assert_eq!(s.txns(), 1);
    s.page_up_to(2);
    assert!(s.pull_under_way().is_none());
    s.store();
    assert!(s.pull_under_way().is_some());
    s.run();
    assert_eq!(s.log().len(), 5);
    insta::assert_snapshot!(s.end());
}

// Verifies: R4, S1
#[test]
fn an_echo_with_other_bytes() {
    let mut s = Script::ready(
        "The backend keeps no identities, and holds A with other arguments: its bytes win, with a notice, and A is confirmed.",
    );
    s.strip_ids();
    let a = s.commit(1, "A");
    s.store();
    s.push_reply_lost();
    s.rewrite_in_backend("A", "{\"by\":\"server\"}");
    s.page();
    s.store_all();
    assert_eq!(s.positions(a), [1]);
    assert_eq!(s.log(), ["A@e1"]);
    s.run_awake();
    assert_eq!(s.backend_log(), ["A"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: V6
#[test]
fn after_two_refusals_in_a_row_pushes_go_ahead_of_the_disk() {
    let mut s = Script::ready(
        "A busy writer is always first. After two refusals in a row A is pushed before its rebase is stored, and one rebase covers all.",
    );
    let a = s.commit(1, "A");
    s.store();
    s.others("X");
    s.push();
    s.page();
    assert_eq!(s.pushed(), None);
    s.store();
    s.others("Y");
    s.push();
    s.page();
    assert_eq!(s.txns(), 1);
    assert!(s.pushed().is_some());
    s.push();
    assert_eq!(s.positions(a), [3]);
    s.run();
    assert_eq!(s.log(), ["X'@e1", "Y'@e2", "A@e3r2"]);
    insta::assert_snapshot!(s.end());
}
