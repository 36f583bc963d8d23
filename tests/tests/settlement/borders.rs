//! Borders: where one thing ends and another begins, told by what happens on both sides.

use countersign_core::{Certainty, CommitError, Config, Limit, SyncError};
use tests::script::{Script, event, events};

// Verifies: R8, L3
#[test]
fn an_acknowledged_event_comes_back_with_other_bytes() {
    let mut s = Script::ready(
        "The backend strips identities and has changed the bytes of A, which it has acknowledged: at its place it is A all the same.",
    );
    s.strip_ids();
    let a = s.commit(1, "A");
    s.store();
    s.push();
    s.rewrite_in_backend("A", "7");
    s.wait(60);
    s.run_awake();
    assert_eq!((s.positions(a), s.log()), (vec![1], vec!["A@e1".to_owned()]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R4, R8, L4
#[test]
fn other_bytes_of_a_session_that_has_something_in_quarantine() {
    let mut s = Script::ready(
        "A and B were pushed, and the reply was lost; A is withdrawn, and the backend has changed its bytes. What comes back first may be\n\
         A, so it is not taken for B: that comes next.",
    );
    s.strip_ids();
    let (a, b) = (s.commit(1, "A"), s.commit(1, "B"));
    s.store();
    s.push_unsent();
    s.store_all();
    s.until_pushed();
    assert_eq!(s.pushed(), Some(vec!["A".to_owned(), "B".to_owned()]));
    s.push_reply_lost();
    s.withdraw(a);
    s.store_all();
    s.rewrite_in_backend("A", "7");
    s.run_awake();
    assert!(matches!(s.failed(a), SyncError::Withdrawn { certainty: Certainty::Unknown, .. }));
    assert_eq!((s.positions(b), s.quarantine()), (vec![2], vec!["A".to_owned()]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R4, R8, L4 (each event that comes back is one of those that were sent, in their order)
#[test]
fn events_with_other_bytes_come_back_behind_others_without_identities() {
    let mut s = Script::ready(
        "A and B were taken behind X, with their bytes changed, and a loss of power takes that off the disk: Z comes back where it\n\
         stands, then A and B, each at its new place. Nothing is pushed twice.",
    );
    s.strip_ids();
    let z = s.commit(1, "Z");
    s.store();
    let (a, b) = (s.commit(1, "A"), s.commit(1, "B"));
    s.store_all();
    let before = s.last_txn();
    s.push();
    s.others("X");
    s.push();
    s.page();
    s.store_all();
    s.until_pushed();
    assert_eq!(s.pushed(), Some(vec!["A".to_owned(), "B".to_owned()]));
    s.push_reply_lost();
    s.rewrite_in_backend("A", "7");
    s.rewrite_in_backend("B", "8");
    s.power_loss(before);
    assert_eq!(s.log(), ["Z@e1", "A@e2", "B@e3"]);
    s.page_up_to(1);
    s.page();
    s.run_awake();
    assert_eq!([z, a, b].map(|commit| s.positions(commit)), [[1], [3], [4]]);
    assert_eq!((s.log().len(), s.backend_log().len()), (4, 4));
    insta::assert_snapshot!(s.end());
}

// Verifies: V5
#[test]
fn a_transaction_is_no_larger_for_what_was_pulled() {
    let config = Config { txn_events: 2, ..Config::default() };
    let mut s = Script::ready_with(
        config,
        "Y comes while Z is being stored. Of A, B and C, made meanwhile, two fit the next transaction.",
    );
    s.commit(1, "Z");
    let [a, b, c] = ["A", "B", "C"].map(|name| s.commit(1, name));
    s.others("Y");
    s.page();
    s.store();
    s.store();
    assert!(s.persisted(a) && s.persisted(b) && s.leader(c).is_none());
    s.run();
    assert_eq!(s.positions(c), [5]);
}

// Verifies: V5
#[test]
fn a_transaction_is_full_with_as_many_events_as_it_may_have() {
    let config = Config { txn_events: 2, ..Config::default() };
    let mut s =
        Script::ready_with(config, "At most two events a transaction: A B, which were made meanwhile, fill one, and C is next.");
    s.commit(1, "X");
    for name in ["A", "B", "C"] {
        s.commit(1, name);
    }
    let before = s.last_txn();
    s.store_all();
    assert_eq!(s.last_txn() - before, 3);
    insta::assert_snapshot!(s.end());
}

// Verifies: R3, L1
#[test]
fn client_only_commits_that_have_settled_are_stored_in_one_transaction() {
    let config = Config { txn_events: 1, ..Config::default() };
    let mut s = Script::ready_with(
        config,
        "Nothing is pending, so a, b and c stand where they do for good: b and c are in one transaction, though it is larger than it may be.",
    );
    let commits = ["a", "b", "c"].map(|name| s.commit(1, name));
    let before = s.last_txn();
    s.store_all();
    assert_eq!(s.last_txn() - before, 2);
    assert!(commits.iter().all(|&commit| s.persisted(commit)));
    insta::assert_snapshot!(s.end());
}

// Verifies: V1, V5
#[test]
fn what_is_stuck_is_told_once() {
    let mut s =
        Script::ready("A is refused again and again, without saying for ever: it is told once that it is stuck, and waits.");
    let a = s.commit(1, "A");
    s.store_all();
    for _ in 0..8 {
        s.push_refused();
        s.page();
        s.until_pushed();
    }
    assert_eq!(s.so_far().matches("S1-1 is stuck").count(), 1);
    s.push();
    assert_eq!(s.positions(a), [1]);
}

// Verifies: V5
#[test]
fn bytes_that_wait_keep_no_client_only_commit_out() {
    let config = Config { pending_bytes: 900, ..Config::default() };
    let mut s =
        Script::ready_with(config, "Bytes that wait for the backend are at their limit: what stays here is taken all the same.");
    s.commit(1, "A");
    let refused = s.try_commit(1, vec![event("B"), event("C")]);
    assert!(matches!(refused, Err(CommitError::Full { limit: Limit::PendingBytes, .. })), "{refused:?}");
    s.commit_events(1, events("b c d e"));
    s.run();
    assert_eq!(s.backend_log(), ["A"]);
}
