use alloc::string::{String, ToString};
use alloc::sync::Arc;

use super::*;
use crate::event::{Event, Origin};
use crate::id::{CommitId, EventId, SessionId};
use crate::seq::Seq;

fn own(ordinal: u64, name: &str) -> OwnEvent {
    let event = Event { name: name.into(), args: "null".into(), client_only: name.starts_with(char::is_lowercase) };
    OwnEvent {
        id: EventId { session: SessionId([1; 16]), ordinal },
        commit: ordinal,
        last: true,
        guard: None,
        event: Arc::new(event),
    }
}

fn foreign(at: u64) -> Entry {
    let event = Arc::new(Event { name: "X".into(), args: "null".into(), client_only: false });
    let origin = Origin::Foreign { client: "other".into(), session: "theirs".into(), ids: None };
    let seq = Seq::new(Pos::synced(at), 0);
    Entry { seq, parent: seq.pos.parent(), origin, standing: Standing::Confirmed, event }
}

/// A tail with these events, one a commit, and nothing stored.
fn tail(names: &str) -> Tail {
    let mut tail = Tail::new(true, &Heads::default(), Pos::ROOT);
    for (name, ordinal) in names.split_whitespace().zip(1..) {
        tail.push_own(own(ordinal, name), !name.starts_with(char::is_lowercase), 0);
    }
    tail.check().unwrap();
    tail
}

fn store(tail: &mut Tail) {
    tail.plan(tail.complete_view());
    tail.committed();
    tail.check().unwrap();
}

/// `"A@e1 c@e1.1"`: what is pending, where it stands.
fn places(tail: &Tail) -> String {
    let one = |event: &Pending| alloc::format!("{}@{}", event.own.event.name, tail.place_of(event));
    tail.pending().iter().map(one).collect::<Vec<_>>().join(" ")
}

/// What the next transaction would write.
fn next(tail: &Tail) -> (Option<Pos>, String) {
    let one = |entry: &Entry| alloc::format!("{}@{}", entry.event.name, entry.seq);
    let entries = tail.entries(&tail.complete_view());
    (tail.undo_to(), entries.iter().map(one).collect::<Vec<_>>().join(" "))
}

// Verifies: L1
#[test]
fn client_only_events_settle_unless_something_synced_is_pending_before_them() {
    let tail = tail("a A b c B");
    assert_eq!(places(&tail), "A@e1 b@e1.1 c@e1.2 B@e2");
    assert_eq!(next(&tail), (None, "a@e0.1 A@e1 b@e1.1 c@e1.2 B@e2".to_string()));
}

// Verifies: L1, L3
#[test]
fn what_is_confirmed_where_it_stands_is_not_written_again() {
    let mut tail = tail("A b C");
    store(&mut tail);
    tail.confirm_first();
    tail.check().unwrap();
    assert_eq!((tail.head().to_string(), tail.upstream()), ("e1.1".to_string(), 1));
    assert_eq!(places(&tail), "C@e2");
    assert_eq!(next(&tail), (None, String::new()));
    assert!(tail.in_place());
}

// Verifies: R4, R8 (of an event that was not sent, no echo can be)
#[test]
fn what_is_not_handed_to_the_network_can_not_have_come_back() {
    let mut tail = tail("A B C");
    store(&mut tail);
    let sent = |tail: &Tail| tail.pending().iter().map(|event| tail.may_be_sent(event)).collect::<Vec<_>>();
    assert_eq!(sent(&tail), [false, false, false]);
    tail.set_exposed(2);
    assert_eq!(sent(&tail), [true, true, false]);
    tail.confirm_first();
    assert_eq!(sent(&tail), [true, false], "counted from what is pending");
}

// Verifies: L1, L2
#[test]
fn a_rebase_undoes_and_writes_everything_pending() {
    let mut tail = tail("A b C");
    store(&mut tail);
    tail.push_settled(foreign(1));
    tail.rebased(true);
    tail.check().unwrap();
    assert_eq!(places(&tail), "A@e2 b@e2.1 C@e3");
    assert_eq!(next(&tail), (Some(Pos::ROOT), "X@e1 A@e2r1 b@e2.1r1 C@e3r1".to_string()));
    assert!(!tail.in_place());
    assert_eq!(tail.stored().durable, tail.pending_end(), "stored all the same: it may be pushed ahead of the disk");
    store(&mut tail);
    assert!(tail.in_place());
}

// Verifies: S2
#[test]
fn a_failed_transaction_is_forgotten_by_forgetting_its_view() {
    let mut tail = tail("A");
    store(&mut tail);
    tail.push_own(own(2, "B"), true, 0);
    tail.plan(tail.complete_view());
    tail.push_own(own(3, "C"), true, 0);
    assert_eq!(next(&tail), (None, "C@e3".to_string()));
    tail.rolled_back(0);
    assert_eq!(next(&tail), (None, "B@e2 C@e3".to_string()));
}

// Verifies: S2, L1
#[test]
fn a_rebase_while_a_transaction_is_under_way_undoes_that_too() {
    let mut tail = tail("A");
    store(&mut tail);
    tail.push_own(own(2, "B"), true, 0);
    tail.plan(tail.complete_view());
    tail.push_settled(foreign(1));
    tail.rebased(true);
    tail.check().unwrap();
    assert_eq!(next(&tail), (Some(Pos::ROOT), "X@e1 A@e2r1 B@e3r1".to_string()), "on top of the one under way");
    tail.rolled_back(0);
    assert_eq!(next(&tail), (Some(Pos::ROOT), "X@e1 A@e2r1 B@e3r1".to_string()), "without it");
}

// Verifies: L1, R8
#[test]
fn a_removed_event_moves_up_what_is_behind_it_and_nothing_else() {
    let mut tail = tail("A b C d E");
    store(&mut tail);
    let removed = tail.remove(&[2]);
    tail.renumbered(2);
    tail.check().unwrap();
    assert_eq!(removed.len(), 1);
    assert_eq!(places(&tail), "A@e1 b@e1.1 d@e1.2 E@e2");
    assert_eq!(next(&tail), (Some("e1.1".parse().unwrap()), "d@e1.2r1 E@e2r1".to_string()));
    let rebases: Vec<u32> = tail.pending().iter().map(|event| tail.rebases_of(event)).collect();
    assert_eq!(rebases, [0, 0, 1, 1]);
}

// Verifies: L1
#[test]
fn client_only_events_settle_when_the_synced_one_before_them_goes() {
    let mut tail = tail("A b C");
    store(&mut tail);
    tail.remove(&[0]);
    tail.renumbered(0);
    tail.settle_leading_client_only();
    tail.check().unwrap();
    assert_eq!((tail.head().to_string(), places(&tail)), ("e0.1".to_string(), "C@e1".to_string()));
    assert_eq!(next(&tail), (Some(Pos::ROOT), "b@e0.1r1 C@e1r1".to_string()));
}

#[test]
fn marks_follow_the_events_that_are_removed_before_them() {
    let mut tail = tail("A B C D");
    store(&mut tail);
    tail.set_exposed(3);
    tail.accept(1);
    tail.set_acked(1);
    tail.remove(&[1]);
    tail.renumbered(1);
    assert_eq!((tail.acked(), tail.exposed(), tail.stored().durable), (1, 2, 3));
    tail.check().unwrap();
}

// Verifies: L1
#[test]
fn without_a_backend_everything_settles_and_what_is_withdrawn_leaves_no_gap() {
    let mut tail = Tail::new(false, &Heads::default(), Pos::ROOT);
    for (name, ordinal) in ["A", "b", "C", "d"].into_iter().zip(1..) {
        assert!(!tail.push_own(own(ordinal, name), true, 0));
    }
    let removed = tail.remove_unstored_settled(|entry| &*entry.event.name == "C");
    tail.check().unwrap();
    assert_eq!(removed.iter().map(|(count, _)| *count).collect::<Vec<_>>(), [2]);
    assert_eq!(next(&tail), (None, "A@e1 b@e1.1 d@e1.2".to_string()));
}

// Verifies: R8 (where a commit's synced events stand for good, settled or acknowledged, as long as storage may not know)
#[test]
fn accepted_places_are_those_of_the_commit_and_of_what_is_synced() {
    let mut tail = tail("A b B c C");
    let places = |tail: &Tail, commit| -> Vec<(u64, u64, u32)> {
        let accepted = tail.accepted(CommitId { session: SessionId([1; 16]), ordinal: commit });
        accepted.map(|(id, at, rebases)| (id.ordinal, at, rebases)).collect()
    };
    assert!((1..=5).all(|commit| places(&tail, commit).is_empty()), "none is accepted");
    tail.confirm_first();
    assert_eq!((places(&tail, 1), places(&tail, 2), places(&tail, 3)), (alloc::vec![(1, 1, 0)], Vec::new(), Vec::new()));
    tail.set_exposed(4);
    tail.accept(2);
    tail.set_acked(4);
    let accepted: Vec<_> = (1..=5).map(|commit| places(&tail, commit).len()).collect();
    assert_eq!(accepted, [1, 0, 1, 0, 0]);
    assert_eq!(places(&tail, 3), [(3, 2, 0)]);
    store(&mut tail);
    assert!(places(&tail, 1).is_empty(), "storage has it");
}

// Verifies: L4 (what is not stored where it stands, settled or pending, is what a close hands back; others' events are none of it)
#[test]
fn own_events_that_are_not_stored_are_known() {
    let names = |tail: &Tail| tail.unstored_own().iter().map(|own| own.event.name.to_string()).collect::<Vec<_>>();
    let mut tail = tail("a A");
    assert_eq!(names(&tail), ["a", "A"]);
    tail.push_settled(foreign(1));
    tail.rebased(true);
    assert_eq!(names(&tail), ["a", "A"]);
    store(&mut tail);
    assert_eq!(names(&tail), ["A"], "what is pending may move");
    tail.push_own(own(3, "B"), true, 0);
    assert_eq!(names(&tail), ["A", "B"]);
}

#[test]
fn a_tail_is_stored_when_nothing_is_missing_on_disk() {
    let mut tail = tail("A");
    assert!(!tail.is_stored() && tail.has_backend());
    store(&mut tail);
    assert!(tail.is_stored());
    tail.set_exposed(1);
    tail.accept(1);
    tail.set_acked(1);
    assert!(!tail.is_stored(), "an acknowledgement is stored too");
    assert!(!Tail::new(false, &Heads::default(), Pos::ROOT).has_backend());
}

/// What is changed in a sound tail, and what does not hold then.
type Break<'a> = (&'a dyn Fn(&mut Tail), &'static str);

// Verifies: L1, L2, L3, L5 (each condition is one that a broken tail fails, by its name)
#[test]
fn a_broken_tail_is_told_by_what_does_not_hold() {
    let breaks: [Break<'_>; 16] = [
        (&|tail| tail.backend = false, "nothing is pending without a backend"),
        (&|tail| tail.upstream = 9, "the upstream head is not after the local one"),
        (&|tail| tail.upstream = 0, "with a backend the settled head is the upstream head"),
        (&|tail| tail.upstream_parent = 1, "a parent is before its event"),
        (&|tail| tail.own_after = 2, "where the store began has been pulled"),
        (&|tail| tail.acked = 9, "marks are within the pending events"),
        (&|tail| tail.exposed = 1, "what is acknowledged has been sent"),
        (&|tail| tail.views[0].durable = 1, "only what is stored is acknowledged"),
        (&|tail| tail.acknowledged = 1, "what is acknowledged stands where that is noted"),
        (&|tail| tail.acknowledged = 3, "what is not acknowledged stands behind what is"),
        (&|tail| tail.next_n += 1, "the next event is counted after the last one"),
        (&|tail| tail.pending[1].client = 4, "pending places follow one another without a gap"),
        (&|tail| tail.pending[0].born = 7, "no event is born in a generation to come"),
        (&|tail| tail.pending[1].closes = true, "a synced event closes its commit"),
        (&|tail| tail.views[0].pending = 2, "what nothing has moved stands where it is stored"),
        (&|tail| tail.views[0].upstream = 2, "no more is stored as confirmed than is (L3)"),
    ];
    let mut sound = tail("A B c D");
    store(&mut sound);
    sound.set_exposed(2);
    sound.accept(2);
    sound.set_acked(2);
    sound.confirm_first();
    sound.check().unwrap();
    for (break_it, said) in breaks {
        let mut broken = sound.clone();
        break_it(&mut broken);
        assert_eq!(broken.check(), Err(said));
    }
}
