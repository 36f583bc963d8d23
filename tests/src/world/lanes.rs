//! The storage lane and the sessions' lanes.

use countersign_core::{Input, Materialised, SessionApplied, SessionId, StorageClass, StorageFailure};

use super::client::Job;
use super::database::Database;
use super::{Event, Violation, World};

/// How long a slow disk takes for anything, in microseconds.
const SLOW_DISK: u64 = 3_000_000;

impl World {
    pub(crate) fn start_storage(&mut self, c: usize) {
        let client = &mut self.clients[c];
        if client.storage_busy || client.storage.is_empty() {
            return;
        }
        client.storage_busy = true;
        let life = client.life;
        let slow = client.slow_disk;
        let after = 50 + self.choices.below(self.swarm.disk_delay) + if slow { SLOW_DISK } else { 0 };
        self.schedule(after, Event::Storage(c, life));
    }

    pub(crate) fn run_storage(&mut self, c: usize) -> Result<(), Violation> {
        self.clients[c].storage_busy = false;
        let Some((id, job)) = self.clients[c].storage.pop_front() else { return Ok(()) };
        let answer = match job {
            Job::Materialise(txn) => {
                let is_next = txn.number == self.clients[c].told + 1;
                let outcome = self.materialise(c, &txn)?;
                if self.choices.chance(self.swarm.crash) && self.choices.chance(100) {
                    if matches!(outcome, Materialised::Committed { .. }) {
                        self.reach.mark("crash between commit and answer");
                    }
                    return self.crash(c);
                }
                if matches!(outcome, Materialised::Committed { .. }) {
                    self.clients[c].told = txn.number;
                }
                self.clients[c].heard.stored(self.now, is_next, &outcome)?;
                Input::Materialised { id, outcome }
            }
            Job::Snapshot(session) => {
                let fails = self.choices.chance(self.swarm.snapshot_fails);
                let client = &mut self.clients[c];
                let Some(local) = client.sessions.get_mut(&session) else {
                    self.start_storage(c);
                    return Ok(());
                };
                if local.dead {
                    // Not even its seeding is answered.
                    self.start_storage(c);
                    return Ok(());
                }
                local.seeded = !fails;
                if !fails {
                    local.db = Database::seeded(&client.disk);
                    local.lane.clear();
                }
                Input::Seeded { id, seed: (!fails).then(|| client.disk.seed()) }
            }
        };
        self.remember(c, &answer);
        self.start_storage(c);
        self.input(c, answer)
    }

    fn materialise(&mut self, c: usize, txn: &std::sync::Arc<countersign_core::Txn>) -> Result<Materialised, Violation> {
        let failure = |class, message: &str| StorageFailure { class, message: message.into() };
        if self.clients[c].disk_full {
            return Ok(Materialised::Failed(failure(StorageClass::Full, "database or disk is full")));
        }
        if self.clients[c].disk.unsettled.is_some_and(|number| number != txn.number) {
            return Ok(Materialised::Stale);
        }
        if self.choices.chance(self.swarm.disk_fails) {
            let classes = [StorageClass::Io, StorageClass::Busy, StorageClass::Memory, StorageClass::Other];
            let class = classes[self.choices.index(classes.len())];
            if self.choices.chance(10) {
                // A bad cable, perhaps: somebody looks after it, and the file is as it was.
                let (after, life) = (self.choices.between(1_000, 60_000_000), self.clients[c].life);
                self.schedule(after, Event::Restart(c, life));
                return Ok(Materialised::Failed(failure(StorageClass::Corrupt, "database disk image is malformed")));
            }
            return Ok(Materialised::Failed(failure(class, "disk I/O error")));
        }
        // Only a COMMIT has an unknown outcome, and a transaction that stands on another number does not get that far.
        let number = self.clients[c].disk.number;
        let commits = txn.number == number || txn.number == number + 1;
        let unknown = commits && self.choices.chance(self.swarm.disk_unknown);
        self.clients[c].disk.unsettled = unknown.then_some(txn.number);
        if unknown && self.choices.chance(500) {
            return Ok(Materialised::UnknownOutcome(failure(StorageClass::Io, "disk I/O error at COMMIT")));
        }
        let client = &mut self.clients[c];
        let again = client.disk.number == txn.number;
        let outcome = client.disk.run(txn, &self.backend)?;
        match &outcome {
            Materialised::Committed { skipped } => {
                if again {
                    self.reach.mark("outcome of a transaction unknown, then committed");
                }
                for skip in skipped {
                    let confirmed = txn.append.iter().any(|entry| entry.seq.pos == skip.at && entry.is_accepted(&txn.heads));
                    self.reach.mark(if confirmed { "confirmed entry without effect" } else { "poison that is held" });
                }
                if txn.number.is_multiple_of(8) || txn.wipe {
                    client.disk.check_replay()?;
                }
                if unknown {
                    return Ok(Materialised::UnknownOutcome(failure(StorageClass::Io, "disk I/O error after COMMIT")));
                }
            }
            Materialised::Stale => {
                client.disk.unsettled = None;
                self.reach.mark("a queued transaction was stale");
            }
            Materialised::RolledBack { .. } => {
                client.disk.unsettled = None;
                self.reach.mark("poison");
            }
            _ => {}
        }
        Ok(outcome)
    }

    pub(crate) fn start_session(&mut self, c: usize, id: SessionId) {
        let life = self.clients[c].life;
        let Some(local) = self.clients[c].sessions.get_mut(&id) else { return };
        if local.dead || local.busy || local.lane.is_empty() {
            return;
        }
        local.busy = true;
        let after = 10 + self.choices.below(self.swarm.session_delay);
        self.schedule(after, Event::Session(c, life, id));
    }

    /// Does the next thing that is due in a session's lane.
    pub(crate) fn run_session(&mut self, c: usize, id: SessionId) -> Result<(), Violation> {
        let fails = self.choices.chance(self.swarm.session_fails);
        if self.swarm.dies > 0 && self.choices.chance(self.swarm.dies) {
            self.die(c, id);
            return Ok(());
        }
        let Some(local) = self.clients[c].sessions.get_mut(&id) else { return Ok(()) };
        local.busy = false;
        let Some((effect, txn)) = local.lane.pop_front() else { return Ok(()) };
        let outcome = if fails {
            local.seeded = false;
            SessionApplied::Failed { message: "out of memory".into() }
        } else {
            local.db.run(&txn).map_err(|what| Violation::new("S3", format!("session {id}: {what}")))?;
            SessionApplied::Done
        };
        self.start_session(c, id);
        let answer = Input::SessionApplied { id: effect, outcome };
        self.remember(c, &answer);
        self.input(c, answer)
    }

    /// A session answers nothing from now on, with whatever is on its way to it or from it.
    pub(crate) fn die(&mut self, c: usize, id: SessionId) {
        if let Some(local) = self.clients[c].sessions.get_mut(&id) {
            local.dead = true;
            self.transcript.line(self.now, "", || format!("session {id} answers nothing more"));
            let has_open = self.model.of_session(id).any(|commit| commit.leader == crate::model::Stage::Open);
            self.reach.mark(if has_open { "a session dies with a commit that is not stored" } else { "a session dies" });
        }
    }

    /// Keeps an answer, to be given a second time later.
    pub(crate) fn remember(&mut self, c: usize, answer: &Input) {
        if self.swarm.noise > 0 {
            let old = &mut self.clients[c].old_answers;
            if old.len() == 8 {
                old.pop_front();
            }
            old.push_back(answer.clone());
        }
    }
}
