//! Where a commit stands, asked while it is on its way and after a restart.

use countersign_core::{BackendFailure, Certainty, CommitId, Config, Input, OpenStages, Stage, StorageClass, SyncError, Why};
use tests::script::{Script, session};

fn accepted(s: &Script, commit: CommitId) -> Vec<u64> {
    s.node().accepted(commit).map(|(_, at, _)| at).collect()
}

// Verifies: R2, R7 (which stages are open, of one commit and of all, and what is known of a session that has ended)
#[test]
fn open_stages_close_one_after_the_other() {
    let mut s =
        Script::ready("A and B are committed, stored, and pushed one after the other: what is open is said at each step.");
    let open = |s: &Script, stage| s.node().open_commits(stage);
    let through = |s: &Script, stage, through| s.node().is_settled_through(stage, session(1), through);
    assert!(open(&s, Stage::Leader).is_empty() && open(&s, Stage::Backend).is_empty());
    let a = s.commit(1, "A");
    let found = s.node().find(a).unwrap();
    assert_eq!(found, OpenStages { leader: true, backend: true });
    assert!(found.is_open(Stage::Leader) && found.is_open(Stage::Backend));
    assert!(!through(&s, Stage::Leader, 1) && through(&s, Stage::Leader, 0));
    s.store();
    let found = s.node().find(a).unwrap();
    assert!(!found.is_open(Stage::Leader) && found.is_open(Stage::Backend));
    let b = s.commit(1, "B");
    assert_eq!((open(&s, Stage::Leader), open(&s, Stage::Backend)), (vec![(session(1), 2)], vec![(session(1), 2)]));
    assert!(through(&s, Stage::Leader, 1) && !through(&s, Stage::Leader, 2));
    assert!(through(&s, Stage::Backend, 0) && !through(&s, Stage::Backend, 1));
    s.store();
    s.push();
    assert_eq!((s.node().find(a), s.node().find(b).is_some()), (None, true));
    assert!(through(&s, Stage::Backend, 1) && !through(&s, Stage::Backend, 2));
    s.close(1);
    assert!(s.node().knows(session(1)), "B is on its way");
    s.run();
    assert!(!s.node().knows(session(1)) && open(&s, Stage::Backend).is_empty());
    assert_eq!(s.node().applied(session(1)), None);
}

// Verifies: R2 (how many come before a commit, client-only ones not counted)
#[test]
fn what_the_backend_has_to_take_first_is_counted() {
    let mut s = Script::ready("A, B of two events and a client-only one, and C wait for the backend; then A is taken.");
    let [a, b, ui, c] = ["A", "B1 B2", "u", "C"].map(|names| s.commit(1, names));
    s.store_all();
    let ahead = |s: &Script| [a, b, c].map(|commit| s.waiting(commit).map(|waiting| waiting.ahead));
    assert_eq!(ahead(&s), [Some(0), Some(1), Some(2)]);
    assert_eq!((s.waiting(a).map(|waiting| waiting.why), s.waiting(ui)), (Some(Why::Pushing), None));
    s.push();
    assert_eq!(ahead(&s), [None, Some(0), Some(1)]);
    s.run();
    assert_eq!(ahead(&s), [None; 3]);
}

// Verifies: R3, R8 (a place is said to be for good as soon as the backend has accepted it, before storage knows)
#[test]
fn accepted_places_are_known_before_they_are_stored() {
    let mut s = Script::ready("A with a client-only event, and B, are pushed one by one.");
    let a = s.commit(1, "A u");
    s.store();
    let b = s.commit(1, "B");
    s.store();
    assert!(accepted(&s, a).is_empty(), "nobody has accepted it");
    s.push();
    assert_eq!((accepted(&s, a), accepted(&s, b)), (vec![1], vec![]));
    s.push();
    assert_eq!((accepted(&s, a), accepted(&s, b)), (vec![1], vec![2]));
    assert_eq!(s.node().accepted(b).map(|(_, _, rebases)| rebases).collect::<Vec<_>>(), [0]);
}

// Verifies: R4, R8 (of a commit that is split over two pushes, the first part is remembered over a crash)
#[test]
fn what_was_acknowledged_of_a_split_commit_counts_after_a_crash() {
    let config = Config { push_events: 1, ..Config::default() };
    let mut s =
        Script::ready_with(config, "A1 is acknowledged and that is stored, then the process is killed before A2 is taken.");
    let a = s.commit(1, "A1 A2");
    s.store();
    s.push();
    s.wake();
    s.store();
    s.crash();
    assert!(s.backend(a).is_none());
    s.run_awake();
    assert_eq!((s.positions(a), s.backend_log()), (vec![1, 2], vec!["A1".to_owned(), "A2".to_owned()]));
}

// Verifies: L3, R4 (a stream that was begun before a push was taken need not show it; one after that has to)
#[test]
fn an_acknowledgement_is_looked_for_in_a_stream_that_is_begun_after_it() {
    let mut s = Script::ready("A's push is slow, and a new stream is opened meanwhile: after the reply, another one.");
    s.commit(1, "A");
    s.store();
    let push = s.delay_push();
    s.tell(Input::Refresh);
    s.page();
    assert_eq!(s.pull_under_way().map(|pull| pull.fresh), Some(false));
    s.push_arrives(push);
    assert_eq!(s.pull_under_way().map(|pull| pull.fresh), Some(true));
    s.run();
    s.note("the stream has shown B before its reply comes: nothing is left to look for");
    let b = s.commit(1, "B");
    s.store();
    let reply = s.delay_reply();
    s.tell(Input::Refresh);
    s.page();
    assert_eq!(s.positions(b), [2]);
    s.push_arrives(reply);
    assert_eq!(s.pull_under_way().map(|pull| pull.fresh), Some(false));
}

// Verifies: R3, S3 (a seed may hold a commit of which nobody knows yet that it was stored)
#[test]
fn a_seed_with_a_commit_of_unknown_outcome_has_it_once() {
    let mut s = Script::ready("A's transaction was committed, which nobody knows, when the database of S1 breaks and is seeded.");
    s.others("X");
    s.page();
    let a = s.commit(1, "A");
    s.hold_sessions();
    s.store();
    s.store_unknown(true);
    s.session_breaks();
    s.let_sessions_go();
    assert!(!s.persisted(a));
    s.run_awake();
    assert!(s.persisted(a));
    assert_eq!(s.database(1), ["X", "A"]);
    assert_eq!(s.positions(a), [2]);
}

// Verifies: V1 (what is told to have failed says whether it will be tried again)
#[test]
fn a_full_disk_is_tried_again_and_a_damaged_file_is_not() {
    let mut s = Script::ready("A meets a full disk, and then a damaged file.");
    let a = s.commit(1, "A");
    s.store_fails(StorageClass::Full);
    let waiting = s.waiting(a).unwrap();
    assert!(matches!(waiting.why, Why::StorageTrouble(_)) && waiting.next.is_some());
    assert_eq!(waiting.error.map(|error| error.class), Some(countersign_core::Class::Retryable));
    s.wake();
    s.store_fails(StorageClass::Corrupt);
    let waiting = s.waiting(a).unwrap();
    assert!(matches!(waiting.why, Why::StorageBroken { .. }) && waiting.next.is_none());
    assert_eq!(waiting.error.map(|error| error.class), Some(countersign_core::Class::Defect));
}

// Verifies: R6, L4 (what a close hands back is what is not stored, and nothing else)
#[test]
fn what_is_not_stored_is_known_with_its_events() {
    let mut s = Script::ready("A is stored, B and a client-only event are not, C is held back by its session.");
    let a = s.commit(1, "A");
    s.store();
    let b = s.commit(1, "B1 u");
    let names = |s: &Script| -> Vec<(CommitId, Vec<String>)> {
        let names = |own: &countersign_core::OwnEvent| own.event.name.to_string();
        s.node().unpersisted().iter().map(|(commit, events)| (*commit, events.iter().map(names).collect())).collect()
    };
    assert_eq!(names(&s), [(b, vec!["B1".to_owned(), "u".to_owned()])]);
    assert_eq!(s.node().unresolved().collect::<Vec<_>>(), [a, b]);
    s.store();
    assert!(names(&s).is_empty());
}

// Verifies: R2, V5 (each time that the leader was ahead is counted, also when what was held back is sent again)
#[test]
fn each_refusal_of_a_session_is_counted() {
    let mut s =
        Script::ready("S1 is refused with A behind X and Y; when it has X, A is taken, and B, which stands before Y, refused.");
    s.open(2);
    let a = s.begin(1, "A");
    s.commit(2, "X");
    s.commit(2, "Y");
    s.finish(1, true);
    assert_eq!(s.status().leader_ahead, 1);
    let b = s.commit(1, "B");
    s.store();
    assert_eq!(s.status().leader_ahead, 2);
    s.run();
    assert_eq!((s.positions(a), s.positions(b)), (vec![3], vec![4]));
    assert_eq!(s.database(1), ["X", "Y", "A", "B"]);
}

// Verifies: R1, R8 (a commit that its session has on the way can be taken back there already, and no other is)
#[test]
fn a_commit_that_is_held_back_can_be_withdrawn() {
    let mut s = Script::ready("S1 is refused with A and B, and B is taken back before the leader has it.");
    s.open(2);
    let a = s.begin(1, "A");
    s.commit(2, "X");
    s.finish(1, true);
    let b = s.commit(1, "B");
    s.withdraw(CommitId { ordinal: 9, ..b });
    s.withdraw(b);
    s.run();
    assert_eq!((s.positions(a), s.quarantine()), (vec![2], vec!["B".to_owned()]));
    assert_eq!(s.backend_log(), ["X", "A"]);
}

// Verifies: R1 (also what its session alone has can be taken back)
#[test]
fn the_only_commit_that_is_held_back_can_be_withdrawn() {
    let mut s = Script::ready("S1 is refused with A, and A is taken back before the leader has it.");
    s.open(2);
    let a = s.begin(1, "A");
    s.commit(2, "X");
    s.finish(1, true);
    s.withdraw(a);
    s.run();
    assert_eq!((s.quarantine(), s.backend_log()), (vec!["A".to_owned()], vec!["X".to_owned()]));
}

// Verifies: R1, L4 (what is done with as far as its receipt goes is not taken back any more, though it still waits for its place)
#[test]
fn a_client_only_commit_that_is_stored_is_not_taken_back() {
    let mut s = Script::ready("A waits for the backend, and u of another commit behind it; u's receipt has settled.");
    s.commit(1, "A");
    s.store();
    s.push_unsent();
    let u = s.commit(1, "u");
    s.store_all();
    assert!(s.persisted(u) && s.not_applicable(u));
    s.withdraw(u);
    s.run_awake();
    assert!(s.not_applicable(u) && s.quarantine().is_empty());
    assert_eq!(s.log(), ["A@e1", "u@e1.1"]);
}

// Verifies: V1, S3 (how far a session's database is, and whether it can take a commit)
#[test]
fn a_session_is_as_far_as_its_database() {
    let mut s = Script::ready("The database of S1 is slow while X is pulled. S2 is opened, and its seed is late.");
    assert_eq!((s.node().applied(session(1)), s.node().is_ready(session(2))), (Some(0), false));
    s.hold_sessions();
    s.others("X Y");
    s.page();
    s.store();
    assert_eq!((s.status().sessions_behind, s.node().applied(session(1))), (1, Some(0)));
    s.let_sessions_go();
    assert_eq!((s.status().sessions_behind, s.node().applied(session(1))), (0, Some(2)));
    s.open_late(2);
    let status = s.status();
    assert!(!s.node().is_ready(session(2)) && s.node().knows(session(2)));
    assert_eq!((status.sessions, status.sessions_closed, status.sessions_behind), (2, 0, 1));
    s.seed_late();
    assert!(s.node().is_ready(session(2)));
    assert_eq!(s.node().applied(session(2)), Some(2));
    s.close(2);
    assert!(!s.node().knows(session(2)), "nothing of it is left to do");
    s.commit(1, "A");
    s.close(1);
    assert_eq!((s.status().sessions, s.status().sessions_closed), (0, 1));
    assert!(!s.node().is_ready(session(1)));
}

// Verifies: L5, R5 (of what is held up by a stuck commit each is told by which)
#[test]
fn who_is_stuck_and_who_is_fenced_is_told_apart() {
    let mut s = Script::ready("A is refused until it is known for the culprit; B and C wait behind it.");
    let a = s.commit(1, "A");
    s.store();
    s.push_unsent();
    let [b, c] = ["B", "C"].map(|name| s.commit(1, name));
    s.store_all();
    while s.status().stuck.is_none() {
        s.until_pushed();
        s.push_refused();
    }
    let why = |commit| s.waiting(commit).map(|waiting| (waiting.why, waiting.ahead));
    let message: std::sync::Arc<str> = "internal error".into();
    let fenced = || Why::Fenced { behind: a, message: Some(message.clone()) };
    assert_eq!(why(a), Some((Why::Stuck { message: message.clone() }, 0)));
    assert_eq!((why(b), why(c)), (Some((fenced(), 1)), Some((fenced(), 2))));
    assert_eq!(s.status().stuck, Some((a, message)));
}

// Verifies: V4 (an answer to nothing is counted, and one that is waited for is not)
#[test]
fn only_answers_to_nothing_are_stale() {
    let mut s = Script::ready("A is committed, stored and pushed; then an answer comes that nobody waits for.");
    s.commit(1, "A");
    s.run();
    assert_eq!((s.status().stale_answers, s.status().drained), (0, true));
    assert_eq!(s.node().backend().map(|id| id.to_string()), s.status().backend.map(|id| id.to_string()));
    assert!(s.node().backend().is_some());
    s.tell(Input::PushOk { id: countersign_core::EffectId(99_999) });
    assert_eq!(s.status().stale_answers, 1);
    s.commit(1, "B");
    assert!(!s.status().drained, "B is not stored");
}

// Verifies: V1 (how often pushes and pulls have failed since they last worked, and what they met)
#[test]
fn failed_attempts_are_counted_and_told() {
    let mut s = Script::ready("A's push finds no route, and the pulls after it fail in two ways; then everything works.");
    let a = s.commit(1, "A");
    let attempts = |s: &Script| {
        let status = s.status();
        let message = |error: Option<std::sync::Arc<str>>| error.map(|error| error.to_string());
        (status.push_attempt, message(status.push_error), status.pull_attempt, message(status.pull_error))
    };
    s.store();
    assert_eq!(attempts(&s), (0, None, 0, None));
    s.push_unsent();
    assert_eq!(attempts(&s), (1, Some("no route".into()), 0, None));
    s.pull_unreachable();
    s.wake();
    s.pull_fails(BackendFailure::Unknown { message: "429 too many requests".into() });
    assert_eq!(attempts(&s), (1, Some("no route".into()), 2, Some("429 too many requests".into())));
    s.run_awake();
    assert_eq!((attempts(&s), s.positions(a)), ((0, None, 0, None), vec![1]));
}

// Verifies: R6, V1 (a withdrawal that has to wait holds up no other)
#[test]
fn a_withdrawal_does_not_wait_for_another_one() {
    let mut s = Script::ready("A is in flight and B behind it is not, when both are taken back: B goes at once, A stays.");
    let a = s.commit(1, "A");
    s.store();
    let b = s.commit(1, "B");
    s.store();
    s.withdraw(a);
    s.withdraw(b);
    s.store();
    assert_eq!(s.failed(b), SyncError::Withdrawn { cause: None, certainty: Certainty::NotApplied });
    assert_eq!(s.backend(a), None, "a request is unanswered");
    s.push();
    s.run();
    assert_eq!((s.positions(a), s.backend_log()), (vec![1], vec!["A".to_owned()]));
}

// Verifies: R1, V5 (what settles as it is admitted is not to be withdrawn any more)
#[test]
fn a_client_only_commit_that_is_held_back_settles_though_it_was_taken_back() {
    let mut s =
        Script::ready("S1 is refused with a, which is taken back. The leader gets it, and it stands where it does for good.");
    s.open(2);
    let a = s.begin(1, "a");
    s.commit(2, "x");
    s.finish(1, true);
    s.withdraw(a);
    s.run();
    assert!(s.persisted(a) && s.not_applicable(a));
    assert_eq!((s.log(), s.quarantine()), (vec!["x@e0.1".to_owned(), "a@e0.2".to_owned()], vec![]));
}
