//! The simulated world: clients with sessions, one backend, disks, a network and a clock; one thread, one seed.
//!
//! A run has two parts: first users act while everything fails that this world lets fail; then faults stop, and the world has
//! to come to rest. What must hold is checked after every step. The same seed gives the same run.

pub(crate) mod backend;
mod choices;
pub(crate) mod client;
mod database;
mod disk;
mod finish;
pub(crate) mod heard;
mod lanes;
mod lasting;
mod network;
mod reach;
mod soak;
pub(crate) mod state;
pub(crate) mod sum;
pub(crate) mod swarm;
mod trace;
mod transcript;
mod user;
mod variants;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hasher as _;

use countersign_core::{Boot, Effect, EffectId, Input, Output, Page, Push, Reason, SessionId, StuckPolicy, Time};

use crate::model::Model;
use backend::Backend;
pub use choices::Choices;
use client::{Client, Process, PullLane};
pub(crate) use disk::Disk;
pub use reach::{MARKS, Reach};
pub use soak::Soaked;
pub(crate) use sum::Sum;
use swarm::Swarm;
pub use trace::{Step, Taken, Trace, TraceError};
use transcript::Transcript;

#[cfg(feature = "mutants")]
pub use countersign_core::Mutant;

/// A bug that can be put back into a machine: none, in a build without the feature `mutants`.
#[cfg(not(feature = "mutants"))]
#[derive(Clone, Copy, Debug)]
pub enum Mutant {}

/// What does not hold, and by which invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant.
    pub id: &'static str,
    /// What was found.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(id: &'static str, what: impl Into<String>) -> Self {
        Self { id, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.what)
    }
}

/// When something is going to happen: a moment, its place among what happens then, and the order in which it was planned.
pub(crate) type Place = (Time, u64, u64);

/// Something that is going to happen. `u32` is the life of the process that it belongs to.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Event {
    User,
    Storage(usize, u32),
    Session(usize, u32, SessionId),
    Finish(usize, u32, SessionId),
    PushArrives(usize, u32, EffectId, Push),
    PushReply(usize, u32, EffectId, Option<Box<countersign_core::BackendFailure>>),
    PullServed(usize, u32, EffectId),
    PageArrives(usize, u32, EffectId, Page),
    PullCut(usize, u32, EffectId),
    Timer(usize, u32, Time),
    Boot(usize),
    Restart(usize, u32),
    LinkUp(usize),
    DiskFreed(usize),
    Credentials(usize),
    Hears(usize),
    Calm,
    /// The backend shows what it had taken by then, in this of its histories.
    Shows(usize, u64),
    CloseDone(usize, u32),
}

impl Event {
    /// Whose it is, if it is one client's.
    pub(crate) fn client(&self) -> Option<usize> {
        match *self {
            Self::User | Self::Calm | Self::Shows(..) => None,
            Self::Storage(c, _)
            | Self::Session(c, ..)
            | Self::Finish(c, ..)
            | Self::PushArrives(c, ..)
            | Self::PushReply(c, ..)
            | Self::PullServed(c, ..)
            | Self::PageArrives(c, ..)
            | Self::PullCut(c, ..)
            | Self::Timer(c, ..)
            | Self::Boot(c)
            | Self::Restart(c, _)
            | Self::CloseDone(c, _)
            | Self::LinkUp(c)
            | Self::DiskFreed(c)
            | Self::Credentials(c)
            | Self::Hears(c) => Some(c),
        }
    }

    fn step(&self) -> Step {
        match *self {
            Self::User => Step::User,
            Self::Storage(c, _) => Step::Storage(c),
            Self::Session(c, ..) | Self::Finish(c, ..) => Step::Session(c),
            Self::PushArrives(c, ..) | Self::PushReply(c, ..) => Step::Push(c),
            Self::PullServed(c, ..) | Self::PageArrives(c, ..) | Self::PullCut(c, ..) => Step::Pull(c),
            Self::Timer(c, ..) => Step::Timer(c),
            Self::Boot(c) | Self::Restart(c, _) | Self::CloseDone(c, _) => Step::Process(c),
            Self::LinkUp(_) | Self::DiskFreed(_) | Self::Credentials(_) | Self::Hears(_) | Self::Calm | Self::Shows(..) => {
                Step::Heal
            }
        }
    }
}

/// One world.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) choices: Choices,
    pub(crate) swarm: Swarm,
    pub(crate) now: Time,
    pub(crate) queue: BTreeMap<Place, Event>,
    queued: u64,
    pub(crate) clients: Vec<Client>,
    pub(crate) backend: Backend,
    pub(crate) model: Model,
    pub(crate) reach: Reach,
    pub(crate) transcript: Transcript,
    trace: Sum,
    inputs: u64,
    sessions: u64,
    actions: u64,
    healed: bool,
    /// Whether lives of processes are played again.
    pub(crate) replays: bool,
    seed: u64,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What does not hold, if anything.
    pub violation: Option<Violation>,
    /// A hash of everything that went into the machines and came out.
    pub trace: u64,
    /// How many inputs the machines were given.
    pub inputs: u64,
    /// How much time passed in the world, in microseconds.
    pub elapsed: u64,
    /// What was met.
    pub reach: Reach,
}

impl World {
    /// The world of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::of(Choices::new(seed), seed)
    }

    /// A world whose choices are read from bytes.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self::of(Choices::given(bytes), 0)
    }

    /// The world of a run that was recorded.
    #[must_use]
    pub fn played(trace: &Trace) -> Self {
        Self::of(Choices::played(trace), trace.seed)
    }

    /// What was chosen so far, if that is kept.
    #[must_use]
    pub fn trace(&self, shows: impl Into<String>) -> Option<Trace> {
        let mut taken = self.choices.recorded()?.to_vec();
        if !self.healed {
            // Faults stop after the last user's step of a trace: here they had not.
            taken.push(Taken { step: Step::User, choices: Vec::new() });
        }
        Some(Trace { seed: self.seed, shows: shows.into(), taken })
    }

    /// The world that these choices make. The seed is that of the machines' jitter.
    #[must_use]
    pub fn of(mut choices: Choices, seed: u64) -> Self {
        choices.begin(Step::World);
        let swarm = Swarm::draw(&mut choices);
        Self::with(swarm, choices, seed)
    }

    /// A world with these options.
    pub(crate) fn with(swarm: Swarm, choices: Choices, seed: u64) -> Self {
        let names = ["A", "B", "C"];
        let clients = names[..swarm.clients as usize].iter().map(|name| Client::new(name, swarm.config.clone())).collect();
        Self {
            backend: Backend::new(swarm.keeps_ids, swarm.rewrites),
            choices,
            swarm,
            now: Time(1),
            queue: BTreeMap::new(),
            queued: 0,
            clients,
            model: Model::default(),
            reach: Reach::default(),
            transcript: Transcript::default(),
            trace: Sum::default(),
            inputs: 0,
            sessions: 0,
            actions: 0,
            healed: false,
            replays: seed.is_multiple_of(4),
            seed,
        }
    }

    /// Puts a bug back into every machine of this world.
    #[must_use]
    #[cfg_attr(not(feature = "mutants"), expect(unused_mut, reason = "there is none to put back"))]
    pub fn with_mutant(mut self, mutant: Option<Mutant>) -> Self {
        #[cfg(feature = "mutants")]
        for client in &mut self.clients {
            client.config.mutant = mutant;
        }
        #[cfg(not(feature = "mutants"))]
        if let Some(mutant) = mutant {
            match mutant {}
        }
        self
    }

    /// Keeps what happens as text.
    #[must_use]
    pub fn with_transcript(mut self) -> Self {
        self.transcript.on = true;
        self
    }

    /// The last lines of what happened, if they are kept.
    #[must_use]
    pub fn transcript(&self, lines: usize) -> Vec<String> {
        self.transcript.last(lines)
    }

    /// A world in which nothing is chosen but chances, and nobody acts by himself.
    pub(crate) fn small(swarm: Swarm) -> Self {
        let mut world = Self::with(swarm, Choices::given(Vec::new()), 1);
        world.choices.chances(Vec::new());
        world
    }

    /// Every process starts.
    pub(crate) fn start(&mut self) -> Result<(), Violation> {
        (0..self.clients.len()).try_for_each(|c| self.boot(c))
    }

    /// Forgets what is planned and would come to nothing.
    pub(crate) fn forget_the_past(&mut self) {
        let clients = &self.clients;
        self.queue.retain(|_, event| match event {
            Event::PushReply(c, life, id, _) => {
                clients[*c].life == *life && clients[*c].push.as_ref().is_some_and(|(effect, _)| effect == id)
            }
            Event::PullServed(c, life, id) | Event::PullCut(c, life, id) | Event::PageArrives(c, life, id, _) => {
                clients[*c].life == *life && clients[*c].pull.as_ref().is_some_and(|lane| lane.effect == *id)
            }
            Event::Timer(c, life, at) => clients[*c].life == *life && clients[*c].timer == Some(*at),
            Event::Storage(c, life) | Event::Finish(c, life, _) | Event::CloseDone(c, life) | Event::Restart(c, life) => {
                clients[*c].life == *life
            }
            Event::Session(c, life, id) => {
                clients[*c].life == *life && clients[*c].sessions.get(id).is_some_and(|local| !local.lane.is_empty())
            }
            _ => true,
        });
    }

    /// Runs the world to its end, or to the first thing that does not hold.
    pub fn run(&mut self) -> Report {
        let violation = self.safety().and_then(|()| self.liveness()).err();
        self.report(violation)
    }

    /// The first part of a run: users act while everything fails.
    ///
    /// # Errors
    ///
    /// What does not hold.
    pub fn run_faults(&mut self) -> Result<(), Violation> {
        self.safety()
    }

    /// What each client's file would start a machine from.
    #[must_use]
    pub fn boots(&self) -> Vec<Boot> {
        self.clients.iter().map(|client| client.disk.boot(&client.name)).collect()
    }

    /// Where things stand, with what does not hold.
    #[must_use]
    pub fn report(&self, violation: Option<Violation>) -> Report {
        let (trace, inputs, elapsed, reach) = (self.trace.finish(), self.inputs, self.now.0, self.reach.clone());
        Report { violation, trace, inputs, elapsed, reach }
    }

    fn safety(&mut self) -> Result<(), Violation> {
        let swarm = self.swarm.clone();
        self.transcript.line(self.now, "", || format!("{swarm:?}"));
        self.choices.begin(Step::Start);
        self.start()?;
        self.act()
    }

    pub(crate) fn next(&mut self) -> Option<Event> {
        let ((at, _, _), event) = self.queue.pop_first()?;
        self.now = self.now.max(at);
        Some(event)
    }

    /// When the next thing happens.
    pub(crate) fn next_at(&self) -> Option<Time> {
        self.queue.first_key_value().map(|(&(at, _, _), _)| at)
    }

    /// Makes something happen, this many microseconds from now. What happens at the same moment does so in any order.
    pub(crate) fn schedule(&mut self, after: u64, event: Event) {
        self.queued += 1;
        let tie = self.choices.below(64);
        self.queue.insert((Time(self.now.0 + after), tie, self.queued), event);
    }

    pub(crate) fn dispatch(&mut self, event: Event) -> Result<(), Violation> {
        self.choices.begin(event.step());
        let alive = |world: &Self, c: usize, life: u32| world.clients[c].life == life && world.clients[c].process.is_some();
        match event {
            Event::User => self.user(),
            Event::Storage(c, life) if alive(self, c, life) => self.run_storage(c),
            Event::Session(c, life, id) if alive(self, c, life) => self.run_session(c, id),
            Event::Finish(c, life, id) if alive(self, c, life) => self.finish_commit(c, id),
            Event::PushArrives(c, life, id, push) => self.push_arrives(c, life, id, &push),
            Event::PushReply(c, life, id, reply) if alive(self, c, life) => self.push_reply(c, id, reply),
            Event::PullServed(c, life, id) if alive(self, c, life) => self.serve_pull(c, id),
            Event::PageArrives(c, life, id, page) if alive(self, c, life) => self.page_arrives(c, id, page),
            Event::PullCut(c, life, id) if alive(self, c, life) => self.cut_pull(c, id),
            Event::Timer(c, life, at) if alive(self, c, life) => self.timer(c, at),
            Event::CloseDone(c, life) if alive(self, c, life) => self.close_done(c),
            Event::Boot(c) => self.boot(c),
            Event::Restart(c, life) if alive(self, c, life) => {
                self.reach.mark("process restarted after damage");
                self.crash(c)
            }
            Event::LinkUp(c) => self.link_up(c),
            Event::DiskFreed(c) => {
                self.clients[c].disk_full = false;
                Ok(())
            }
            Event::Credentials(c) => self.credentials(c),
            Event::Hears(c) => {
                self.clients[c].deaf = false;
                Ok(())
            }
            Event::Shows(history, head) => {
                self.show(history, head);
                Ok(())
            }
            Event::Calm => {
                self.backend.moody = false;
                Ok(())
            }
            // The process that this was for is gone.
            _ => Ok(()),
        }
    }

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

    fn timer(&mut self, c: usize, at: Time) -> Result<(), Violation> {
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
