//! The scenes that have a name.

use countersign_core::{Batch, Event};

use super::{Deed, Scene};
use crate::world::state::{self, FORBIDDEN, STUCK};

/// A scene, and its name.
pub type Named = (&'static str, fn() -> Scene);

/// Every scene with a name. As a file name it says what happens.
pub const NAMED: [Named; 18] = [
    ("plain_commit", || scene(1, vec![commit(0, append(1))])),
    ("several_events_and_none", || scene(1, vec![commit(0, [append(1), append(2)].concat()), commit(0, Vec::new())])),
    ("client_only", || scene(1, vec![commit(0, ui(1)), commit(0, [ui(2), append(1)].concat())])),
    ("without_a_backend", || Scene {
        backend: false,
        ..scene(1, vec![commit(0, append(1)), Deed::Open(0), Deed::Commit(0, 1, append(2).into()), Deed::Restart(0)])
    }),
    ("several_sessions", several_sessions),
    ("offline_then_back", || scene(1, vec![Deed::Offline(0), commit(0, append(1)), commit(0, append(2)), Deed::Online(0)])),
    ("rebase_behind_another_client", || {
        scene(2, vec![Deed::Offline(0), commit(0, append(1)), commit(1, append(1)), commit(1, append(2)), Deed::Online(0)])
    }),
    ("lost_acknowledgement", || scene(2, vec![Deed::ReplyLost(0, append(1).into()), commit(1, append(1))])),
    ("refused_for_ever", refused_for_ever),
    ("withdrawn_before_it_was_pushed", || {
        let deeds = [Deed::Offline(0), commit(0, append(1)), commit(0, append(2)), Deed::Withdraw(0), Deed::Online(0)];
        scene(2, deeds.into())
    }),
    ("withdrawn_when_it_was_stuck", || scene(1, vec![commit(0, event(STUCK, 1)), commit(0, append(2)), Deed::Withdraw(0)])),
    ("guard_refuses_a_commit", || scene(1, vec![commit(0, append(1)), guarded(0, append(1)), guarded(0, append(2))])),
    ("guard_conflicts_behind_another_client", || {
        scene(2, vec![Deed::Offline(0), guarded(0, append(1)), guarded(0, append(2)), commit(1, append(1)), Deed::Online(0)])
    }),
    ("poisoned_by_what_others_did", || {
        let mine = [commit(0, append(1)), commit(0, event("v1.Insert", 2)), commit(0, append(3))];
        scene(2, [&[Deed::Offline(0)][..], &mine, &[commit(1, event("v1.Insert", 2)), Deed::Online(0)]].concat())
    }),
    ("another_backend", || {
        let before = [commit(0, append(1)), commit(1, append(2)), Deed::Reset, commit(0, append(3))];
        scene(2, [&before[..], &[Deed::Accept(0), Deed::Accept(1), commit(0, append(4)), commit(1, append(5))]].concat())
    }),
    ("receipt_found_after_a_restart", || {
        let offline = [Deed::Offline(0), commit(0, append(2)), commit(0, ui(1)), Deed::Restart(0), commit(0, append(3))];
        scene(2, [&[commit(0, append(1))][..], &offline, &[commit(1, append(1)), Deed::Online(0), Deed::Restart(0)]].concat())
    }),
    ("failures_found_after_a_restart", || {
        let mine = [Deed::Offline(0), commit(0, event("v1.Insert", 1)), guarded(0, append(1)), commit(0, event(FORBIDDEN, 5))];
        scene(2, [&mine[..], &[commit(1, event("v1.Insert", 1)), Deed::Online(0), Deed::Restart(0)]].concat())
    }),
    ("a_commit_larger_than_a_push", || {
        let large: Vec<Event> = (0..250).flat_map(append).collect();
        scene(2, vec![Deed::Offline(0), commit(0, large), commit(1, append(1)), Deed::Online(0)])
    }),
];

fn several_sessions() -> Scene {
    let open = [Deed::Open(0), Deed::Open(0)];
    let in_turn = [0, 1, 2, 1].map(|session| Deed::Commit(0, session, append(1).into()));
    let offline = [Deed::Offline(0), Deed::Commit(0, 2, append(2).into()), commit(1, append(2)), Deed::Online(0)];
    scene(2, [&open[..], &in_turn, &offline].concat())
}

fn refused_for_ever() -> Scene {
    let online = [commit(0, event(FORBIDDEN, 9))];
    let queued =
        [Deed::Offline(0), commit(0, append(1)), commit(0, [append(2), event(FORBIDDEN, 9)].concat()), commit(0, append(3))];
    scene(2, [&online[..], &queued, &[commit(1, append(1)), Deed::Online(0)]].concat())
}

fn scene(clients: usize, deeds: Vec<Deed>) -> Scene {
    Scene { clients, backend: true, deeds }
}

fn commit(client: usize, events: Vec<Event>) -> Deed {
    Deed::Commit(client, 0, events.into())
}

/// A commit that stands only if there is no such row yet.
fn guarded(client: usize, events: Vec<Event>) -> Deed {
    let key = events[0].args.split(',').next().and_then(|first| first.rsplit(':').next()?.parse().ok());
    let guard = Some(state::guard("v1.Free", key.expect("the first argument is the key")));
    Deed::Commit(client, 0, Batch { events, guard })
}

fn append(key: u64) -> Vec<Event> {
    event("v1.Append", key)
}

fn ui(key: u64) -> Vec<Event> {
    vec![state::event("ui.Set", key, 1, true)]
}

fn event(name: &str, key: u64) -> Vec<Event> {
    vec![state::event(name, key, 1, false)]
}
