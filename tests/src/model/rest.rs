//! What has to be true of the whole world once it has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::{CommitId, EventId, SessionId};

use super::{Model, Stage};
use crate::world::Violation;
use crate::world::backend::Backend;
use crate::world::client::Client;
use crate::world::state::State;

fn violated(id: &'static str, what: String) -> Result<(), Violation> {
    Err(Violation::new(id, what))
}

impl Model {
    pub(crate) fn check_rest(&self, clients: &[Client], backend: &Backend, shifted: bool) -> Result<(), Violation> {
        for commit in self.commits.values().filter(|commit| !commit.lost) {
            if commit.leader == Stage::Open || commit.backend == Stage::Open {
                return violated("V1", format!("{} has not settled: {:?}, {:?}", commit.id, commit.leader, commit.backend));
            }
            let disk = &clients[commit.client].disk;
            let missing = commit.events.iter().find(|own| !disk.holds(&own.id));
            if let Some(own) = missing
                && !disk.wiped
            {
                return violated("L4", format!("{:?} of {} is nowhere", own.id, commit.id));
            }
        }
        check_log(backend)?;
        if shifted {
            return Ok(());
        }
        self.check_guards(backend)?;
        let log: BTreeSet<EventId> = backend.live().log.iter().map(|held| held.own.id).collect();
        for commit in self.commits.values() {
            match &commit.backend {
                Stage::Ok(_) if backend.keeps_ids => {
                    if let Some(own) = commit.synced().find(|own| !log.contains(&own.id)) {
                        return violated("R4", format!("{} is Ok, and {:?} is not in the backend's log", commit.id, own.id));
                    }
                }
                _ => {}
            }
            if commit.events.iter().any(|own| own.event.client_only && log.contains(&own.id)) {
                return violated("L7", format!("an event of {} is client-only and in the backend's log", commit.id));
            }
        }
        if backend.keeps_ids {
            for client in clients {
                if let Some(id) = client.disk.quarantined.iter().find(|id| log.contains(id)) {
                    return violated("L4", format!("{id:?} is confirmed, and still in the quarantine of {}", client.name));
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

    pub(crate) fn check_fresh(&self) -> Result<(), Violation> {
        let confirmed = |id: &&CommitId| {
            let commit = self.commits.get(id);
            commit.is_some_and(|commit| {
                commit.leader != Stage::Open && matches!(commit.backend, Stage::Ok(_) | Stage::NotApplicable)
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
