//! A scene in the simulated world.

use countersign_core::{CommitId, Status, SyncState};

use super::{Deed, Scene, Told, log_line, receipt_line, state_line};
use crate::model::Stage;
use crate::world::swarm::Swarm;
use crate::world::{Choices, Event, Violation, World};

/// More than any scene takes.
const MOST: usize = 100_000;

pub(super) fn play(scene: &Scene) -> Result<Told, Violation> {
    let mut swarm = Swarm::draw(&mut Choices::given(Vec::new()));
    (swarm.clients, swarm.sessions, swarm.keeps_ids) = (scene.clients as u64, 1, true);
    (swarm.page, swarm.page_min) = (100, 100);
    swarm.config = countersign_core::Config::default();
    let mut world = World::with(swarm, Choices::given(Vec::new()), 1);
    world.start()?;
    rest(&mut world)?;
    let mut commits: Vec<(usize, Option<CommitId>)> = Vec::new();
    for deed in &scene.deeds {
        match deed {
            Deed::Commit(c, events) => commits.push((*c, commit(&mut world, *c, events)?)),
            Deed::ReplyLost(c, events) => {
                world.clients[*c].lose_next_reply = true;
                commits.push((*c, commit(&mut world, *c, events)?));
            }
            Deed::Offline(c) => {
                world.clients[*c].link = false;
                if let Some(pull) = world.clients[*c].pull.as_ref().map(|lane| lane.effect) {
                    world.cut_pull(*c, pull)?;
                }
            }
            Deed::Online(c) => world.link_up(*c)?,
            Deed::Restart(c) => {
                world.close(*c)?;
                while world.clients[*c].process.is_some() || world.queue.values().any(|event| matches!(event, Event::Boot(_))) {
                    step(&mut world)?;
                }
            }
        }
        rest(&mut world)?;
    }
    for c in 0..scene.clients {
        world.link_up(c)?;
    }
    rest(&mut world)?;
    Ok(told(&world, &commits))
}

fn commit(world: &mut World, c: usize, events: &[countersign_core::Event]) -> Result<Option<CommitId>, Violation> {
    let before = world.model.len();
    let session = world.clients[c].sessions.keys().next().copied();
    let Some(session) = session else { return Err(Violation::new("V2", "there is no session")) };
    world.commit(c, session, events.to_vec())?;
    let id = world.model.of_session(session).last().map(|commit| commit.id);
    Ok(id.filter(|_| world.model.len() > before))
}

fn step(world: &mut World) -> Result<(), Violation> {
    match world.next() {
        Some(event) => world.dispatch(event),
        None => Err(Violation::new("V1", "nothing is left to happen, and it is not at rest")),
    }
}

/// Goes on until everybody who is online is synced, and whoever is not has stored everything.
fn rest(world: &mut World) -> Result<(), Violation> {
    for _ in 0..MOST {
        if at_rest(world) {
            return Ok(());
        }
        step(world)?;
    }
    Err(Violation::new("V1", "no rest in a scene"))
}

fn at_rest(world: &World) -> bool {
    let head = world.backend.head();
    world.clients.iter().all(|client| {
        let Some(status) = client.node().map(|node| node.status()) else { return false };
        let idle = client.sessions.values().all(|local| local.seeded && local.lane.is_empty());
        let Status { drained, stored, sessions_behind, pending_events, .. } = status;
        let synced = || status.sync == SyncState::Synced && pending_events == 0 && status.upstream_head.global == head;
        let lost = || matches!(status.sync, SyncState::Offline { .. });
        idle && drained && stored && sessions_behind == 0 && if client.link { synced() } else { lost() }
    })
}

fn told(world: &World, commits: &[(usize, Option<CommitId>)]) -> Told {
    let mut told = Told::new();
    for &(c, id) in commits {
        let Some(commit) = id.and_then(|id| world.model.of_session(id.session).find(|commit| commit.id == id)) else {
            told.push(receipt_line(c, "never", "never"));
            continue;
        };
        let say = |stage: &Stage, ok: &str| match stage {
            Stage::Open => "open".to_owned(),
            Stage::Ok(positions) if ok.is_empty() => format!("at {positions:?}"),
            Stage::Ok(_) => ok.to_owned(),
            Stage::NotApplicable => "not applicable".to_owned(),
            Stage::Err(_) => "failed".to_owned(),
        };
        told.push(receipt_line(c, &say(&commit.leader, "ok"), &say(&commit.backend, "")));
    }
    for (c, client) in world.clients.iter().enumerate() {
        told.extend(client.disk.log.iter().map(|row| log_line(c, &row.entry, !row.skipped)));
        let pairs = |table: &std::collections::BTreeMap<u64, u64>| table.iter().map(|(&k, &v)| (k, v)).collect::<Vec<_>>();
        told.push(state_line(c, &pairs(&client.disk.state.synced), &pairs(&client.disk.state.local)));
    }
    told
}
