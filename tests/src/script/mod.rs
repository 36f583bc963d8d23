//! Readable scenarios: one machine, driven by hand, and a transcript of what goes in and what comes out.
//!
//! A script is the world: storage, backend, network, clock and user of one [`Node`], one named step at a time. Nothing happens
//! that the script does not say, except that sessions' databases answer at once, unless they are held. After every step the
//! machine checks itself; at the end what it left on disk, in the sessions and in the receipts is compared.
//!
//! In a transcript `>` begins a step, what follows is what the machine orders and tells, `*` is a stage of a receipt that
//! settles, and `=` says where the machine stands, if that has changed. `A@e2r1` is event A at e2 in generation 1; `X'` is
//! somebody else's.

mod backend;
mod crash;
mod disk;
mod pulls;
mod receipts;
mod render;
mod seen;
mod session_db;
mod sessions;
mod world;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use countersign_core::{
    CommitId, Config, Effect, EffectId, Event, IdentityPolicy, Input, Node, Output, OwnEvent, Prepared, Reason, SessionApplied,
    SessionId, Time,
};

use backend::Backend;
use disk::{Disk, Poisons};
pub use receipts::Outcome;
use receipts::Receipts;
use session_db::SessionDb;

/// The client that every script's store belongs to.
const CLIENT: &str = "me";
/// The seed of every script's machine.
const SEED: u64 = 7;

/// A world that does what it is told, and writes down what the machine makes of it.
#[derive(Debug)]
pub struct Script {
    config: Config,
    node: Node,
    now: Time,
    disk: Disk,
    /// What the disk was after each transaction.
    past: BTreeMap<u64, Disk>,
    poisons: Poisons,
    backend: Backend,
    storage: VecDeque<(EffectId, Effect)>,
    pushes: VecDeque<(EffectId, countersign_core::Push)>,
    pulls: VecDeque<(EffectId, countersign_core::Pull)>,
    sessions: BTreeMap<SessionId, SessionDb>,
    /// Effects for sessions whose databases are held.
    held: Option<VecDeque<(EffectId, Effect)>>,
    /// Seeds that have been taken and are not in place yet, if they are held.
    late_seeds: Option<Vec<Input>>,
    prepared: BTreeMap<SessionId, Prepared>,
    receipts: Receipts,
    /// Own events by their names.
    known: BTreeMap<String, OwnEvent>,
    deadline: Option<(Time, Reason)>,
    text: String,
    status: String,
    inputs: Vec<(Time, Input)>,
    outputs: Vec<Output>,
}

/// The identity of session `n`.
#[must_use]
pub fn session(n: u8) -> SessionId {
    let mut id = [0; 16];
    id[15] = n;
    SessionId(id)
}

/// An event as scripts name them: a lower-case name is client-only.
#[must_use]
pub fn event(name: &str) -> Event {
    Event { name: Arc::from(name), args: Arc::from("null"), client_only: name.starts_with(|c: char| c.is_lowercase()) }
}

/// `"A b C"`, as events.
#[must_use]
pub fn events(names: &str) -> Vec<Event> {
    names.split_whitespace().map(event).collect()
}

impl Script {
    /// An empty store with the default configuration. `about` heads the transcript.
    #[must_use]
    pub fn new(about: &str) -> Self {
        Self::with(Config::default(), about)
    }

    /// An empty store. `about` heads the transcript.
    #[must_use]
    pub fn with(config: Config, about: &str) -> Self {
        let disk = Disk::default();
        let node = Node::new(config.clone(), disk.boot(config.backend), SEED).expect("an empty store is consistent");
        let mut script = Self {
            config,
            node,
            now: Time::ZERO,
            past: BTreeMap::from([(0, disk.clone())]),
            disk,
            poisons: Poisons::default(),
            backend: Backend::new("hub"),
            storage: VecDeque::new(),
            pushes: VecDeque::new(),
            pulls: VecDeque::new(),
            sessions: BTreeMap::new(),
            held: None,
            late_seeds: None,
            prepared: BTreeMap::new(),
            receipts: Receipts::default(),
            known: BTreeMap::new(),
            deadline: None,
            text: format!("{}\n", about.trim()),
            status: String::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        script.step("the store is opened", |_| {});
        script
    }

    /// The usual beginning: session S1 is open, and the backend had nothing yet.
    #[must_use]
    pub fn ready(about: &str) -> Self {
        Self::ready_with(Config::default(), about)
    }

    /// The usual beginning with another configuration.
    #[must_use]
    pub fn ready_with(config: Config, about: &str) -> Self {
        let mut script = Self::with(config, about);
        script.open(1);
        if script.config.backend {
            script.page();
            script.store();
        }
        let known = if script.config.backend { "; the backend is empty, and known" } else { "; there is no backend" };
        script.text = format!("{}\n\n-- S1 is open on an empty store{known}\n", about.trim());
        script
    }

    /// A remark in the transcript.
    pub fn note(&mut self, text: &str) {
        self.text += &format!("\n-- {text}\n");
    }

    // Users and time.

    /// The user takes a commit back.
    pub fn withdraw(&mut self, commit: CommitId) {
        self.input(&format!("the user withdraws {}", render::commit(commit)), Input::Withdraw { commit });
    }

    /// The user decides what to do about another backend.
    pub fn decide(&mut self, decision: IdentityPolicy) {
        self.input(&format!("the user decides: {decision:?}"), Input::Decide { decision });
    }

    /// The driver says something about the network, credentials or the end.
    pub fn tell(&mut self, input: Input) {
        let what = match &input {
            Input::Offline => "the network goes away",
            Input::Online => "the network is back",
            Input::OfflineForGood => "the network is declared gone for good",
            Input::Authenticated => "there are new credentials",
            Input::Refresh => "somebody knows of something newer",
            Input::Shutdown => "the store is shut down",
            _ => "something happens",
        };
        self.input(what, input);
    }

    /// Time passes until the machine's deadline. Answers why it wanted to be woken.
    pub fn wake(&mut self) -> Reason {
        let Some((at, reason)) = self.deadline else { panic!("{}\nthe machine waits for nothing", self.text) };
        assert!(at > self.now, "{}\nthe deadline {at} has passed already, it is {}", self.text, self.now);
        self.now = at;
        self.input(&format!("{at}: time to {}", render::reason(reason)), Input::Timer);
        reason
    }

    /// Time passes.
    pub fn wait(&mut self, seconds: u64) {
        self.now = Time(self.now.0 + seconds * 1_000_000);
        self.input(&format!("{seconds} s pass, it is {}", self.now), Input::Timer);
    }

    /// Checks what is left and hands out the transcript. If everything is stored, sessions hold what the store holds.
    #[must_use]
    pub fn end(mut self) -> String {
        let names: Vec<&str> = self.disk.log.iter().map(|entry| &*entry.event.name).collect();
        if self.node.status().drained && self.storage.is_empty() && self.held.is_none() && self.prepared.is_empty() {
            for (id, database) in &self.sessions {
                assert_eq!(database.names(), names, "{}\n{} holds what the store holds", self.text, render::session(*id));
            }
        }
        let log = render::entries(&self.disk.log);
        let in_log: Vec<_> = self.disk.log.iter().filter_map(|entry| entry.own_id()).collect();
        for held in self.disk.quarantine.iter().flat_map(|held| &held.events) {
            assert!(!in_log.contains(&held.id), "{}\n{} is in the log and in quarantine", self.text, held.event.name);
        }
        self.text += &format!("\nstore: {log}\n");
        if !self.disk.quarantine.is_empty() {
            self.text += &format!("quarantine: {}\n", render::list(&self.quarantine()));
        }
        if self.config.backend {
            self.text += &format!("backend: {}\n", render::page(&self.backend.log));
        }
        self.text
    }

    // One step.

    fn line(&mut self, text: &str) {
        self.text += &format!("    {text}\n");
    }

    fn input(&mut self, what: &str, input: Input) {
        self.step(what, |script| script.handle(input));
    }

    fn handle(&mut self, input: Input) {
        self.inputs.push((self.now, input.clone()));
        self.node.handle(self.now, input);
    }

    fn step(&mut self, what: &str, act: impl FnOnce(&mut Self)) {
        self.text += &format!("> {what}\n");
        act(self);
        self.drain();
        let status = render::status(&self.node.status());
        if status != self.status {
            self.line(&status);
            self.status = status;
        }
    }

    /// Takes everything that the machine says, and lets the sessions' databases answer.
    fn drain(&mut self) {
        loop {
            let output = self.node.poll();
            self.outputs.push(output.clone());
            match output {
                Output::Effect { id, effect } => {
                    self.line(&render::effect(&effect));
                    self.take_order(id, effect);
                }
                Output::Resolve(resolution) => {
                    for (commit, stage, outcome) in self.receipts.settle(&resolution) {
                        self.line(&render::settled(commit, stage, &outcome));
                    }
                }
                Output::Notify(notice) => self.line(&render::notice(&notice)),
                Output::Idle { deadline } => {
                    self.deadline = deadline;
                    break;
                }
                _ => {}
            }
            if let Err(broken) = self.node.check() {
                panic!("{}\ndoes not hold: {broken}", self.text);
            }
        }
    }

    fn take_order(&mut self, id: EffectId, effect: Effect) {
        match effect {
            Effect::Materialise(_) => self.storage.push_back((id, effect)),
            Effect::Snapshot { .. } => {
                self.storage.push_back((id, effect));
                self.take_snapshots();
            }
            Effect::Session { .. } => match &mut self.held {
                Some(held) => held.push_back((id, effect)),
                None => self.answer_session(id, &effect),
            },
            Effect::Push(push) => self.pushes.push_back((id, push)),
            Effect::Pull(pull) => self.pulls.push_back((id, pull)),
            Effect::Abandon { pull } => self.pulls.retain(|(id, _)| *id != pull),
            other => panic!("a new effect: {other:?}"),
        }
    }

    /// Snapshots are taken in their turn in the storage lane.
    fn take_snapshots(&mut self) {
        while let Some((id, Effect::Snapshot { session })) = self.storage.front().cloned() {
            self.storage.pop_front();
            let seed = self.disk.seed();
            self.sessions.insert(session, SessionDb::seeded(&self.disk, &seed));
            self.line(&format!("{} is seeded at {}", render::session(session), seed.head));
            let seeded = Input::Seeded { id, seed: Some(seed) };
            match &mut self.late_seeds {
                Some(late) => late.push(seeded),
                None => self.handle(seeded),
            }
        }
    }

    fn answer_session(&mut self, id: EffectId, effect: &Effect) {
        let Effect::Session { session, txn } = effect else { return };
        if let Some(database) = self.sessions.get_mut(session) {
            database.apply(txn);
            self.handle(Input::SessionApplied { id, outcome: SessionApplied::Done });
        }
    }
}
