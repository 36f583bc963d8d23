//! Receipts that end well, or need not wait: order, commits without synced events, stores without a backend.

use countersign_core::Config;
use tests::script::{Script, event, events};

fn local() -> Config {
    Config { backend: false, ..Config::default() }
}

// Verifies: R2, L4
#[test]
fn ok_comes_in_commit_order() {
    let mut s = Script::ready("Three commits of one session, confirmed by one page: Ok in commit order, each at its place.");
    let (a, b, c) = (s.commit(1, "A"), s.commit(1, "B1 B2"), s.commit(1, "C"));
    s.run();
    assert_eq!((s.positions(a), s.positions(b), s.positions(c)), (vec![1], vec![2, 3], vec![4]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R2
#[test]
fn what_does_not_apply_is_said_while_earlier_commits_wait() {
    let mut s = Script::ready("A waits for the backend. The client-only commit c behind it does not: NotApplicable at once.");
    let a = s.commit(1, "A");
    s.store();
    s.push_unsent();
    let c = s.commit(1, "c");
    s.store();
    assert!(s.not_applicable(c) && s.persisted(c) && s.backend(a).is_none());
    s.until_pushed();
    s.run();
    assert_eq!(s.positions(a), [1]);
    insta::assert_snapshot!(s.end());
}

// Verifies: L1, L7, S3
#[test]
fn client_only_events_move_with_the_synced_one_before_them() {
    let mut s = Script::ready("A commit of A and c, then client-only d: all three move behind X, and only A is pushed.");
    let mixed = s.commit(1, "A c");
    let d = s.commit(1, "d");
    s.store_all();
    assert_eq!(s.log(), ["A@e1", "c@e1.1", "d@e1.2"]);
    assert!(s.not_applicable(d) && s.backend(mixed).is_none());
    s.others("X");
    s.run();
    assert_eq!(s.positions(mixed), [2]);
    assert_eq!(s.log(), ["X'@e1", "A@e2r1", "c@e2.1r1", "d@e2.2r1"]);
    assert_eq!(s.backend_log(), ["X", "A"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R2
#[test]
fn an_empty_commit_settles_with_what_is_before_it() {
    let mut s =
        Script::ready("An empty commit: the backend stage does not apply, at the moment the leader stage is ok, in its turn.");
    let a = s.commit(1, "A");
    let nothing = s.commit_events(1, Vec::new());
    assert!(s.leader(nothing).is_none());
    s.store_all();
    assert!(s.persisted(a) && s.persisted(nothing) && s.not_applicable(nothing));
    assert!(s.backend(a).is_none());
    s.run();
    let alone = s.commit_events(1, Vec::new());
    s.store_all();
    assert!(s.persisted(alone) && s.not_applicable(alone));
    insta::assert_snapshot!(s.end());
}

// Verifies: R2, L1
#[test]
fn without_a_backend_the_second_stage_never_applies() {
    let mut s = Script::ready_with(local(), "No backend: both stages settle with the transaction, and nothing is pending.");
    let (a, b, c) = (s.commit(1, "A"), s.commit(1, "b"), s.commit(1, "C"));
    assert!(s.leader(a).is_none() && s.backend(a).is_none());
    s.store_all();
    for commit in [a, b, c] {
        assert!(s.persisted(commit) && s.not_applicable(commit));
    }
    assert_eq!(s.status().pending_events, 0);
    assert_eq!(s.log(), ["A@e1", "b@e1.1", "C@e2"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R3, R6
#[test]
fn without_a_backend_poison_takes_out_one_commit() {
    let mut s = Script::ready_with(
        local(),
        "No backend, three commits in one transaction, the second poisoned, one more waiting behind.",
    );
    s.poison("B1", None);
    s.commit(1, "Z");
    let (a, b, c) = (s.commit(1, "A"), s.commit(1, "B1 B2"), s.commit(1, "C"));
    s.store();
    let d = s.commit(1, "D");
    s.store_all();
    for commit in [a, c, d] {
        assert!(s.persisted(commit) && s.not_applicable(commit));
    }
    assert_eq!(s.leader_failed(b), s.failed(b));
    assert_eq!(s.log(), ["Z@e1", "A@e2", "C@e3", "D@e4"]);
    assert_eq!(s.quarantine(), ["B1", "B2"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: L4, L7, R1
#[test]
fn a_backend_is_attached_later_and_holds_other_events() {
    let mut s = Script::ready_with(local(), "A store without a backend gets one, which already holds somebody else's events.");
    let (a, b) = (s.commit(1, "A"), s.commit(1, "b"));
    s.commit(1, "C");
    s.store_all();
    s.others("X Y");
    s.note("the store is opened with a backend");
    s.reopen(Config::default());
    s.open(2);
    assert_eq!(s.status().pending_events, 2);
    s.run();
    assert!(s.not_applicable(a) && s.not_applicable(b), "receipts up to that point stay as they are");
    assert_eq!(s.backend_log(), ["X", "Y", "A", "C"]);
    assert_eq!(s.log(), ["X'@e1", "Y'@e2", "A@e3r1", "b@e3.1r1", "C@e4r1"]);
    let d = s.commit(2, "D");
    s.run();
    assert_eq!(s.positions(d), [5]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1
#[test]
fn a_commit_whose_materialiser_fails_never_was() {
    let mut s =
        Script::ready("A materialiser fails inside commit: no receipt, nothing happened, and the next commit takes the number.");
    s.begin(1, "A");
    s.finish(1, false);
    let b = s.commit(1, "B");
    assert_eq!(b.ordinal, 1);
    s.run();
    assert_eq!(s.positions(b), [1]);
    assert_eq!(s.log(), ["B@e1"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R4, L5
#[test]
fn a_commit_that_fits_a_push_is_never_split() {
    let mut s = Script::ready("A commit of 99 events and one of 2: the second goes with the next push, whole.");
    let a = s.commit_events(1, (1..=99).map(|n| event(&format!("A{n}"))).collect());
    let b = s.commit(1, "B1 B2");
    s.store();
    s.push_unsent();
    s.store();
    s.until_pushed();
    assert_eq!(s.pushed().map(|names| names.len()), Some(99));
    s.push();
    assert_eq!(s.pushed(), Some(vec!["B1".to_owned(), "B2".to_owned()]));
    s.run();
    assert_eq!((s.positions(a).len(), s.positions(b)), (99, vec![100, 101]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R8, L1
#[test]
fn a_batch_of_client_only_events_between_synced_ones_is_passed_over() {
    let mut s =
        Script::ready("Client-only events stand between synced ones, in one commit and in several: the push leaves them out.");
    s.commit(1, "a B c D e");
    s.commit(1, "f");
    let g = s.commit_events(1, events("g H"));
    s.run();
    assert_eq!(s.positions(g), [3]);
    assert_eq!(s.backend_log(), ["B", "D", "H"]);
    assert_eq!(s.log(), ["a@e0.1", "B@e1", "c@e1.1", "D@e2", "e@e2.1", "f@e2.2", "g@e2.3", "H@e3"]);
    insta::assert_snapshot!(s.end());
}
