//! The lives of processes: they start from their file, are killed or closed, and may find another file than they left.

use countersign_core::Input;

use super::client::{Job, Process};
use super::heard::Heard;
use super::{Event, Violation, World};

impl World {
    pub(crate) fn boot(&mut self, c: usize) -> Result<(), Violation> {
        if self.clients[c].process.is_some() {
            return Ok(());
        }
        let client = &mut self.clients[c];
        client.disk.check_replay()?;
        let seed = self.seed.wrapping_mul(31).wrapping_add(u64::from(client.life)).wrapping_add(c as u64);
        let boot = client.disk.boot(&client.name);
        let name = client.name.clone();
        self.transcript.line(self.now, &name, || format!("boots at txn {}, {} pending", boot.number, boot.pending.len()));
        client.process = Some(Process::start(&client.config, boot, seed, self.replays)?);
        client.told = client.disk.number;
        client.heard = Heard::begin(client.disk.heads.upstream);
        self.news(c);
        self.model.booted(c, &self.clients[c], &mut self.reach)?;
        self.after(c)?;
        for _ in 0..self.swarm.sessions {
            self.open_session(c)?;
        }
        Ok(())
    }

    pub(crate) fn crash(&mut self, c: usize) -> Result<(), Violation> {
        if self.clients[c].process.is_none() {
            return Ok(());
        }
        let name = self.clients[c].name.clone();
        self.transcript.line(self.now, &name, || "KILLED".into());
        // What storage was in the middle of may still be done, or not.
        if self.clients[c].storage_busy && self.choices.chance(300) {
            let job = self.clients[c].storage.front().cloned();
            if let Some((_, Job::Materialise(txn))) = job {
                let client = &mut self.clients[c];
                if !client.disk_full {
                    client.disk.run(&txn, &self.backend)?;
                    self.reach.mark("crash between commit and answer");
                }
            }
        }
        self.end(c)
    }

    /// The process is gone, and another one starts a while later.
    fn end(&mut self, c: usize) -> Result<(), Violation> {
        self.replay(c)?;
        self.clients[c].kill();
        self.model.killed(c, &self.clients[c], &self.backend, &mut self.reach)?;
        let after = 1_000 + self.choices.below(3_000_000);
        self.schedule(after, Event::Boot(c));
        Ok(())
    }

    /// Somebody copies a client's file; or kills the client, and puts the copy in the place of its file.
    pub(super) fn copy_file(&mut self, c: usize) -> Result<(), Violation> {
        let name = self.clients[c].name.clone();
        let Some(copy) = self.clients[c].copy.take() else {
            self.transcript.line(self.now, &name, || "the file is copied".into());
            self.clients[c].copy = Some(Box::new(self.clients[c].disk.clone()));
            return Ok(());
        };
        self.crash(c)?;
        let number = copy.number;
        self.transcript.line(self.now, &name, || format!("the file is the copy of it that ends at txn {number}"));
        self.clients[c].disk = *copy;
        self.clients[c].disk.unsettled = None;
        self.reach.mark("a file is an older copy");
        self.model.set_back(c, &self.clients[c], &self.backend)
    }

    pub(crate) fn close(&mut self, c: usize) -> Result<(), Violation> {
        for id in self.clients[c].sessions.keys().copied().collect::<Vec<_>>() {
            self.close_session(c, id)?;
        }
        self.clients[c].closing = true;
        self.input(c, Input::Shutdown)?;
        let life = self.clients[c].life;
        self.schedule(100_000, Event::CloseDone(c, life));
        Ok(())
    }

    /// The process ends once everything is stored.
    pub(crate) fn close_done(&mut self, c: usize) -> Result<(), Violation> {
        let drained = self.clients[c].node().is_some_and(|node| node.status().drained);
        if !drained {
            let life = self.clients[c].life;
            self.schedule(500_000, Event::CloseDone(c, life));
            return Ok(());
        }
        let name = self.clients[c].name.clone();
        self.transcript.line(self.now, &name, || "CLOSED".into());
        self.model.closed(c, &self.clients[c])?;
        self.end(c)
    }
}
