//! What has to be true of the whole world once it has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::{CommitId, EventId, SessionId};

use super::judge::holds;
use super::{Commit, Model, Stage, violated};
use crate::world::Violation;
use crate::world::backend::Backend;
use crate::world::client::Client;
use crate::world::state::State;
use crate::world::swarm::Lasting;

impl Model {
    pub(crate) fn check_rest(&self, clients: &[Client], backend: &Backend, shifted: bool) -> Result<(), Violation> {
        for commit in self.commits.values().filter(|commit| !commit.lost) {
            if commit.leader == Stage::Open || commit.backend == Stage::Open {
                return violated("V1", format!("{} has not settled: {:?}, {:?}", commit.id, commit.leader, commit.backend));
            }
            let disk = &clients[commit.client].disk;
            if let Some(own) = commit.events.iter().find(|own| !disk.holds(&own.id)) {
                return violated("L4", format!("{:?} of {} is nowhere", own.id, commit.id));
            }
        }
        clients.iter().try_for_each(|client| self.check_contents(client, backend))?;
        check_log(backend)?;
        for held in backend.incarnations.iter().flat_map(|incarnation| &incarnation.log) {
            if held.own.event.client_only {
                return violated("L7", format!("{:?} is client-only and in the backend's log", held.own.id));
            }
        }
        self.check_confirmed(backend)?;
        if shifted {
            return Ok(());
        }
        self.check_guards(backend)?;
        if backend.keeps_ids {
            let log: BTreeSet<EventId> = backend.live().log.iter().map(|held| held.own.id).collect();
            for client in clients {
                if let Some(id) = client.disk.quarantined.iter().find(|id| log.contains(id)) {
                    return violated("L4", format!("{id:?} is confirmed, and still in the quarantine of {}", client.name));
                }
            }
        }
        Ok(())
    }

    /// A commit that has not settled, and has no reason to wait while this lasts at the first client.
    pub(crate) fn waits_in_spite_of(&self, lasting: Lasting, clients: &[Client]) -> Option<CommitId> {
        let has_reason = |commit: &Commit| {
            let is_stored = commit.leader != Stage::Open;
            let in_dead_session = || clients[0].sessions.get(&commit.id.session).is_some_and(|local| local.dead);
            match lasting {
                _ if commit.client != 0 => false,
                Lasting::Nothing => false,
                // The leader goes on with what it has of the session, and the session can't give it more.
                Lasting::DeadSession => !is_stored && in_dead_session(),
                Lasting::Offline | Lasting::Deaf | Lasting::Unauthorised => is_stored || in_dead_session(),
                Lasting::DiskFull | Lasting::SlowDisk => true,
            }
        };
        let open = |commit: &&Commit| !commit.lost && (commit.leader == Stage::Open || commit.backend == Stage::Open);
        self.commits.values().filter(open).find(|commit| !has_reason(commit)).map(|commit| commit.id)
    }

    /// A file holds what was committed, word for word but for what the backend has changed.
    fn check_contents(&self, client: &Client, backend: &Backend) -> Result<(), Violation> {
        for row in &client.disk.log {
            let (Some(id), Some(commit)) = (row.entry.own_id(), row.entry.commit_id()) else { continue };
            let said = self.commits.get(&commit).and_then(|commit| commit.events.iter().find(|own| own.id == id));
            let is_same = said.is_some_and(|own| own.event.says_the_same(&row.entry.event) || backend.rewrites);
            if !is_same {
                return violated("L4", format!("{id:?} stands at {} as {:?}, and was {said:?}", row.entry.seq, row.entry.event));
            }
        }
        Ok(())
    }

    /// What was said to be confirmed is there, by the history that it was confirmed in: each place is one event's, and a session's places
    /// are in its order.
    fn check_confirmed(&self, backend: &Backend) -> Result<(), Violation> {
        let histories = backend.incarnations.len();
        let mut places: BTreeMap<u64, CommitId> = BTreeMap::new();
        let mut last: BTreeMap<SessionId, u64> = BTreeMap::new();
        for commit in self.commits.values() {
            let Stage::Ok(positions) = &commit.backend else { continue };
            if histories > 1 && commit.histories != Some(histories) {
                // That history may be lost.
                continue;
            }
            if !holds(commit, positions, &backend.live().log, backend.keeps_ids) {
                return violated("R4", format!("{} is Ok, and is not at {positions:?} in the backend's log", commit.id));
            }
            for &at in positions {
                if let Some(other) = places.insert(at, commit.id) {
                    return violated("R4", format!("{} and {other} are both at e{at}", commit.id));
                }
                let before = last.insert(commit.id.session, at).unwrap_or(0);
                if before >= at {
                    return violated("R4", format!("{} is at e{at}, and what comes before it at e{before}", commit.id));
                }
            }
        }
        Ok(())
    }

    /// Whatever the backend has confirmed stands where its guard held, by the backend's log alone. Where pulls carry no identities, equal
    /// events of a session may have changed places.
    fn check_guards(&self, backend: &Backend) -> Result<(), Violation> {
        let log = &backend.live().log;
        for commit in self.commits.values().filter(|_| backend.keeps_ids) {
            let (Some(guard), Stage::Ok(positions)) = (commit.guard(), &commit.backend) else { continue };
            let Some(&first) = positions.first() else { continue };
            let mut state = State::default();
            for held in log.iter().take(first as usize - 1) {
                // What can't be applied has no effect, on any client.
                let _ = state.apply(&held.own.event);
            }
            if let Err(why) = state.check(guard) {
                return violated(
                    "S5",
                    format!("{} is confirmed at e{first}, where {} does not hold: {why}", commit.id, guard.name),
                );
            }
        }
        Ok(())
    }

    /// The commits that were made after faults had stopped.
    pub(crate) fn expect_fresh(&mut self, c: usize, session: SessionId) -> Result<(), Violation> {
        let Some(id) = self.of_session(session).map(|commit| commit.id).last() else {
            return violated("V3", format!("client {c} takes no commit after faults have stopped"));
        };
        self.fresh_ids.push(id);
        Ok(())
    }

    pub(crate) fn check_fresh(&self, clients: &[Client]) -> Result<(), Violation> {
        let confirmed = |id: &&CommitId| {
            self.commits.get(id).is_some_and(|commit| {
                let backend = clients[commit.client].config.backend;
                let settled =
                    if backend { matches!(commit.backend, Stage::Ok(_)) } else { commit.backend == Stage::NotApplicable };
                matches!(commit.leader, Stage::Ok(_)) && settled
            })
        };
        match self.fresh_ids.iter().find(|id| !confirmed(id)) {
            Some(id) => violated("V3", format!("{id} was made after faults had stopped, and is not confirmed")),
            None => Ok(()),
        }
    }
}

/// Every event once, each session's in its order.
fn check_log(backend: &Backend) -> Result<(), Violation> {
    for incarnation in &backend.incarnations {
        let mut last: BTreeMap<SessionId, u64> = BTreeMap::new();
        for (at, held) in (1..).zip(&incarnation.log) {
            let before = last.insert(held.own.id.session, held.own.id.ordinal).unwrap_or(0);
            if before >= held.own.id.ordinal {
                let (id, backend) = (held.own.id, &incarnation.id);
                return violated("L6", format!("{id:?} is at e{at} of {backend}, after number {before} of its session"));
            }
        }
    }
    Ok(())
}
