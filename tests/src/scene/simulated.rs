//! A scene in the simulated world.

use std::collections::BTreeMap;

use countersign_core::{Batch, CommitId, Config, IdentityPolicy, Input, Status};

use super::Scene;
use super::player::Stage;
use super::told::{self, Seen, Told};
use crate::model;
use crate::world::swarm::Swarm;
use crate::world::{Choices, Violation, World};

/// More steps than any scene takes to come to rest.
const MOST: usize = 200_000;

pub(super) struct Simulated {
    world: World,
}

impl Simulated {
    pub(super) fn new(scene: &Scene) -> Result<Self, Violation> {
        let mut swarm = Swarm::draw(&mut Choices::given(Vec::new()));
        (swarm.clients, swarm.sessions, swarm.keeps_ids) = (scene.clients as u64, 1, true);
        (swarm.page, swarm.page_min) = (100, 100);
        swarm.config = Config { backend: scene.backend, ..Config::default() };
        let mut world = World::with(swarm, Choices::given(Vec::new()), 1);
        world.start()?;
        Ok(Self { world })
    }

    fn step(&mut self) -> Result<(), Violation> {
        match self.world.next() {
            Some(event) => self.world.dispatch(event),
            None => Err(Violation::new("V1", "nothing is left to happen, and it is not at rest")),
        }
    }

    fn is_at_rest(&self) -> bool {
        let live = self.world.backend.live();
        self.world.clients.iter().all(|client| {
            let Some(node) = client.node() else { return false };
            let idle = client.sessions.values().all(|local| local.seeded && local.lane.is_empty());
            idle && told::is_at_rest(&node.status(), client.link, (&live.id, live.log.len() as u64))
        })
    }
}

impl Stage for Simulated {
    fn commit(&mut self, client: usize, session: usize, batch: Batch) -> Result<Option<CommitId>, Violation> {
        let before = self.world.model.len();
        // Sessions are numbered as they are opened.
        let Some(id) = self.world.clients[client].sessions.keys().nth(session).copied() else {
            return Err(Violation::new("V2", format!("there is no session {session}")));
        };
        self.world.commit(client, id, batch)?;
        let last = self.world.model.of_session(id).last().map(|commit| commit.id);
        Ok(last.filter(|_| self.world.model.len() > before))
    }

    fn lose_next_reply(&mut self, client: usize) {
        self.world.clients[client].lose_next_reply = true;
    }

    fn open_session(&mut self, client: usize) -> Result<(), Violation> {
        self.world.open_session(client).map(drop)
    }

    fn withdraw(&mut self, client: usize, commit: CommitId) -> Result<(), Violation> {
        self.world.withdraw(client, commit)
    }

    fn go(&mut self, client: usize, online: bool) -> Result<(), Violation> {
        if online {
            return self.world.link_up(client);
        }
        self.world.clients[client].link = false;
        match self.world.clients[client].pull.as_ref().map(|lane| lane.effect) {
            Some(pull) => self.world.cut_pull(client, pull),
            None => Ok(()),
        }
    }

    fn restart(&mut self, client: usize) -> Result<(), Violation> {
        self.world.close(client)?;
        let life = self.world.clients[client].life;
        while self.world.clients[client].life == life || self.world.clients[client].process.is_none() {
            self.step()?;
        }
        Ok(())
    }

    fn reset_backend(&mut self) -> Result<(), Violation> {
        self.world.reset_backend();
        Ok(())
    }

    fn accept_backend(&mut self, client: usize) -> Result<(), Violation> {
        self.world.news(client);
        self.world.input(client, Input::Decide { decision: IdentityPolicy::Reset })
    }

    fn rest(&mut self) -> Result<(), Violation> {
        for _ in 0..MOST {
            if self.is_at_rest() {
                return Ok(());
            }
            self.step()?;
        }
        let status: Vec<Option<Status>> = self.world.clients.iter().map(|c| c.node().map(|node| node.status())).collect();
        Err(Violation::new("V1", format!("no rest in a scene: {status:#?}")))
    }

    fn receipt(&self, _client: usize, id: CommitId) -> (Seen, Seen) {
        let Some(commit) = self.world.model.of_session(id.session).find(|commit| commit.id == id) else {
            return (Seen::Never, Seen::Never);
        };
        let seen = |stage: &model::Stage, confirmed: bool| match stage {
            model::Stage::Open => Seen::Open,
            model::Stage::Ok(at) if confirmed => Seen::Confirmed(at.clone()),
            model::Stage::Ok(_) => Seen::Persisted,
            model::Stage::NotApplicable => Seen::NotApplicable,
            model::Stage::Err(error) => Seen::Failed(error.clone()),
        };
        (seen(&commit.leader, false), seen(&commit.backend, true))
    }

    fn status(&self, client: usize) -> Result<Status, Violation> {
        let status = self.world.clients[client].node().map(|node| node.status());
        status.ok_or_else(|| Violation::new("V1", "a process is gone, in a scene at rest"))
    }

    fn end(&self, client: usize) -> Told {
        let disk = &self.world.clients[client].disk;
        let mut told: Told = disk.log.iter().map(|row| told::entry(client, &row.entry, !row.skipped)).collect();
        let pairs = |table: &BTreeMap<u64, u64>| table.iter().map(|(&k, &v)| (k, v)).collect::<Vec<_>>();
        told.push(told::state(client, &[pairs(&disk.state.synced), pairs(&disk.state.local)]));
        told
    }
}
