//! Another backend, or one that has lost what it had confirmed.

use countersign_core::{Certainty, CommitId, Config, IdentityPolicy, Input, InvalidPush, SyncError, SyncState, Whereabouts};
use tests::script::Script;

fn with(identity: IdentityPolicy, about: &str) -> Script {
    Script::ready_with(Config { identity, ..Config::default() }, about)
}

/// A is confirmed and B pending, when the backend turns out to be another one.
fn another_backend(s: &mut Script) -> [CommitId; 2] {
    let a = s.commit(1, "A");
    s.run();
    let b = s.commit(1, "B");
    s.store();
    s.push_unsent();
    s.exchange_backend("hub2");
    s.page();
    [a, b]
}

fn is_mismatch(error: &SyncError, events: Whereabouts) -> bool {
    matches!(error, SyncError::InvalidPush { cause: InvalidPush::BackendIdMismatch { .. }, .. }) && error.events() == events
}

// Verifies: R6, L8
#[test]
fn policy_stop_fails_what_waits_and_what_is_committed_meanwhile() {
    let mut s = with(
        IdentityPolicy::Stop,
        "Another backend, policy `stop`: what waits fails and stays queued, and so does what is committed meanwhile.",
    );
    let [a, b] = another_backend(&mut s);
    s.store_all();
    assert!(is_mismatch(&s.failed(b), Whereabouts::Queued));
    let (c, d) = (s.commit(1, "C"), s.commit(1, "d"));
    s.store_all();
    assert!(is_mismatch(&s.failed(c), Whereabouts::Queued));
    assert!(s.persisted(c) && s.not_applicable(d));
    assert_eq!(s.status().next, None, "nothing is tried before somebody decides");
    s.note("the backend is the known one again, and the user has it looked at");
    s.bring_back_backend("hub", "A");
    s.decide(IdentityPolicy::Stop);
    s.run();
    assert_eq!(s.backend_log(), ["A", "B", "C"], "what was queued is pushed");
    assert!(is_mismatch(&s.failed(b), Whereabouts::Queued), "the receipt stays as it settled");
    assert_eq!(s.positions(a), [1]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R6, L8
#[test]
fn a_receipt_failed_by_policy_stop_stays_failed_after_a_restart() {
    let mut s =
        with(IdentityPolicy::Stop, "What the policy `stop` has failed stays failed after a restart, while its events go on.");
    let [_, b] = another_backend(&mut s);
    s.store_all();
    s.bring_back_backend("hub", "A");
    s.crash();
    s.run();
    assert!(is_mismatch(&s.failed(b), Whereabouts::Queued));
    assert_eq!(s.backend_log(), ["A", "B"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R3, R6, L4, L8
#[test]
fn policy_reset_moves_everything_to_quarantine_in_one_transaction() {
    let mut s = with(
        IdentityPolicy::Reset,
        "Another backend, policy `reset`: stored B, and C and d that are not stored yet, go into quarantine as the history goes.",
    );
    let a = s.commit(1, "A");
    s.run();
    let b = s.commit(1, "B");
    s.store();
    s.push_unsent();
    let (c, d) = (s.commit(1, "C"), s.commit(1, "d"));
    let nothing = s.commit_events(1, Vec::new());
    s.exchange_backend("hub2");
    s.page();
    s.store();
    let e = s.commit(1, "E");
    s.store();
    s.run();
    assert_eq!(s.positions(a), [1]);
    assert!(s.persisted(b) && is_mismatch(&s.failed(b), Whereabouts::Quarantine));
    assert!(is_mismatch(&s.failed(c), Whereabouts::Quarantine));
    assert!(s.leader(d).is_some() && s.backend(d).is_some());
    assert!(s.persisted(nothing) && s.not_applicable(nothing));
    assert_eq!(s.positions(e), [1]);
    assert_eq!(s.backend_log(), ["E"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R3, R4, L8
#[test]
fn policy_reset_with_an_event_acknowledged_and_not_yet_pulled() {
    let mut s = with(
        IdentityPolicy::Reset,
        "A is acknowledged, and not yet pulled, when the backend is another one: A is Ok and goes with the history, B into quarantine.",
    );
    let a = s.commit(1, "A");
    s.store();
    s.push();
    let b = s.commit(1, "B");
    s.store();
    s.push_unsent();
    s.exchange_backend("hub2");
    s.page();
    s.store_all();
    assert_eq!(s.positions(a), [1]);
    assert!(is_mismatch(&s.failed(b), Whereabouts::Quarantine));
    assert_eq!(s.status().pending_events, 0);
    s.run();
    insta::assert_snapshot!(s.end());
}

// Verifies: L4, L8
#[test]
fn policy_reset_with_an_event_that_is_about_to_leave_quarantine() {
    let mut s = with(
        IdentityPolicy::Reset,
        "A is in quarantine, its fate unknown, and found at the backend. Before that is stored the backend is another one: A stays in\n\
         quarantine as the history goes.",
    );
    let a = s.commit(1, "A");
    s.store();
    s.push_reply_lost();
    s.withdraw(a);
    s.store_all();
    assert_eq!(s.quarantine(), ["A"]);
    s.wait(60);
    s.page();
    s.store_fails(countersign_core::StorageClass::Full);
    s.exchange_backend("hub2");
    s.page();
    s.run_awake();
    assert!(matches!(s.failed(a), SyncError::Withdrawn { .. }));
    assert_eq!((s.quarantine(), s.log()), (vec!["A".to_owned()], vec![]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, L8
#[test]
fn policy_ignore_lets_receipts_wait() {
    let mut s = with(IdentityPolicy::Ignore, "Another backend, policy `ignore`: neither push nor pull, and receipts wait.");
    let [_, b] = another_backend(&mut s);
    let c = s.commit(1, "C");
    s.store_all();
    assert!(s.persisted(c) && s.backend(b).is_none() && s.backend(c).is_none());
    assert!(matches!(s.status().sync, SyncState::BackendIdMismatch { ignored: true, .. }));
    assert!(s.pushed().is_none() && s.pull_under_way().is_none());
    s.note("the user decides otherwise");
    s.decide(IdentityPolicy::Reset);
    s.store_all();
    assert!(is_mismatch(&s.failed(b), Whereabouts::Quarantine) && is_mismatch(&s.failed(c), Whereabouts::Quarantine));
    insta::assert_snapshot!(s.end());
}

// Verifies: L2, L8
#[test]
fn a_backend_that_lost_the_last_confirmed_event_is_another_one() {
    let mut s = with(
        IdentityPolicy::Stop,
        "The backend is restored from an older copy: a new stream begins with the anchor, and that is missing.",
    );
    s.commit(1, "A");
    let b = s.commit(1, "B");
    s.run();
    let c = s.commit(1, "C");
    s.store();
    s.truncate_backend(1);
    s.push_unsent();
    s.crash();
    s.page();
    s.store_all();
    assert!(is_mismatch(&s.failed(c), Whereabouts::Queued));
    assert_eq!(s.positions(b), [2], "what was said is not taken back");
    insta::assert_snapshot!(s.end());
}

// Verifies: L2, L8
#[test]
fn a_backend_that_is_behind_what_it_confirmed_is_another_one() {
    let mut s = with(IdentityPolicy::Stop, "ServerAhead names a head below what the backend had confirmed: it lost history.");
    s.commit(1, "A");
    s.commit(1, "B");
    s.run();
    let c = s.commit(1, "C");
    s.store();
    s.truncate_backend(1);
    s.push();
    s.store_all();
    assert!(is_mismatch(&s.failed(c), Whereabouts::Queued));
    assert_eq!(s.failed(c).certainty(), Certainty::Unknown, "not applied is only said of what has left the queue");
    insta::assert_snapshot!(s.end());
}

// Verifies: L2, L8
#[test]
fn a_backend_that_takes_back_an_acknowledgement_is_another_one() {
    let mut s = with(IdentityPolicy::Stop, "A was acknowledged at e1; the pull then shows X there.");
    let a = s.commit(1, "A");
    s.store();
    s.push();
    s.truncate_backend(0);
    s.others("X");
    s.page();
    s.store_all();
    assert_eq!(s.positions(a), [1]);
    assert!(matches!(s.status().sync, SyncState::BackendIdMismatch { .. }));
    assert_eq!(s.log(), ["A@e1"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: L2
#[test]
fn the_anchor_is_looked_at_and_not_taken_twice() {
    let mut s = Script::ready(
        "Every new stream starts one event before the cursor: it brings the last event once more, and that is not taken twice.",
    );
    s.others("X Y");
    s.run();
    s.crash();
    assert!(s.pull_under_way().is_some_and(|pull| pull.after == 1 && pull.fresh));
    s.others("Z");
    s.run();
    assert_eq!(s.log(), ["X'@e1", "Y'@e2", "Z'@e3"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: L8, R1, S3 (a commit that is in the middle of things when the history is given up belongs to the new one)
#[test]
fn a_commit_that_is_being_applied_while_the_history_is_reset() {
    let mut s = Script::ready("A is confirmed and B is being committed; the backend is another one, and the user starts over.");
    s.commit(1, "A");
    s.run();
    let b = s.begin(1, "B");
    s.exchange_backend("hub2");
    s.tell(Input::Refresh);
    s.page();
    s.decide(IdentityPolicy::Reset);
    s.store();
    s.finish(1, true);
    s.run();
    assert_eq!((s.positions(b), s.backend_log()), (vec![1], vec!["B".to_owned()]));
    assert_eq!(s.database(1), ["B"]);
}
