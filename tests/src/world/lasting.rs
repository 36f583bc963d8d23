//! A fault that does not go: the first client has it for as long as it takes, and nobody else may suffer from it.

use countersign_core::Input;

use super::finish::{BUSY, REST, TEND};
use super::swarm::Lasting;
use super::{Step, Time, Violation, World, state};

/// How long it lasts at least, in microseconds.
const LONG: u64 = 120_000_000;

impl World {
    /// All faults stop but one, which lasts. What does not depend on it has to go on.
    pub(super) fn suffer(&mut self) -> Result<(), Violation> {
        let lasting = self.swarm.lasting;
        let Some(mark) = lasting.mark() else { return Ok(()) };
        self.choices.begin(Step::Rest);
        self.heal()?;
        self.transcript.line(self.now, "", || format!("EVERYTHING HEALS BUT ONE THING: {lasting:?}"));
        self.begin_suffering(lasting)?;
        for c in 0..self.clients.len() {
            let session = self.clients[c].sessions.iter().find(|(_, local)| !local.dead).map(|(&id, _)| id);
            if let Some(id) = session {
                self.commit(c, id, vec![state::event("v1.Append", 0, 5, false)])?;
            }
        }
        let (begin, most) = (self.now, self.inputs + BUSY);
        let mut tend = self.now.0 + TEND;
        loop {
            let left = self.model.waits_in_spite_of(lasting, &self.clients);
            let over = self.now.0 > begin.0 + REST;
            match left {
                None if self.now.0 > begin.0 + LONG => break,
                Some(commit) if over => {
                    return Err(Violation::new("V2", format!("{commit} waits for ever, because of {lasting:?} elsewhere")));
                }
                _ => {}
            }
            if self.inputs > most {
                return Err(Violation::new("V4", format!("{BUSY} inputs while {lasting:?} lasts")));
            }
            match self.next_at().filter(|at| at.0 < tend) {
                Some(_) => {
                    if let Some(event) = self.next() {
                        self.dispatch(event)?;
                    }
                }
                None => {
                    self.now = Time(tend);
                    tend += TEND;
                    self.tend(Some(0))?;
                }
            }
        }
        self.reach.mark(mark);
        Ok(())
    }

    fn begin_suffering(&mut self, lasting: Lasting) -> Result<(), Violation> {
        match lasting {
            Lasting::Nothing => {}
            Lasting::DeadSession => {
                if let Some(&id) = self.clients[0].sessions.keys().next() {
                    self.die(0, id);
                }
            }
            Lasting::Offline => {
                self.clients[0].link = false;
                self.input(0, Input::Offline)?;
            }
            Lasting::Deaf => self.clients[0].deaf = true,
            Lasting::DiskFull => self.clients[0].disk_full = true,
            Lasting::SlowDisk => self.clients[0].slow_disk = true,
            Lasting::Unauthorised => self.clients[0].authorised = false,
        }
        Ok(())
    }
}
