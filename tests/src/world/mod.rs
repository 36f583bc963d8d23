//! The simulated world: clients with sessions, one backend, disks, a network and a clock; one thread, one seed.
//!
//! A run has two parts: first users act while everything fails that this world lets fail; then faults stop, and the world has
//! to come to rest. What must hold is checked after every step. The same seed gives the same run.

pub(crate) mod backend;
mod choices;
pub(crate) mod client;
mod database;
mod disk;
mod event;
mod finish;
pub(crate) mod heard;
mod lanes;
mod lasting;
mod machines;
mod network;
mod processes;
mod reach;
mod soak;
pub(crate) mod state;
pub(crate) mod sum;
pub(crate) mod swarm;
mod trace;
mod transcript;
mod user;
mod variants;
mod violation;

use std::collections::BTreeMap;
use std::hash::Hasher as _;

use countersign_core::{Boot, Time};

use crate::model::Model;
use backend::Backend;
pub use choices::Choices;
use client::Client;
pub(crate) use disk::Disk;
pub(crate) use event::{Event, Place};
pub use reach::{MARKS, Reach};
pub use soak::Soaked;
pub(crate) use sum::Sum;
use swarm::Swarm;
pub use trace::{Step, Taken, Trace, TraceError};
use transcript::Transcript;
pub use violation::Violation;

#[cfg(feature = "mutants")]
pub use countersign_core::Mutant;

/// A bug that can be put back into a machine: none, in a build without the feature `mutants`.
#[cfg(not(feature = "mutants"))]
#[derive(Clone, Copy, Debug)]
pub enum Mutant {}

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
}
