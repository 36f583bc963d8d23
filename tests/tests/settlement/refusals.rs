//! What the backend refuses, for ever or without saying for how long; what users and policies take back.

use std::time::Duration;

use countersign_core::{
    BackendFailure, Certainty, CommitId, Config, IdentityPolicy, Input, Notice, OfflinePolicy, Output, Reason, StuckPolicy,
    SyncError,
};
use tests::script::Script;

/// The backend refuses every push that holds this event, and takes the others, until the machine has nothing to push.
fn refuse_while(s: &mut Script, culprit: &str) {
    for _ in 0..40 {
        match s.pushed() {
            Some(names) if names.iter().any(|name| name == culprit) => s.push_refused(),
            Some(_) => s.push(),
            None if s.pull_under_way().is_some_and(|pull| pull.fresh) => s.page(),
            None if s.txns() > 0 => s.store(),
            None if s.status().stuck.is_some() => return,
            None => {
                s.wake();
            }
        }
    }
    panic!("never stuck");
}

fn stuck(s: &mut Script) -> [CommitId; 5] {
    let [a, b, c, d, e] = ["A", "B", "C", "D", "E"].map(|name| s.commit(1, name));
    s.store();
    s.push_unsent();
    s.store_all();
    s.until_pushed();
    refuse_while(s, "C");
    [a, b, c, d, e]
}

// Verifies: R6, L5
#[test]
fn refused_for_ever_takes_out_the_commit_and_the_rest_goes_on() {
    let mut s = Script::ready(
        "Of three commits in one push the backend refuses the second for ever: quarantine, the others are renumbered.",
    );
    s.commit(1, "Z");
    s.store();
    let (a, b, c) = (s.commit(1, "A"), s.commit(1, "B1 B2"), s.commit(1, "C"));
    s.store_all();
    s.push();
    assert_eq!(s.pushed().map(|names| names.len()), Some(4));
    s.push_rejected(&[2]);
    assert!(s.backend(b).is_none(), "a failure is stored before it is said");
    s.store_all();
    assert!(matches!(s.failed(b), SyncError::Rejected { certainty: Certainty::NotApplied, .. }));
    assert!(s.persisted(b));
    s.run();
    assert_eq!((s.positions(a), s.positions(c)), (vec![2], vec![3]));
    assert_eq!(s.quarantine(), ["B1", "B2"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: L5, V4
#[test]
fn a_refusal_that_names_nothing_sent_waits() {
    let mut s = Script::ready("The backend refuses an event that was not in the push: it is tried again later, not at once.");
    let a = s.commit(1, "A");
    s.store();
    s.push_rejected(&[9]);
    assert_eq!(s.pushed(), None);
    assert_eq!(s.wake(), Reason::PushRetry);
    s.run();
    assert_eq!(s.positions(a), [1]);
    insta::assert_snapshot!(s.end());
}

// Verifies: L5, V4, R5
#[test]
fn refused_without_saying_for_ever_is_isolated_and_stuck() {
    let mut s = Script::ready(
        "The backend keeps refusing C without saying for ever: taken apart until C is alone, then stuck, with a fence behind it.",
    );
    let [a, b, c, d, e] = stuck(&mut s);
    assert_eq!((s.positions(a), s.positions(b)), (vec![1], vec![2]));
    for waiting in [c, d, e] {
        assert!(s.persisted(waiting) && s.backend(waiting).is_none());
    }
    assert_eq!(s.backend_log(), ["A", "B"], "nothing passes the fence");
    s.note("the user takes C back");
    s.withdraw(c);
    s.store_all();
    assert_eq!(s.failed(c), SyncError::Withdrawn { cause: None, certainty: Certainty::Unknown });
    s.wake();
    s.run();
    assert_eq!((s.positions(d), s.positions(e)), (vec![3], vec![4]));
    assert_eq!(s.backend_log(), ["A", "B", "D", "E"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: L5, R5
#[test]
fn a_stuck_commit_that_is_taken_after_all() {
    let mut s = Script::ready("C is stuck; then the backend takes it: nothing has failed, and everything goes on.");
    let commits = stuck(&mut s);
    s.wake();
    s.run();
    for (commit, at) in commits.into_iter().zip(1..) {
        assert_eq!(s.positions(commit), [at]);
    }
    assert!(s.status().stuck.is_none());
    insta::assert_snapshot!(s.end());
}

// Verifies: L5, R6
#[test]
fn a_policy_withdraws_what_is_stuck_and_no_second_one_before_a_push_is_taken() {
    let config = Config { stuck: StuckPolicy::WithdrawAfter(Duration::from_secs(60)), ..Config::default() };
    let mut s = Script::ready_with(
        config,
        "The policy withdraws C after 60 s. D is refused too: it stays, until a push has been taken since.",
    );
    let [_, _, c, d, _] = stuck(&mut s);
    s.wait(61);
    s.store_all();
    let SyncError::Withdrawn { cause: Some(_), certainty: Certainty::Unknown } = s.failed(c) else { panic!("C is withdrawn") };
    for _ in 0..30 {
        match s.pushed() {
            Some(_) => s.push_refused(),
            None if s.pull_under_way().is_some_and(|pull| pull.fresh) => s.page(),
            None if s.txns() > 0 => s.store(),
            None if s.status().stuck.is_some() => break,
            None => {
                s.wake();
            }
        }
    }
    assert_eq!(s.status().stuck.map(|(commit, _)| commit), Some(d));
    s.wait(600);
    assert!(s.backend(d).is_none(), "no second one");
    assert_eq!(s.status().stuck.map(|(commit, _)| commit), Some(d));
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R4, L6
#[test]
fn withdrawn_while_in_flight_waits_for_the_answer() {
    let mut s =
        Script::ready("A is in flight when the user takes it back: that waits for the answer. It is yes, so A stays confirmed.");
    let a = s.commit(1, "A");
    s.store();
    s.withdraw(a);
    assert_eq!(s.txns(), 0, "nothing is decided yet");
    s.push();
    assert_eq!(s.positions(a), [1]);
    s.run();
    assert!(s.quarantine().is_empty());
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R6
#[test]
fn withdrawn_while_in_flight_and_the_answer_is_no() {
    let mut s = Script::ready(
        "A is in flight when the user takes it back. The answer is that the backend is ahead: what it has may be A, from a request\n\
         that arrived twice. So A is withdrawn, unknown.",
    );
    let a = s.commit(1, "A");
    s.store();
    s.withdraw(a);
    s.others("X");
    s.push();
    s.store_all();
    assert_eq!(s.failed(a), SyncError::Withdrawn { cause: None, certainty: Certainty::Unknown });
    s.run();
    assert_eq!(s.log(), ["X'@e1"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R3, R6
#[test]
fn withdrawn_before_it_is_stored_waits_for_the_disk() {
    let mut s = Script::ready("A is taken back before it is stored: first the leader stage is ok, then it is withdrawn.");
    let a = s.commit(1, "A");
    s.withdraw(a);
    s.store();
    assert!(s.persisted(a));
    s.run();
    assert_eq!(s.failed(a).certainty(), Certainty::NotApplied);
    assert!(s.backend_log().is_empty());
    insta::assert_snapshot!(s.end());
}

// Verifies: R1
#[test]
fn withdrawing_what_is_confirmed_or_unknown_does_nothing() {
    let mut s = Script::ready(
        "To withdraw a confirmed commit, or one that never was, changes nothing, not even for a later commit of that name.",
    );
    let a = s.commit(1, "A");
    s.run();
    s.withdraw(a);
    s.withdraw(CommitId { ordinal: 2, ..a });
    let b = s.commit(1, "B");
    s.run();
    assert_eq!((s.positions(a), s.positions(b)), (vec![1], vec![2]));
    insta::assert_snapshot!(s.end());
}

// Verifies: R5, V1
#[test]
fn credentials_are_waited_for() {
    let mut s = Script::ready(
        "The backend wants other credentials: everything pauses without a timer, nothing fails, and goes on with new ones.",
    );
    let a = s.commit(1, "A");
    s.store();
    s.push_answers(BackendFailure::NeedsAuth { message: "the token has expired".into() });
    assert_eq!(s.status().next, None);
    let b = s.commit(1, "B");
    s.store_all();
    assert!(s.persisted(b) && s.backend(a).is_none() && s.pushed().is_none());
    s.tell(Input::Authenticated);
    s.run();
    assert_eq!((s.positions(a), s.positions(b)), (vec![1], vec![2]));
    insta::assert_snapshot!(s.end());
}

// Verifies: L5, V1
#[test]
fn client_only_commits_do_not_count_while_a_culprit_is_looked_for() {
    let mut s = Script::ready(
        "A was refused so often that commits go one by one, then two by two. It is acknowledged, and no pull has brought it back;\n\
         three client-only commits stand behind it. B is pushed all the same.",
    );
    s.commit(1, "A");
    s.commit(1, "Z");
    s.store_all();
    s.push_unsent();
    s.until_pushed();
    for _ in 0..4 {
        s.push_refused();
        s.until_pushed();
    }
    assert_eq!(s.pushed(), Some(vec!["A".to_owned()]));
    s.push();
    s.push();
    for name in ["c", "d", "e", "f"] {
        s.commit(1, name);
    }
    let b = s.commit(1, "B");
    s.store_all();
    assert_eq!(s.pushed(), Some(vec!["B".to_owned()]));
    s.run();
    assert_eq!(s.positions(b), [3]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R5, R6
#[test]
fn a_backend_that_wants_credentials_has_been_reached() {
    let offline = OfflinePolicy { deadline: Some(Duration::from_secs(5)), withdraw: false };
    let config = Config { offline, ..Config::default() };
    let mut s = Script::ready_with(
        config,
        "An outage ends with the answer that credentials are wanted: the offline deadline does not run on.",
    );
    let a = s.commit(1, "A");
    s.store();
    s.push_unsent();
    s.pull_fails(BackendFailure::NeedsAuth { message: "the token has expired".into() });
    s.wait(60);
    s.store_all();
    assert!(s.backend(a).is_none());
    s.tell(Input::Authenticated);
    s.run();
    assert_eq!(s.positions(a), [1]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R4, V4
#[test]
fn a_stuck_commit_that_turns_out_to_be_taken() {
    let config = Config { stuck: StuckPolicy::WithdrawAfter(Duration::from_secs(60)), ..Config::default() };
    let mut s = Script::ready_with(
        config,
        "C is stuck, though the backend had taken it while it said no: the echo confirms it, and the policy has nothing to withdraw.",
    );
    let [_, _, c, _, _] = stuck(&mut s);
    s.run();
    s.until_pushed();
    s.push_reply_lost();
    s.run();
    assert_eq!(s.positions(c), [3]);
    assert!(s.status().stuck.is_none());
    s.wait(120);
    s.run_awake();
    assert!(s.quarantine().is_empty());
    assert_eq!(s.backend_log(), ["A", "B", "C", "D", "E"]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R6, L6 (a policy gives up nothing that is on its way to the backend)
#[test]
fn a_stuck_commit_that_is_pushed_again_is_not_withdrawn_before_the_answer() {
    let config = Config { stuck: StuckPolicy::WithdrawAfter(Duration::from_secs(60)), ..Config::default() };
    let mut s = Script::ready_with(
        config,
        "C is stuck and is being tried again when its 60 s are over: the answer is waited for, and it is that the backend takes it.",
    );
    let [_, _, c, _, _] = stuck(&mut s);
    s.until_pushed();
    s.wait(61);
    assert!(s.backend(c).is_none() && s.quarantine().is_empty());
    s.push();
    s.run();
    assert_eq!((s.positions(c), s.backend_log().len()), (vec![3], 5));
    insta::assert_snapshot!(s.end());
}

// Verifies: R1, R6
#[test]
fn a_withdrawal_that_waits_outlives_its_session() {
    let mut s =
        Script::ready("A is in flight when the user takes it back and closes the session: when the push fails, A is withdrawn.");
    let a = s.commit(1, "A");
    s.store();
    s.withdraw(a);
    s.close(1);
    s.push_lost();
    s.store_all();
    assert_eq!(s.failed(a), SyncError::Withdrawn { cause: None, certainty: Certainty::Unknown });
    s.run_awake();
    assert_eq!(s.quarantine(), ["A"]);
    assert!(s.backend_log().is_empty());
    insta::assert_snapshot!(s.end());
}

// Verifies: L7, R6
#[test]
fn a_client_only_commit_between_sent_ones_was_not_sent() {
    let mut s = Script::ready(
        "A, b and C are pushed, the reply is lost, and the history is given up: of b, which is client-only, all is certain.",
    );
    s.commit(1, "A");
    let b = s.commit(1, "b");
    s.commit(1, "C");
    s.store_all();
    s.push_reply_lost();
    s.exchange_backend("hub2");
    s.page();
    s.decide(IdentityPolicy::Reset);
    s.store_all();
    assert_eq!(s.quarantine(), ["A", "b", "C"]);
    let certainties = s.outputs().iter().filter_map(|output| match output {
        Output::Notify(Notice::Quarantined { commit, error }) if *commit == b => Some(error.certainty()),
        _ => None,
    });
    assert_eq!(certainties.collect::<Vec<_>>(), [Certainty::NotApplied]);
}

// Verifies: L5, V3
#[test]
fn after_a_culprit_batches_grow_again() {
    let mut s =
        Script::ready("A is found to be the culprit and withdrawn. What is behind it is pushed alone, then by two, by four.");
    let a = s.commit(1, "A");
    s.store();
    s.push_unsent();
    for name in ["B", "C", "D", "E", "F", "G", "H"] {
        s.commit(1, name);
    }
    s.store_all();
    s.until_pushed();
    refuse_while(&mut s, "A");
    s.withdraw(a);
    s.store_all();
    s.until_pushed();
    for batch in [&["B"][..], &["C", "D"], &["E", "F", "G", "H"]] {
        assert_eq!(s.pushed().unwrap(), batch);
        s.push();
    }
    s.run();
    assert_eq!(s.backend_log(), ["B", "C", "D", "E", "F", "G", "H"]);
}

// Verifies: L5
#[test]
fn a_commit_that_did_not_fit_is_no_part_of_a_refused_batch() {
    let config = Config { push_events: 3, ..Config::default() };
    let mut s =
        Script::ready_with(config, "B does not fit behind A, which is refused alone, and so known for the culprit at once.");
    s.commit(1, "A1 A2");
    s.store();
    s.push_unsent();
    s.commit(1, "B1 B2");
    s.store_all();
    s.until_pushed();
    for _ in 0..Config::default().refusals_before_bisect {
        assert!(s.status().stuck.is_none());
        assert_eq!(s.pushed().unwrap(), ["A1", "A2"]);
        s.push_refused();
        if s.status().stuck.is_none() {
            s.until_pushed();
        }
    }
    assert!(s.status().stuck.is_some());
}
