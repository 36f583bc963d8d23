//! What a process leaves behind, and what the next one finds.

use std::collections::BTreeSet;

use super::judge::is_allowed;
use super::{Commit, Model, Stage, violated};
use crate::world::backend::Backend;
use crate::world::client::Client;
use crate::world::{Reach, Violation};

impl Model {
    /// A process has ended, in whatever way.
    pub(crate) fn killed(&mut self, c: usize, client: &Client, backend: &Backend, reach: &mut Reach) -> Result<(), Violation> {
        let disk = &client.disk;
        let (mut sessions, mut failed) = (BTreeSet::new(), Vec::new());
        for commit in self.commits.values_mut().filter(|commit| commit.client == c && !commit.lost) {
            sessions.insert(commit.id.session);
            (commit.leader_said, commit.backend_said, commit.resumed) = (false, false, false);
            let here = commit.events.iter().filter(|own| disk.holds(&own.id)).count();
            let decided = disk.marks.get(&commit.id.session).is_some_and(|&through| through >= commit.id.ordinal);
            if commit.leader == Stage::Open {
                if here == 0 && !decided {
                    if let Some(error) = disk.failed.get(&commit.id) {
                        return violated("R1", format!("{} was never stored, and its failure is: {error:?}", commit.id));
                    }
                    commit.lost = true;
                    reach.mark("crash with a commit not stored");
                    continue;
                }
                commit.leader = Stage::Ok(Vec::new());
            }
            if here < commit.events.len() && matches!(commit.leader, Stage::Ok(_)) {
                return violated(
                    "R3",
                    format!("{} was stored, and {here} of {} events are left", commit.id, commit.events.len()),
                );
            }
            if commit.backend == Stage::Open {
                commit.backend = found(commit, client);
                if let Stage::Err(error) = &commit.backend {
                    failed.push((commit.id, error.clone()));
                }
            }
        }
        // Stored, and never said.
        for (id, error) in failed {
            if self.commits.get(&id).is_some_and(|commit| !is_allowed(commit, &error, client, backend)) {
                return violated("R5", format!("{id} was stored as failed with {error:?}"));
            }
            self.certain(id, &error, client, backend)?;
        }
        for session in sessions {
            self.last_leader.remove(&session);
            self.last_backend.remove(&session);
        }
        Ok(())
    }

    /// The file of a client, whose process has ended, is an older copy: what had happened since is not known there any more.
    pub(crate) fn set_back(&mut self, c: usize, client: &Client, backend: &Backend) -> Result<(), Violation> {
        let mut failed = Vec::new();
        for commit in self.commits.values_mut().filter(|commit| commit.client == c && !commit.lost) {
            let is_there = commit.events.iter().all(|own| client.disk.holds(&own.id)) && !commit.events.is_empty();
            let decided = client.disk.marks.get(&commit.id.session).is_some_and(|&through| through >= commit.id.ordinal);
            if !is_there && !decided {
                commit.lost = true;
                continue;
            }
            commit.set_back = true;
            if !matches!(commit.leader, Stage::Err(_)) {
                commit.leader = Stage::Ok(Vec::new());
            }
            commit.backend = found(commit, client);
            match &commit.backend {
                Stage::Err(error) => failed.push((commit.id, error.clone())),
                // What had been given up since waits again.
                _ => self.never.retain(|id| commit.events.iter().all(|own| own.id != *id)),
            }
        }
        failed.into_iter().try_for_each(|(id, error)| self.certain(id, &error, client, backend))
    }

    /// A process ends after everything was stored.
    pub(crate) fn closed(&self, c: usize, client: &Client) -> Result<(), Violation> {
        let open = |commit: &&Commit| commit.client == c && !commit.lost && commit.leader == Stage::Open;
        if let Some(commit) = self.commits.values().find(open) {
            return violated("L4", format!("{} was closed as drained, and {} is not stored", client.name, commit.id));
        }
        let said = |commit: &&Commit| commit.client == c && commit.backend_said && matches!(commit.backend, Stage::Ok(_));
        match self.commits.values().filter(said).find(|commit| found(commit, client) == Stage::Open) {
            Some(commit) => {
                violated("R1", format!("{} was closed, and that {} is confirmed is not stored", client.name, commit.id))
            }
            None => Ok(()),
        }
    }

    /// A process has started: receipts that are open are found again.
    pub(crate) fn booted(&mut self, c: usize, client: &Client, reach: &mut Reach) -> Result<(), Violation> {
        let Some(node) = client.node() else { return Ok(()) };
        for commit in self.commits.values_mut().filter(|commit| commit.client == c) {
            if commit.lost {
                if let Some(stages) = node.find(commit.id) {
                    return violated("R8", format!("{} was lost, and is found with {stages:?}", commit.id));
                }
                continue;
            }
            let waits = node.find(commit.id).is_some_and(|stages| stages.backend);
            match &commit.backend {
                Stage::Open if !waits => return violated("R8", format!("the receipt of {} is not found again", commit.id)),
                Stage::Open => reach.mark("receipt found again after a restart"),
                // Only a kill between an acknowledgement and its being stored leaves this.
                Stage::Ok(_) if waits && found(commit, client) == Stage::Open => reach.mark("acknowledged, and found open again"),
                settled if waits => return violated("R1", format!("{} is found open, and it was {settled:?}", commit.id)),
                Stage::Ok(positions) if positions.iter().any(|&at| at > client.disk.heads.upstream) => {
                    reach.mark("acknowledged, and known to be after a restart");
                }
                _ => {}
            }
            commit.resumed = waits;
        }
        Ok(())
    }
}

/// What storage says of a commit that is not waiting any more.
fn found(commit: &Commit, client: &Client) -> Stage {
    let disk = &client.disk;
    if let Some(error) = disk.failed.get(&commit.id) {
        return Stage::Err(error.clone());
    }
    if commit.synced().next().is_none() || !client.config.backend {
        return Stage::NotApplicable;
    }
    let mut positions = Vec::new();
    for own in commit.synced() {
        if disk.has_cleared(&own.id) {
            // It had been accepted by a backend that is another one now.
            return Stage::Ok(positions);
        }
        let row = disk.log.iter().find(|row| row.entry.own_id() == Some(own.id));
        match row.map(|row| row.entry.seq.pos.global) {
            Some(at) if at <= disk.heads.upstream.max(disk.heads.acknowledged) => positions.push(at),
            _ => return Stage::Open,
        }
    }
    Stage::Ok(positions)
}
