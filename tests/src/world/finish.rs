//! The checks after every step, and the second part of a run: faults stop, and everything comes to rest.

use countersign_core::{IdentityPolicy, Input, Status, StorageClass, SyncState, Time};

use super::state::{self, State};
use crate::model::Stage;

use super::{Event, Step, Violation, World};

/// How long a world may take to come to rest, in microseconds.
pub(super) const REST: u64 = 1_800_000_000;
/// After so many inputs the machine is asked again how things stand; or after a quarter as many as there are commits, since each is looked at.
const ASKED: u64 = 16;
/// More inputs than anything takes that comes to rest.
pub(super) const BUSY: u64 = 60_000;
/// What the events of these worlds take at most, encoded.
const EVENT_BYTES: usize = 420;
/// How often users look after what waits for them, in microseconds.
pub(super) const TEND: u64 = 45_000_000;

impl World {
    /// What holds after every step of a client.
    pub(crate) fn check_step(&mut self, c: usize) -> Result<(), Violation> {
        let Some(node) = self.clients[c].node() else { return Ok(()) };
        self.check_limits(c, &node.status())?;
        if self.inputs.is_multiple_of(ASKED.max(self.model.len() as u64 / 4)) {
            self.check_answers(c)?;
        }
        self.check_sessions(c)
    }

    /// What the machine answers when it is asked.
    fn check_answers(&self, c: usize) -> Result<(), Violation> {
        let client = &self.clients[c];
        let Some(process) = &client.process else { return Ok(()) };
        self.model.judge_answers(c, client, &self.backend)?;
        for &session in client.sessions.keys() {
            // Without a backend, what has settled is the log.
            let heads = &client.disk.heads;
            let stored = if client.config.backend { heads.upstream } else { heads.settled.global };
            let applied = process.node.applied(session);
            // A reset may have emptied the file before the machine knows that it has.
            let unheard = client.disk.wiped && client.told < client.disk.number;
            let may_be = |applied: u64| applied <= stored || unheard;
            if !applied.is_some_and(may_be) {
                return Err(Violation::new("L3", format!("session {session} is at {applied:?}, and the file ends at e{stored}")));
            }
        }
        Ok(())
    }

    fn check_limits(&self, c: usize, status: &Status) -> Result<(), Violation> {
        let config = &self.clients[c].config;
        // A limit lets one commit of each session through on an empty queue, also of those that have been closed since; and withdrawn
        // events that may be found again have been pending.
        let one = 60;
        let sessions = self.clients[c].sessions.len().max(self.swarm.sessions as usize).max(1);
        let over = [
            (status.pending_events, config.pending_events, "pending events"),
            (status.unpersisted_events, config.unpersisted_events, "unpersisted events"),
            (status.pending_client_only, config.pending_client_only, "pending client-only events"),
            // None of them takes more than this many bytes.
            (status.pending_bytes / EVENT_BYTES, config.pending_bytes / EVENT_BYTES, "events' worth of pending bytes"),
        ];
        match over.into_iter().find(|&(count, max, _)| count > max + one * sessions) {
            Some((count, max, what)) => Err(Violation::new("V5", format!("{count} {what}, the limit is {max}: {status:?}"))),
            None => Ok(()),
        }
    }

    /// A free session's database is the leader's state and its own pending commits on top.
    fn check_sessions(&self, c: usize) -> Result<(), Violation> {
        let client = &self.clients[c];
        let Some(node) = client.node() else { return Ok(()) };
        let Some(stored) = client.disk.states.get(&client.told) else { return Ok(()) };
        let current = client.told == client.disk.number;
        for (&id, local) in &client.sessions {
            let free = local.seeded && local.lane.is_empty() && local.prepared.is_none() && !local.dead && node.is_ready(id);
            if !free || !current {
                continue;
            }
            let mut expected: State = stored.clone();
            for commit in self.model.of_session(id) {
                let waits = |own: &countersign_core::OwnEvent| !client.disk.holds(&own.id);
                if commit.leader == Stage::Open && commit.events.iter().all(waits) {
                    // One that can't be applied any more is left out.
                    let _ = expected.apply_commit(commit.guard(), commit.events.iter().map(|own| own.event.as_ref()));
                }
            }
            if expected != local.db.state {
                let what = format!("session {id} has {:?}, at txn {} it should have {expected:?}", local.db.state, client.told);
                return Err(Violation::new("S3", what));
            }
        }
        Ok(())
    }

    /// Plays the life of a process again, for some.
    pub(crate) fn replay(&mut self, c: usize) -> Result<(), Violation> {
        let every = self.choices.between(1, 5) as usize;
        let client = &self.clients[c];
        client.process.as_ref().map_or(Ok(()), |process| process.replay(&client.config, every))
    }

    /// Faults stop: everything has to come to rest, everything has to be known.
    pub(crate) fn liveness(&mut self) -> Result<(), Violation> {
        self.transcript.line(self.now, "", || "FAULTS STOP".into());
        self.suffer()?;
        self.come_to_rest()?;
        self.fresh_commits()?;
        self.rest()?;
        self.check_rest()?;
        self.model.check_fresh(&self.clients)?;
        for c in 0..self.clients.len() {
            self.replay(c)?;
        }
        Ok(())
    }

    /// Faults stop, and everything comes to rest.
    pub(super) fn come_to_rest(&mut self) -> Result<(), Violation> {
        self.choices.begin(Step::Rest);
        self.heal()?;
        self.rest()?;
        self.check_rest()
    }

    pub(super) fn heal(&mut self) -> Result<(), Violation> {
        self.healed = true;
        self.swarm = self.swarm.healed();
        self.backend.shown = self.backend.head();
        self.wake_pulls();
        self.backend.sticky = false;
        self.backend.moody = false;
        self.queue.retain(|_, event| !matches!(event, Event::User));
        for c in 0..self.clients.len() {
            let trouble = self.clients[c].node().and_then(|node| node.status().storage);
            if trouble.is_some_and(|trouble| trouble.class == StorageClass::Corrupt) {
                self.crash(c)?;
            }
            self.boot(c)?;
            self.clients[c].link = true;
            let client = &mut self.clients[c];
            (client.disk_full, client.authorised, client.deaf, client.slow_disk) = (false, true, false, false);
            self.news(c);
            self.input(c, Input::Online)?;
            self.input(c, Input::Authenticated)?;
        }
        Ok(())
    }

    /// Goes on until nothing is left to happen. Users decide what is theirs to decide.
    fn rest(&mut self) -> Result<(), Violation> {
        let end = Time(self.now.0 + REST);
        let most = self.inputs + BUSY;
        let mut tend = self.now.0 + TEND;
        loop {
            match self.next_at() {
                Some(at) if at.0 < tend => {
                    if let Some(event) = self.next() {
                        self.dispatch(event)?;
                    }
                }
                Some(_) => {
                    self.now = Time(tend);
                    tend += TEND;
                    self.tend(None)?;
                }
                None => {
                    if !self.tend(None)? && self.next_at().is_none() {
                        return Ok(());
                    }
                    tend = self.now.0 + TEND;
                }
            }
            if self.inputs > most {
                return Err(Violation::new("V4", format!("{BUSY} inputs, and no rest")));
            }
            if self.now > end {
                let status: Vec<Status> = self.clients.iter().filter_map(|c| c.node().map(|node| node.status())).collect();
                return Err(Violation::new("V1", format!("no rest after {} s: {status:#?}", REST / 1_000_000)));
            }
        }
    }

    /// Looks after what only a user can look after; tells whether there was anything.
    pub(super) fn tend(&mut self, spared: Option<usize>) -> Result<bool, Violation> {
        let mut any = false;
        for c in 0..self.clients.len() {
            let Some(status) = self.clients[c].node().map(|node| node.status()) else { continue };
            if let SyncState::BackendIdMismatch { .. } = status.sync {
                any = true;
                self.news(c);
                self.input(c, Input::Decide { decision: IdentityPolicy::Reset })?;
            }
            if let SyncState::NeedsAuth { .. } = status.sync
                && spared != Some(c)
            {
                any = true;
                self.credentials(c)?;
            }
            if let Some((commit, _)) = status.stuck {
                any = true;
                self.withdraw(c, commit)?;
            }
            // A session that answers nothing can't be waited for: what it has admitted goes on once it is closed.
            let dead = self.clients[c].sessions.iter().find(|(_, local)| local.dead).map(|(&id, _)| id);
            if let Some(id) = dead
                && self.now >= self.barren_since(c)
                && spared != Some(c)
            {
                any = true;
                self.close_session(c, id)?;
            }
        }
        Ok(any)
    }

    fn check_rest(&mut self) -> Result<(), Violation> {
        let shifted = self.backend.incarnations.len() > 1;
        for client in &self.clients {
            let Some(node) = client.node() else { continue };
            let status = node.status();
            if !status.drained || status.pending_events + status.pending_client_only + status.unpersisted_events > 0 {
                return Err(Violation::new("V1", format!("at rest with something to do: {status:#?}")));
            }
            if client.config.backend && status.sync != SyncState::Synced {
                return Err(Violation::new("V1", format!("at rest and not synced: {status:#?}")));
            }
            if status.sessions_closed > 0 {
                return Err(Violation::new("V5", format!("at rest with closed sessions: {status:#?}")));
            }
            client.disk.check_replay()?;
            client.disk.check_history(0, &self.backend)?;
            if client.config.backend && client.disk.heads.upstream != self.backend.head() {
                let (here, there) = (client.disk.heads.upstream, self.backend.head());
                return Err(Violation::new("S4", format!("{} ends at e{here}, the backend at e{there}", client.name)));
            }
            if client.config.backend && client.disk.state.synced != self.clients[0].disk.state.synced {
                return Err(Violation::new("S4", format!("{} has another state than {}", client.name, self.clients[0].name)));
            }
            for (id, local) in &client.sessions {
                if client.config.backend && !local.dead && node.applied(*id) != Some(self.backend.head()) {
                    let (here, there) = (node.applied(*id), self.backend.head());
                    return Err(Violation::new(
                        "S3",
                        format!("at rest, session {id} has up to {here:?}, and the backend e{there}"),
                    ));
                }
                if local.seeded && !local.dead && local.db.state != client.disk.state {
                    return Err(Violation::new("S3", format!("at rest, session {id} has another state than its leader")));
                }
            }
        }
        self.model.check_rest(&self.clients, &self.backend, shifted)
    }

    fn fresh_commits(&mut self) -> Result<(), Violation> {
        for c in 0..self.clients.len() {
            if self.clients[c].closing {
                continue;
            }
            let id = self.open_session(c)?;
            while self.clients[c].node().is_some_and(|node| !node.is_ready(id)) {
                let Some(event) = self.next() else { break };
                self.dispatch(event)?;
            }
            self.model.fresh = self.model.len();
            self.commit(c, id, vec![state::event("v1.Append", 0, 7, false)])?;
            self.model.expect_fresh(c, id)?;
        }
        Ok(())
    }
}
