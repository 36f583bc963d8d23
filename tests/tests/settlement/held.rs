//! What the backend may have, after a crash, and can't be applied where it stands for now: it is held, and judged once all of the
//! backend's log is here.

use countersign_core::{BackendFailure, Certainty, CommitId, Config, Input, Reason, StorageClass, SyncError};
use tests::script::Script;

// Verifies: R1, R4, S1 (rule 2 of receipts: after a crash it settles the same)
#[test]
fn what_the_backend_may_have_is_no_poison_before_its_log_is_here() {
    let mut s = Script::ready(
        "A is confirmed at e3 by its acknowledgement, and a loss of power takes what followed its first transaction off the disk.\n\
         Behind X it can't be applied: that is not held against it before it is known whether the backend has it.",
    );
    s.strip_ids();
    let a = s.commit(1, "A");
    s.store();
    s.others("X Y");
    s.push_answers(BackendFailure::ServerAhead { head: 2 });
    s.page();
    s.store_all();
    s.until_pushed();
    s.push();
    assert_eq!(s.positions(a), [3]);
    s.poison("A", Some("X"));
    s.power_loss(2);
    assert_eq!(s.backend(a), None);
    s.page_up_to(1);
    s.pull_unreachable();
    s.store_all();
    assert_eq!(s.backend(a), None, "it may be there");
    assert_eq!(s.skipped(), ["e2 (no such row)"]);
    assert_eq!(s.pushed(), None);
    assert_eq!(s.wake(), Reason::PullRetry);
    s.page();
    s.store_all();
    assert_eq!(s.positions(a), [3]);
    assert_eq!((s.quarantine(), s.skipped()), (vec![], vec!["e3 (no such row)".to_owned()]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R6, V1
#[test]
fn what_is_held_fails_once_the_backend_is_known_not_to_have_it() {
    let mut s = Script::ready(
        "A may have been sent by a process that was killed, and can't be applied behind X. It is held through a crash, and in\n\
         quarantine as soon as all of the backend's log is here; B goes on.",
    );
    let (a, b) = (s.commit(1, "A"), s.commit(1, "B"));
    s.store_all();
    s.poison("A", Some("X"));
    s.others("X Y");
    s.crash();
    s.page_up_to(1);
    s.pull_unreachable();
    s.store_all();
    assert_eq!((s.backend(a), s.skipped()), (None, vec!["e2 (no such row)".to_owned()]));
    s.crash();
    assert_eq!((s.backend(a), s.skipped()), (None, vec!["e2 (no such row)".to_owned()]));
    s.page();
    s.store_all();
    assert!(matches!(s.failed(a), SyncError::Materialise { certainty: Certainty::Unknown, .. }));
    assert_eq!((s.quarantine(), s.skipped()), (vec!["A".to_owned()], vec![]));
    s.run();
    assert_eq!(s.positions(b), [3]);
    insta::assert_snapshot!(s.end());
}

// Verifies: S4, S1
#[test]
fn what_comes_back_in_place_while_it_is_being_held() {
    let mut s = Script::ready(
        "The transaction that holds A B is under way when they come back where they stand: A is skipped alone, as on every client.",
    );
    s.poison("A", Some("Y"));
    let a = s.commit(1, "A B");
    s.store();
    s.others("X");
    s.push();
    s.page();
    s.store();
    s.others("Y");
    s.push();
    s.page();
    assert_eq!(s.pushed(), Some(vec!["A".to_owned(), "B".to_owned()]), "pushed before the rebase is stored");
    s.push_reply_lost();
    s.crash();
    s.page_up_to(2);
    s.pull_unreachable();
    assert_eq!(s.txns(), 1);
    s.wake();
    s.page();
    s.run_awake();
    assert_eq!(s.log(), ["X'@e1", "Y'@e2", "A@e3r2", "B@e4r2"]);
    assert_eq!(s.positions(a), [3, 4]);
    assert_eq!(s.skipped(), ["e3 (no such row)"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R3
#[test]
fn a_client_only_commit_behind_what_is_held() {
    let mut s = Script::ready(
        "c stays here, has settled and builds on A. After a loss of power A is held for a page, and so is c: it applies behind A.",
    );
    s.strip_ids();
    s.poison_until("A", "X", "Y");
    s.needs("c", "A");
    let a = s.commit(1, "A");
    let c = s.commit(1, "c");
    s.store_all();
    assert!(s.not_applicable(c));
    s.others("X Y");
    s.push_answers(BackendFailure::ServerAhead { head: 2 });
    s.page();
    let stored = s.last_txn();
    s.store_all();
    s.until_pushed();
    s.push();
    assert_eq!(s.positions(a), [3]);
    s.power_loss(stored);
    assert!(s.not_applicable(c), "as it was said");
    s.page_up_to(1);
    s.pull_unreachable();
    s.store_all();
    assert_eq!(s.skipped().len(), 2);
    s.run_awake();
    assert_eq!(s.positions(a), [3]);
    assert_eq!((s.quarantine(), s.skipped()), (vec![], vec![]));
    insta::assert_snapshot!(s.end());
}

/// B builds on A, which is withdrawn with its fate unknown: B is held. Pushes go ahead of the disk.
fn held_while_pushes_go_ahead(about: &str) -> (Script, CommitId) {
    let mut s = Script::ready(about);
    s.needs("B", "A");
    let (a, b) = (s.commit(1, "A"), s.commit(1, "B"));
    s.store_all();
    s.others("X");
    while s.pushed().as_ref().is_some_and(|names| names.len() < 2) {
        s.push();
        s.page();
        s.store_all();
        s.others("X2");
    }
    s.push();
    s.page();
    s.store();
    s.others("Y");
    s.push();
    s.page();
    assert_eq!(s.pushed(), Some(vec!["A".to_owned(), "B".to_owned()]), "ahead of the disk");
    s.push_lost();
    s.store_all();
    s.withdraw(a);
    s.store_all();
    s.wait(60);
    assert!(s.backend(b).is_none() && s.skipped().len() == 1, "B is held");
    assert!(s.pushed().is_none());
    (s, b)
}

fn went_into_quarantine(s: &Script, b: CommitId) {
    assert!(matches!(s.failed(b), SyncError::Materialise { .. }));
    assert_eq!((s.quarantine(), s.backend_log().contains(&"B".to_owned())), (vec!["A".to_owned(), "B".to_owned()], false));
}

// Verifies: L5, R6, V1
#[test]
fn what_is_held_is_not_pushed_ahead_of_the_disk() {
    let (mut s, b) = held_while_pushes_go_ahead(
        "B builds on A, which is withdrawn with its fate unknown: B is held. Pushes go ahead of a slow disk, but not with B before\n\
         that is judged: it goes into quarantine.",
    );
    s.page();
    assert!(s.pushed().is_none(), "what is held has not been judged");
    s.run_awake();
    went_into_quarantine(&s, b);
    insta::assert_snapshot!(s.end());
}

// Verifies: L5, R5, R6
#[test]
fn what_is_to_be_judged_is_not_pushed_while_the_disk_is_full() {
    let (mut s, b) = held_while_pushes_go_ahead(
        "B is held. All of the backend's log is here, and the transaction that is to judge B meets a full disk: B is not sent before\n\
         another one has judged it.",
    );
    s.page();
    s.store_fails(StorageClass::Full);
    assert!(s.pushed().is_none(), "it has not been judged");
    s.run_awake();
    went_into_quarantine(&s, b);
    insta::assert_snapshot!(s.end());
}

// Verifies: S4, R6, L5
#[test]
fn what_is_held_is_judged_though_nobody_says_any_more_that_it_is() {
    let mut s = Script::ready(
        "B builds on A, which is withdrawn with its fate unknown. The outcome of the transaction that holds B is unknown. Asked again,\n\
         storage does not say a second time what it has skipped: B is judged all the same, and never sent.",
    );
    s.needs("B", "A");
    let (a, b) = (s.commit(1, "A"), s.commit(1, "B"));
    s.store_all();
    s.push_unsent();
    s.until_pushed();
    assert_eq!(s.pushed(), Some(vec!["A".to_owned(), "B".to_owned()]));
    s.push_lost();
    s.withdraw(a);
    s.store_unknown(true);
    assert_eq!(s.wake(), Reason::StorageRetry);
    s.store();
    assert_eq!(s.skipped(), ["e1 (no such row)"], "B is held");
    s.run_awake();
    went_into_quarantine(&s, b);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, S1, S2
#[test]
fn the_transaction_that_holds_it_has_an_unknown_outcome() {
    for was_committed in [true, false] {
        for at_once in [true, false] {
            let mut s = Script::ready("The transaction that holds A has an unknown outcome: whatever it was, A comes back.");
            s.poison_until("A", "X", "Y");
            let (a, b) = (s.commit(1, "A B"), s.commit(1, "C"));
            s.store_all();
            s.exchange_log("X Y A B");
            s.crash();
            s.page_up_to(1);
            s.pull_unreachable();
            s.store_unknown(was_committed);
            if !at_once {
                s.wait(1);
                s.store_all();
            }
            s.run_awake();
            assert_eq!((s.positions(a), s.positions(b)), (vec![3, 4], vec![5]), "{was_committed} {at_once}");
            assert!(s.skipped().is_empty() && s.quarantine().is_empty(), "{was_committed} {at_once} {}", s.so_far());
        }
    }
}

// Verifies: R1, R6, R8
#[test]
fn offline_for_good_while_it_is_held() {
    let mut config = Config::default();
    config.offline.withdraw = true;
    let mut s = Script::ready_with(
        config,
        "A is held when the network is declared gone for good, and is withdrawn. The backend had it: it leaves quarantine again.",
    );
    s.poison_until("A", "X", "Y");
    let (a, b) = (s.commit(1, "A"), s.commit(1, "B"));
    s.store_all();
    s.exchange_log("X Y A");
    s.crash();
    s.page_up_to(1);
    s.pull_unreachable();
    s.store_all();
    s.tell(Input::OfflineForGood);
    s.store_all();
    assert!(matches!((s.failed(a), s.failed(b)), (SyncError::IsOffline { .. }, SyncError::IsOffline { .. })));
    s.tell(Input::Online);
    s.run_awake();
    assert_eq!((s.log(), s.skipped()), (vec!["X'@e1".into(), "Y'@e2".into(), "A@e3".into()], vec![]));
    assert_eq!(s.quarantine(), ["B"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: S3
#[test]
fn sessions_that_are_late_or_busy_while_it_is_held() {
    let mut s =
        Script::ready("One session is seeded before A is held and takes it only after it has come back; the other is busy.");
    s.poison_until("A", "X", "Y");
    let (a, b) = (s.commit(1, "A A2 c"), s.commit(1, "C"));
    s.store_all();
    s.exchange_log("X Y A A2");
    s.crash();
    s.open_late(2);
    s.page_up_to(1);
    s.pull_unreachable();
    s.store_all();
    s.open(3);
    s.hold_sessions();
    s.run_awake();
    s.seed_late();
    s.let_sessions_go();
    s.run_awake();
    assert_eq!((s.positions(a), s.positions(b)), (vec![3, 4], vec![5]));
    assert_eq!(s.database(2), s.database(3));
    assert!(s.skipped().is_empty());
    insta::assert_snapshot!(s.end());
}
