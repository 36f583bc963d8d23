//! What goes into the machines of a world, and what comes out of them.

use countersign_core::{Effect, EffectId, Input, Notice, Output, Reason, StuckPolicy, Time};

use super::client::{Client, Process, PullLane};
use super::{Event, Violation, World, transcript, variants};

impl World {
    /// Hands an input to a client's machine, and takes what it says.
    pub(crate) fn input(&mut self, c: usize, input: Input) -> Result<(), Violation> {
        let now = self.clock(&input);
        if let Some(mark) = variants::answer(&input) {
            self.reach.mark(mark);
        }
        let name = self.clients[c].name.clone();
        self.transcript.line(now, &name, || transcript::input(&input));
        let client = &mut self.clients[c];
        client.heard.said(self.now, &input);
        client.heard.turned |= now < self.now;
        if let Some(process) = &mut client.process {
            process.record(now, &input);
            process.node.handle(now, input);
        }
        self.after(c)
    }

    /// The time that a machine is told: some clocks go back now and then.
    fn clock(&mut self, input: &Input) -> Time {
        let goes_back = self.swarm.clock_back > 0 && !matches!(input, Input::Timer) && self.choices.chance(self.swarm.clock_back);
        if !goes_back {
            return self.now;
        }
        self.reach.mark("the clock goes back");
        Time(self.now.0.saturating_sub(self.choices.below(60_000_000)))
    }

    /// Takes what a client's machine says, and checks it.
    pub(crate) fn after(&mut self, c: usize) -> Result<(), Violation> {
        self.inputs += 1;
        let client = &mut self.clients[c];
        client.heard.tick(self.now, &client.config);
        let Some(process) = &mut client.process else { return Ok(()) };
        let outputs = process.drain();
        let holds = process.node.check();
        self.trace.add(&(self.now.0, c, self.clients[c].process.as_ref().map(Process::trace)));
        for output in outputs {
            let name = self.clients[c].name.clone();
            self.transcript.line(self.now, &name, || transcript::output(&output));
            self.output(c, output)?;
        }
        if let Err(what) = holds {
            return Err(Violation::new("check", what));
        }
        self.check_deadline(c)?;
        self.set_timer(c);
        self.check_step(c)
    }

    fn output(&mut self, c: usize, output: Output) -> Result<(), Violation> {
        match output {
            Output::Effect { id, effect } => self.effect(c, id, effect),
            Output::Resolve(resolution) => self.model.resolved(&resolution, &self.clients[c], &self.backend, &mut self.reach),
            Output::Notify(notice) => {
                self.noticed(c, &notice);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn noticed(&mut self, c: usize, notice: &Notice) {
        if let Some(mark) = variants::notice(notice) {
            self.reach.mark(mark);
        }
        self.clients[c].heard.shaken |= matches!(notice, Notice::BackendIdMismatch { .. });
        if let Notice::BackendIdMismatch { expected, received } = notice
            && *expected != *received
            && !received.starts_with('b')
        {
            self.reach.mark("truncation noticed");
        }
    }

    fn effect(&mut self, c: usize, id: EffectId, effect: Effect) -> Result<(), Violation> {
        if let Some(job) = Client::job(&effect) {
            self.clients[c].storage.push_back((id, job));
            self.start_storage(c);
            return Ok(());
        }
        match effect {
            Effect::Session { session, txn } => {
                if let Some(local) = self.clients[c].sessions.get_mut(&session) {
                    local.lane.push_back((id, txn));
                }
                self.start_session(c, session);
                Ok(())
            }
            Effect::Push(push) => self.send_push(c, id, push),
            Effect::Pull(pull) => {
                self.clients[c].pull = Some(PullLane { effect: id, pull, parked: false });
                self.send_pull(c, id)
            }
            Effect::Abandon { pull } => {
                self.abandon(c, pull);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// No retry waits for longer than the longest wait, and no policy for longer than it says.
    fn check_deadline(&self, c: usize) -> Result<(), Violation> {
        let client = &self.clients[c];
        let Some((at, reason)) = client.process.as_ref().and_then(|process| process.deadline) else { return Ok(()) };
        let longest = match reason {
            Reason::OfflineDeadline => client.config.offline.deadline,
            Reason::StuckPolicy => match client.config.stuck {
                StuckPolicy::WithdrawAfter(after) => Some(after),
                _ => None,
            },
            _ => Some(client.config.backoff_max),
        };
        if longest.is_none_or(|longest| at.since(self.now) > longest) {
            return Err(Violation::new("V4", format!("at {} the machine waits until {at} for {reason:?}", self.now)));
        }
        Ok(())
    }

    fn set_timer(&mut self, c: usize) {
        let Some(process) = &self.clients[c].process else { return };
        let at = process.deadline.map(|(at, _)| at);
        if at == self.clients[c].timer {
            return;
        }
        self.clients[c].timer = at;
        if let Some(at) = at {
            let late = if self.choices.chance(self.swarm.noise) { self.choices.below(3_000_000) } else { 0 };
            let life = self.clients[c].life;
            self.schedule(at.0.saturating_sub(self.now.0) + late, Event::Timer(c, life, at));
        }
    }

    pub(super) fn timer(&mut self, c: usize, at: Time) -> Result<(), Violation> {
        if self.clients[c].timer != Some(at) {
            return Ok(());
        }
        self.clients[c].timer = None;
        let due = self.clients[c].process.as_ref().and_then(|process| process.deadline);
        if let Some(mark) = due.and_then(|(_, reason)| variants::reason(reason)) {
            self.reach.mark(mark);
        }
        self.input(c, Input::Timer)?;
        let deadline = self.clients[c].process.as_ref().and_then(|process| process.deadline);
        match deadline {
            Some((at, reason)) if at <= self.now => {
                Err(Violation::new("V4", format!("after its timer the machine wants to be woken at {at} for {reason:?}")))
            }
            _ => Ok(()),
        }
    }
}
