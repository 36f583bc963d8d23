//! What users and operating systems do: commit, withdraw, open and close sessions, kill, pull the plug.

use countersign_core::{Batch, CommitError, CommitId, EffectId, Event as Said, IdentityPolicy, Input, SessionId, Time};

use super::client::Local;
use super::state::{self, CLIENT_ONLY, FORBIDDEN, GUARDS, STICKY, STUCK, SYNCED};
use super::{Event, Violation, World, variants};

impl World {
    /// One action, and the next one planned.
    pub(crate) fn user(&mut self) -> Result<(), Violation> {
        self.actions += 1;
        let after = 1 + self.choices.below(2 * self.swarm.pace);
        self.schedule(after, Event::User);
        let c = self.choices.index(self.clients.len());
        self.shift_backend(c)?;
        if self.clients[c].process.is_none() {
            return Ok(());
        }
        let swarm = self.swarm.clone();
        let life = self.clients[c].life;
        if self.choices.chance(swarm.crash) {
            return self.crash(c);
        }
        if self.choices.chance(swarm.close) {
            return self.close(c);
        }
        if swarm.older_copy > 0 && self.choices.chance(swarm.older_copy) {
            return self.copy_file(c);
        }
        if self.choices.chance(swarm.offline) && self.clients[c].link {
            self.clients[c].link = false;
            let after = self.choices.between(1_000, 90_000_000);
            self.schedule(after, Event::LinkUp(c));
            if self.choices.chance(500) {
                return self.input(c, Input::Offline);
            }
        }
        if swarm.deaf > 0 && self.choices.chance(swarm.deaf) && !self.clients[c].deaf {
            self.clients[c].deaf = true;
            let after = self.choices.between(1_000, 60_000_000);
            self.schedule(after, Event::Hears(c));
        }
        if self.choices.chance(swarm.offline_for_good) {
            self.input(c, Input::OfflineForGood)?;
        }
        if self.choices.chance(swarm.auth) && self.clients[c].authorised {
            self.clients[c].authorised = false;
            let after = self.choices.between(1_000, 60_000_000);
            self.schedule(after, Event::Credentials(c));
        }
        if self.choices.chance(swarm.disk_full) && !self.clients[c].disk_full {
            self.clients[c].disk_full = true;
            let after = self.choices.between(1_000, 60_000_000);
            self.schedule(after, Event::DiskFreed(c));
        }
        if self.choices.chance(swarm.churn) {
            self.churn(c)?;
        }
        if self.choices.chance(swarm.withdraw) {
            self.withdraw_any(c)?;
        }
        if self.choices.chance(swarm.decide) {
            self.news(c);
            let decision = [IdentityPolicy::Stop, IdentityPolicy::Reset, IdentityPolicy::Ignore][self.choices.index(3)];
            self.input(c, Input::Decide { decision })?;
        }
        if self.choices.chance(swarm.noise) {
            self.noise(c)?;
        }
        if self.clients[c].life == life {
            self.commit_any(c)?;
        }
        if self.choices.chance(swarm.suspend) {
            self.suspend();
        }
        Ok(())
    }

    /// Everything sleeps for hours, and what was planned meanwhile is late.
    fn suspend(&mut self) {
        self.now = Time(self.now.0 + self.choices.between(3_600_000_000, 86_400_000_000));
        self.transcript.line(self.now, "", || "after a long sleep".into());
        self.reach.mark("a day passes in between");
    }

    fn shift_backend(&mut self, c: usize) -> Result<(), Violation> {
        if self.choices.chance(self.swarm.moody) && !self.backend.moody {
            self.backend.moody = true;
            let after = self.choices.between(1_000, 60_000_000);
            self.schedule(after, Event::Calm);
        }
        if self.swarm.restart > 0 && self.choices.chance(self.swarm.restart) {
            self.restart_backend();
        }
        if self.swarm.others > 0 && self.choices.chance(self.swarm.others) {
            let (name, key) = (SYNCED[self.choices.index(SYNCED.len())], self.choices.below(self.swarm.keys));
            // No two are alike: else a log that ends in the same event could pass for the one that was lost.
            self.others(state::event(name, key, 2_000_000 + self.actions, false));
            self.reach.mark("another client's event");
        }
        let pending = self.clients[c].process.as_ref().is_some_and(|process| process.node.status().pending_events > 0);
        if self.choices.chance(self.swarm.reset) {
            self.reset_backend();
            if pending {
                self.reach.mark("reset while pending");
            }
        } else if self.choices.chance(self.swarm.truncate) && self.backend.head() > 0 {
            let to = self.choices.below(self.backend.head());
            self.restore_backup(to);
        }
        Ok(())
    }

    /// Another, empty backend from now on.
    pub(crate) fn reset_backend(&mut self) {
        self.backend.reset();
        self.transcript.line(self.now, "BE", || "is another one from now on".into());
        self.wake_pulls();
    }

    /// A client that is not in this world has an event accepted.
    pub(crate) fn others(&mut self, event: Said) {
        self.backend.others(event);
        let head = self.backend.head();
        self.transcript.line(self.now, "BE", || format!("takes another client's event as e{head}"));
        self.grown();
    }

    /// A backup of the backend is restored: the log ends here.
    pub(crate) fn restore_backup(&mut self, to: u64) {
        self.backend.truncate(to);
        // Nobody restores a backup under a running server: what is on its way is lost.
        self.queue.retain(|_, event| !matches!(event, Event::PushArrives(..)));
        self.transcript.line(self.now, "BE", || format!("is a restored backup that ends at e{to}"));
        self.wake_pulls();
    }

    fn churn(&mut self, c: usize) -> Result<(), Violation> {
        let open: Vec<SessionId> = self.clients[c].sessions.keys().copied().collect();
        if open.len() > 1 && self.choices.chance(500) {
            let id = open[self.choices.index(open.len())];
            self.close_session(c, id)?;
        } else if open.len() < 4 {
            self.open_session(c)?;
        }
        Ok(())
    }

    pub(crate) fn open_session(&mut self, c: usize) -> Result<SessionId, Violation> {
        self.sessions += 1;
        let mut bytes = [0; 16];
        bytes[7] = c as u8 + 1;
        bytes[8..].copy_from_slice(&self.sessions.to_be_bytes());
        let id = SessionId(bytes);
        let name = format!("{}{}", self.clients[c].name, self.sessions);
        self.transcript.name(id, name);
        let dead = !self.healed && self.swarm.dead_session && self.choices.chance(300);
        self.clients[c].sessions.insert(id, Local { dead, ..Local::default() });
        self.input(c, Input::SessionOpened { session: id })?;
        Ok(id)
    }

    pub(crate) fn close_session(&mut self, c: usize, id: SessionId) -> Result<(), Violation> {
        if self.clients[c].sessions.get(&id).is_some_and(|local| local.prepared.is_some()) {
            self.finish_commit(c, id)?;
        }
        self.clients[c].sessions.remove(&id);
        self.input(c, Input::SessionClosed { session: id })
    }

    fn withdraw_any(&mut self, c: usize) -> Result<(), Violation> {
        // Also what is done with, where a copy of the file may have brought some of it back.
        let settled = self.swarm.older_copy > 0 && self.choices.chance(300);
        let commit = if settled { self.model.any(c, &mut self.choices) } else { self.model.any_open(c, &mut self.choices) };
        commit.map_or(Ok(()), |commit| self.withdraw(c, commit))
    }

    pub(crate) fn withdraw(&mut self, c: usize, commit: CommitId) -> Result<(), Violation> {
        self.model.withdrawing(commit);
        self.news(c);
        self.input(c, Input::Withdraw { commit })
    }

    fn noise(&mut self, c: usize) -> Result<(), Violation> {
        let input = match self.choices.below(9) {
            0 => Input::PushOk { id: EffectId(1_000_000 + self.choices.below(9)) },
            1 => Input::Timer,
            2 => Input::Seeded { id: EffectId(0), seed: None },
            4 => return self.unwelcome(c, 1, 6_000),
            5 => return self.unwelcome(c, 120, 10),
            6 => return self.prepare(c, SessionId([0xee; 16]), &vec![state::event("v1.Append", 0, 0, false)].into()).map(drop),
            7 => return self.impatient(c),
            8 => {
                self.news(c);
                Input::Refresh
            }
            _ => {
                let old = &self.clients[c].old_answers;
                let Some(answer) = old.get(self.choices.index(old.len())).cloned() else { return Ok(()) };
                answer
            }
        };
        self.input(c, input)
    }

    /// A commit in the middle of another one, or of what the session has to do first.
    fn impatient(&mut self, c: usize) -> Result<(), Violation> {
        let busy = |local: &Local| local.prepared.is_some() || !local.lane.is_empty();
        let Some((&id, _)) = self.clients[c].sessions.iter().find(|(_, local)| busy(local)) else { return Ok(()) };
        let is_prepared = self.clients[c].sessions.get(&id).is_some_and(|local| local.prepared.is_some());
        match self.prepare(c, id, &vec![state::event("v1.Append", 0, 0, false)].into())? {
            Ok(()) if is_prepared => {
                Err(Violation::new("V2", format!("session {id} takes a commit in the middle of another one")))
            }
            // What is due there may not concern it yet.
            Ok(()) => self.finish_commit(c, id),
            Err(CommitError::SessionBusy) if !is_prepared => self.give_up(c, id),
            Err(_) => Ok(()),
        }
    }

    /// Whoever had to wait for the session wants to commit nothing any more.
    fn give_up(&mut self, c: usize, session: SessionId) -> Result<(), Violation> {
        let now = self.now;
        let Some(process) = &mut self.clients[c].process else { return Ok(()) };
        process.record(now, &Input::Finish { session, applied: false });
        if process.node.finish(now, session, false).is_some() {
            return Err(Violation::new("V2", format!("session {session} finishes a commit that was not prepared")));
        }
        self.after(c)
    }

    /// A commit that is too large: so many events, of so many bytes.
    fn unwelcome(&mut self, c: usize, events: usize, bytes: usize) -> Result<(), Violation> {
        let Some(&id) = self.clients[c].sessions.keys().next() else { return Ok(()) };
        let event = Said { name: "v1.Append".into(), args: format!("\"{}\"", "x".repeat(bytes)).into(), client_only: false };
        match self.prepare(c, id, &vec![event; events].into())? {
            Ok(()) => Err(Violation::new("V5", format!("a commit of {events} events with {bytes} bytes each is taken"))),
            Err(_) => Ok(()),
        }
    }

    // Commits.

    fn commit_any(&mut self, c: usize) -> Result<(), Violation> {
        let open: Vec<SessionId> = self.clients[c].sessions.keys().copied().collect();
        let Some(&id) = open.get(self.choices.index(open.len())) else { return Ok(()) };
        let events = self.some_events();
        let guarded = self.swarm.guarded > 0 && self.choices.chance(self.swarm.guarded);
        let guard = guarded.then(|| state::guard(GUARDS[self.choices.index(2)], self.choices.below(self.swarm.keys)));
        self.commit(c, id, Batch { events, guard })
    }

    fn some_events(&mut self) -> Vec<Said> {
        let swarm = &self.swarm;
        let c = &mut self.choices;
        let big = c.chance(swarm.big_commit);
        let count = if big { c.between(20, 60) } else { c.below(swarm.commit_events + 1) };
        // Of many events some would hardly ever apply: a large commit has only those that always do.
        let kinds = if big { 2 } else { 4 };
        let client_only = c.chance(150);
        let one = |_| {
            let (key, value) = (c.below(swarm.keys), c.below(swarm.values));
            if client_only || c.chance(100) {
                return state::event(CLIENT_ONLY[c.index(kinds / 2)], key, value, true);
            }
            let name = if c.chance(swarm.forbidden) {
                FORBIDDEN
            } else if c.chance(swarm.stuck) {
                STUCK
            } else if c.chance(swarm.sticky) {
                STICKY
            } else {
                SYNCED[c.index(kinds)]
            };
            state::event(name, key, value, false)
        };
        let mut events: Vec<Said> = (0..count).map(one).collect();
        if big && swarm.forbidden > 0 && c.chance(500) {
            // A commit that is split, and refused after its first part was taken.
            events.retain(|event| *event.name != *FORBIDDEN);
            events.push(state::event(FORBIDDEN, 0, 0, false));
        }
        events
    }

    pub(crate) fn commit(&mut self, c: usize, id: SessionId, batch: impl Into<Batch>) -> Result<(), Violation> {
        let batch = batch.into();
        self.news(c);
        if self.clients[c].sessions.get(&id).is_some_and(|local| local.prepared.is_some()) {
            self.finish_commit(c, id)?;
        }
        // Whoever holds the session's lock first does what is due there.
        for _ in 0..100 {
            let Some(local) = self.clients[c].sessions.get(&id) else { return Ok(()) };
            if local.dead || local.lane.is_empty() {
                break;
            }
            self.run_session(c, id)?;
        }
        let mut prepared = self.prepare(c, id, &batch)?;
        if matches!(prepared, Err(CommitError::SessionBusy)) {
            while self.clients[c].sessions.get(&id).is_some_and(|local| !local.dead && !local.lane.is_empty()) {
                self.run_session(c, id)?;
            }
            prepared = self.prepare(c, id, &batch)?;
            let local = self.clients[c].sessions.get(&id);
            if matches!(prepared, Err(CommitError::SessionBusy)) && local.is_some_and(|local| !local.dead) {
                return Err(Violation::new("V2", format!("session {id} is busy twice, with nothing to do")));
            }
        }
        match prepared {
            Ok(()) => {
                if self.choices.chance(self.swarm.slow_commit) {
                    let (after, life) = (self.choices.below(50_000), self.clients[c].life);
                    self.schedule(after, Event::Finish(c, life, id));
                    return Ok(());
                }
                self.finish_commit(c, id)
            }
            Err(CommitError::Full { .. }) => {
                self.reach.mark("queue full, commit refused");
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    fn prepare(&mut self, c: usize, id: SessionId, batch: &Batch) -> Result<Result<(), CommitError>, Violation> {
        let now = self.now;
        let name = self.clients[c].name.clone();
        let Batch { events, guard } = batch.clone();
        let input = Input::Prepare { session: id, events, guard };
        let Some(process) = &mut self.clients[c].process else { return Ok(Err(CommitError::SessionClosed)) };
        process.record(now, &input);
        let answer = process.node.prepare(now, id, batch.clone());
        self.transcript.line(now, &name, || {
            let outcome = answer.as_ref().map_or_else(ToString::to_string, |prepared| prepared.id.to_string());
            format!("{} -> {outcome}", super::transcript::input(&input))
        });
        let answer = match answer {
            Ok(prepared) => {
                if let Some(local) = self.clients[c].sessions.get_mut(&id) {
                    local.prepared = Some(prepared);
                }
                Ok(())
            }
            Err(error) => {
                if let Some(mark) = variants::commit_error(&error) {
                    self.reach.mark(mark);
                }
                Err(error)
            }
        };
        self.after(c)?;
        Ok(answer)
    }

    pub(crate) fn finish_commit(&mut self, c: usize, id: SessionId) -> Result<(), Violation> {
        let now = self.now;
        let Some(local) = self.clients[c].sessions.get_mut(&id) else { return Ok(()) };
        let Some(prepared) = local.prepared.take() else { return Ok(()) };
        if prepared.guard.as_ref().is_some_and(|guard| local.db.state.check(guard).is_err()) {
            self.reach.mark("guard does not hold, commit refused");
        }
        let applied = local.db.commit(&prepared);
        if applied {
            self.model.admitted(c, &prepared);
            self.clients[c].heard.made(now, prepared.id);
        }
        let name = self.clients[c].name.clone();
        self.transcript.line(now, &name, || format!("< finish {id} {applied}"));
        if let Some(process) = &mut self.clients[c].process {
            process.record(now, &Input::Finish { session: id, applied });
            if process.node.finish(now, id, applied) != Some(prepared.id) {
                return Err(Violation::new("V2", format!("{} was prepared and can't be finished", prepared.id)));
            }
        }
        self.after(c)
    }
}
