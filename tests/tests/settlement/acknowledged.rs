//! What the backend has acknowledged and no pull has brought back yet: stored, known after a restart, and missed if it is lost.

use countersign_core::{Certainty, Config, IdentityPolicy, Input, Reason, SyncError, SyncState, Whereabouts};
use tests::script::Script;

/// A is stored and acknowledged, and nothing else happens.
fn acknowledged(about: &str) -> (Script, countersign_core::CommitId) {
    let mut s = Script::ready(about);
    let a = s.commit(1, "A");
    s.store();
    s.push();
    assert_eq!(s.positions(a), [1]);
    (s, a)
}

fn is_lost(s: &Script) -> bool {
    matches!(s.status().sync, SyncState::BackendIdMismatch { .. })
}

// Verifies: R1, R8, L6
#[test]
fn an_acknowledgement_is_stored_by_itself_if_nothing_else_is() {
    let (mut s, a) = acknowledged(
        "A is acknowledged, and nothing has to be stored for a while: the acknowledgement gets a transaction of its own. After\n\
         a crash the receipt is not open again, A is not pushed again, and the pull confirms it without a word.",
    );
    assert!(s.txns() == 0 && !s.status().drained);
    assert_eq!(s.wake(), Reason::Acknowledgement);
    s.store();
    assert!(s.status().drained);
    s.crash();
    assert_eq!(s.node().find(a), None);
    s.tell(Input::OfflineForGood);
    s.withdraw(a);
    assert_eq!(s.txns(), 0, "it has settled: there is nothing to give up");
    s.page();
    assert_eq!(s.pushed(), None);
    s.store_all();
    assert_eq!((s.log(), s.backend_log()), (vec!["A@e1".to_owned()], vec!["A".to_owned()]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R8
#[test]
fn an_acknowledgement_is_stored_with_the_next_commit() {
    let (mut s, a) = acknowledged("A is acknowledged; the next transaction takes that along, whatever it is for.");
    let b = s.commit(1, "B");
    s.store();
    assert!(s.status().drained);
    s.crash();
    assert_eq!(s.node().find(a), None);
    assert!(s.node().find(b).is_some());
    s.run();
    assert_eq!(s.backend_log(), ["A", "B"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R8
#[test]
fn closing_stores_what_was_acknowledged() {
    let (mut s, a) = acknowledged(
        "A is acknowledged, and the store is closed at once: not before that is stored, and nothing is pushed any more.",
    );
    let b = s.commit(1, "B");
    s.tell(Input::Shutdown);
    assert!(!s.status().drained);
    s.store_all();
    assert!(s.status().drained && s.pushed().is_none());
    s.crash();
    assert_eq!(s.node().find(a), None);
    s.run();
    assert_eq!(s.positions(b), [2]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R4, R6
#[test]
fn an_acknowledgement_that_a_crash_has_taken_settles_the_same() {
    let (mut s, a) =
        acknowledged("The process dies before the acknowledgement is stored: A is found open, and settles the same.");
    s.crash();
    assert_eq!(s.backend(a), None);
    s.page();
    assert_eq!(s.positions(a), [1]);
    assert_eq!(s.backend_log(), ["A"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R6
#[test]
fn what_is_given_up_after_a_crash_is_not_said_to_be_unsent() {
    let mut s = Script::ready(
        "The process dies before the acknowledgement of A and B is stored. A is withdrawn and B given up before the backend has been\n\
         asked: nobody knows what became of them. The pull finds both.",
    );
    let (a, b) = (s.commit(1, "A"), s.commit(1, "B"));
    s.store_all();
    s.push();
    s.push();
    assert_eq!((s.positions(a), s.positions(b)), (vec![1], vec![2]));
    s.crash();
    s.tell(Input::Offline);
    s.withdraw(a);
    s.tell(Input::OfflineForGood);
    s.store_all();
    assert!(matches!(s.failed(a), SyncError::Withdrawn { certainty: Certainty::Unknown, .. }));
    assert_eq!(s.failed(b).certainty(), Certainty::Unknown);
    s.tell(Input::Online);
    s.run();
    assert!(s.quarantine().is_empty());
    assert_eq!(s.backend_log(), ["A", "B"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: L2, L8
#[test]
fn a_loss_of_what_was_acknowledged_shows_at_the_next_pull() {
    let (mut s, a) = acknowledged(
        "A is acknowledged, and the backend is restored from an older copy. A new stream ends short of A; the next one does so too:\n\
         the backend has lost it. Nothing has to be pushed for that.",
    );
    s.wake();
    s.store();
    s.truncate_backend(0);
    s.crash();
    s.page();
    assert!(!is_lost(&s), "some backends take a moment to show what they have");
    assert_eq!(s.wake(), Reason::PullRetry);
    s.page();
    assert!(is_lost(&s));
    assert_eq!(s.positions(a), [1], "what was said is not taken back");
    insta::assert_snapshot!(s.end());
}

// Verifies: L8
#[test]
fn a_backend_that_shows_late_what_it_has_taken_has_lost_nothing() {
    let (mut s, a) = acknowledged("A is acknowledged; a new stream does not show it yet, the next one does.");
    s.pull_unreachable();
    s.wake();
    s.store_all();
    while !s.pull_under_way().is_some_and(|pull| pull.fresh) {
        s.wake();
    }
    s.page_of("");
    s.wake();
    s.page();
    assert!(!is_lost(&s));
    s.store_all();
    assert_eq!((s.positions(a), s.log()), (vec![1], vec!["A@e1".to_owned()]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R5, L8 (asking twice at once shows no more than asking once)
#[test]
fn a_backend_that_is_asked_again_at_once_has_lost_nothing_either() {
    let (mut s, a) =
        acknowledged("A is acknowledged, and not shown yet; somebody has the backend asked again at once, and it still is not.");
    s.tell(Input::Refresh);
    s.page_of("");
    s.tell(Input::Refresh);
    s.page_of("");
    assert!(!is_lost(&s));
    while s.pull_under_way().is_none() {
        s.wake();
        s.store_all();
    }
    s.page();
    assert!(!is_lost(&s));
    s.store_all();
    assert_eq!((s.positions(a), s.log()), (vec![1], vec!["A@e1".to_owned()]));
    insta::assert_snapshot!(s.end());
}

fn resets(about: &str) -> Script {
    Script::ready_with(Config { identity: IdentityPolicy::Reset, ..Config::default() }, about)
}

// Verifies: L4, L6
#[test]
fn an_old_event_of_a_session_is_not_one_that_waits_without_ids() {
    let mut s = resets(
        "The backend strips identities and is restored from an older copy; the policy `reset` forgets the history, S1 commits D,\n\
         and the process is killed. The pull brings A, which is of S1 and older than the reset: it is not D with other bytes.",
    );
    s.strip_ids();
    let a = s.commit(1, "A");
    let b = s.commit(1, "B");
    s.run();
    s.truncate_backend(1);
    let c = s.commit(1, "C");
    s.store();
    s.push();
    s.store_all();
    assert!(matches!(s.failed(c), SyncError::InvalidPush { events: Whereabouts::Quarantine, .. }));
    let d = s.commit(1, "D");
    s.store();
    s.crash();
    s.run();
    assert_eq!((s.positions(a), s.positions(b), s.positions(d)), (vec![1], vec![2], vec![2]));
    assert_eq!(s.backend_log(), ["A", "D"]);
    assert_eq!(s.quarantine(), ["C"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: L8
#[test]
fn quarantine_of_a_backend_that_was_left_is_not_looked_for_in_the_next() {
    let mut s = resets(
        "B was pushed to a backend that was then exchanged: after the policy `reset` nobody knows whether it had B. The new one has an\n\
         event of that identity; it is another history, before a restart and after.",
    );
    s.commit(1, "A");
    s.run();
    let b = s.commit(1, "B");
    s.store();
    s.push_reply_lost();
    s.bring_back_backend("hub2", "B");
    s.page();
    s.store_all();
    assert_eq!(s.failed(b).certainty(), Certainty::Unknown);
    assert_eq!(s.quarantine(), ["B"]);
    s.crash();
    s.run();
    assert_eq!(s.quarantine(), ["B"]);
    assert_eq!(s.log().len(), 1);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R3
#[test]
fn a_failure_is_not_stored_without_its_commit() {
    let config = Config { txn_events: 1, ..Config::default() };
    let mut s = Script::ready_with(
        config,
        "A, B and C are made while the network is gone for good, and each takes a transaction of its own: none of them carries the failure\n\
         of a commit that is not stored yet. The process dies with C not stored, and nothing is known of C.",
    );
    s.pull_unreachable();
    s.tell(Input::OfflineForGood);
    let commits = [s.commit(1, "A"), s.commit(1, "B"), s.commit(1, "C")];
    s.store();
    s.store();
    assert!(commits[..2].iter().all(|&commit| matches!(s.failed(commit), SyncError::IsOffline { .. })));
    assert_eq!((s.leader(commits[2]), s.backend(commits[2])), (None, None));
    s.crash();
    assert_eq!(s.stored_failures(), commits[..2]);
    insta::assert_snapshot!(s.end());
}

// Verifies: L4, R1, R6
#[test]
fn a_file_that_was_set_back_behind_a_withdrawal() {
    let mut s = Script::ready(
        "A is withdrawn, B and C behind it are confirmed, and an older copy of the file knows nothing of that. They come back, so A\n\
         had left the queue: it is not pushed behind them, but goes into quarantine again.",
    );
    let (a, b) = (s.commit(1, "A"), s.commit(1, "B"));
    let c = s.commit(1, "C");
    s.store_all();
    s.push_unsent();
    let before = s.last_txn();
    s.withdraw(a);
    s.store_all();
    s.until_pushed();
    s.push();
    assert_eq!((s.positions(b), s.positions(c)), (vec![1], vec![2]));
    s.older_copy(before);
    s.run();
    assert!(matches!(s.failed(a), SyncError::Withdrawn { cause: Some(_), certainty: Certainty::Unknown }));
    assert_eq!((s.positions(b), s.positions(c)), (vec![1], vec![2]));
    assert_eq!((s.quarantine(), s.backend_log()), (vec!["A".to_owned()], vec!["B".to_owned(), "C".to_owned()]));
    insta::assert_snapshot!(s.end());
}

// Verifies: L4, R8 (what was overtaken is found also when others of its session were confirmed just before)
#[test]
fn what_was_overtaken_is_withdrawn_behind_what_is_confirmed_in_place() {
    let mut s = Script::ready("As before, and P before A has been confirmed: it comes back in a page of its own.");
    let [p, a, b] = ["P", "A", "B"].map(|name| s.commit(1, name));
    s.store_all();
    let before = s.last_txn();
    s.push();
    s.until_pushed();
    s.push_unsent();
    s.withdraw(a);
    s.store_all();
    s.until_pushed();
    s.push();
    s.older_copy(before);
    s.page_up_to(1);
    s.page_up_to(1);
    s.run();
    assert!(matches!(s.failed(a), SyncError::Withdrawn { cause: Some(_), .. }));
    assert_eq!((s.positions(p), s.positions(b), s.quarantine()), (vec![1], vec![2], vec!["A".to_owned()]));
    assert_eq!(s.backend_log(), ["P", "B"]);
}

// Verifies: R8, L3, V1 (of whom the backend has everything that it is to have, nothing is waited for)
#[test]
fn what_is_left_of_a_commit_of_which_the_backend_has_everything() {
    let mut s = Script::ready(
        "A of S1 is withdrawn, and B u of S2 is confirmed. An older copy of the file has A before them: B is found at the backend, and u\n\
         stays behind A, also over a crash. Nothing of B u is waited for.",
    );
    s.open(2);
    let a = s.commit(1, "A");
    let b = s.commit(2, "B u");
    s.store_all();
    s.push_unsent();
    let before = s.last_txn();
    s.withdraw(a);
    s.store_all();
    s.until_pushed();
    s.push();
    s.older_copy(before);
    s.page();
    s.store();
    assert_eq!((s.positions(b), s.log()), (vec![1], vec!["B@e1".to_owned(), "A@e2r1".to_owned(), "u@e2.1r1".to_owned()]));
    s.crash();
    assert!(s.waiting(b).is_none());
    s.withdraw(b);
    assert_eq!(s.txns(), 0, "nothing of it can be taken back");
    s.run_awake();
    assert_eq!((s.positions(a), s.positions(b)), (vec![2], vec![1]));
    insta::assert_snapshot!(s.end());
}
