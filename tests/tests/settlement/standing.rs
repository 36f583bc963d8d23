//! Where a commit stands, asked while it is on its way and after a restart.

use countersign_core::{CommitId, Config, Input, OpenStages, Stage, StorageClass, Why};
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
