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
mod disk;
mod receipts;
mod render;
mod session_db;
mod world;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use countersign_core::{
    CommitError, CommitId, Config, Confirmed, Effect, EffectId, Event, IdentityPolicy, Input, Node, Output, OwnEvent, Prepared,
    PulledEvent, Reason, SessionApplied, SessionId, Stage, Status, SyncError, Time,
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

    // Sessions.

    /// Opens session `n`.
    pub fn open(&mut self, n: u8) {
        self.input(&format!("session S{n} is opened"), Input::SessionOpened { session: session(n) });
    }

    /// Closes session `n`.
    pub fn close(&mut self, n: u8) {
        self.sessions.remove(&session(n));
        self.input(&format!("session S{n} is closed"), Input::SessionClosed { session: session(n) });
    }

    /// Session `n` commits these events as one commit.
    pub fn commit(&mut self, n: u8, names: &str) -> CommitId {
        self.commit_events(n, events(names))
    }

    /// Session `n` commits these events as one commit.
    pub fn commit_events(&mut self, n: u8, events: Vec<Event>) -> CommitId {
        self.try_commit(n, events).unwrap_or_else(|error| panic!("{}\nthe commit is refused: {error}", self.text))
    }

    /// Session `n` tries to commit these events as one commit.
    ///
    /// # Errors
    ///
    /// What the machine says.
    pub fn try_commit(&mut self, n: u8, events: Vec<Event>) -> Result<CommitId, CommitError> {
        let what = format!("S{n} commits {}", render::events(&events));
        let mut answer = None;
        self.step(&what, |script| {
            let prepared = script.prepare(n, events);
            if prepared.is_ok() {
                script.finish_prepared(n, true);
            }
            answer = Some(prepared);
        });
        answer.expect("the step was made")
    }

    /// Session `n` begins a commit, and does not finish it. Answers the identity that it will have.
    pub fn begin(&mut self, n: u8, names: &str) -> CommitId {
        self.try_begin(n, events(names)).unwrap_or_else(|error| panic!("{}\nthe commit is refused: {error}", self.text))
    }

    /// Session `n` tries to begin a commit.
    ///
    /// # Errors
    ///
    /// What the machine says.
    pub fn try_begin(&mut self, n: u8, events: Vec<Event>) -> Result<CommitId, CommitError> {
        let what = format!("S{n} begins to commit {}", render::events(&events));
        let mut answer = None;
        self.step(&what, |script| answer = Some(script.prepare(n, events)));
        answer.expect("the step was made")
    }

    /// The commit that session `n` has begun is in its database, or its materialiser has failed.
    pub fn finish(&mut self, n: u8, applied: bool) {
        let what = if applied { "it is applied to" } else { "its materialiser fails on" };
        self.step(&format!("{what} the database of S{n}"), |script| script.finish_prepared(n, applied));
    }

    fn prepare(&mut self, n: u8, events: Vec<Event>) -> Result<CommitId, CommitError> {
        let session = session(n);
        self.inputs.push((self.now, Input::Prepare { session, events: events.clone() }));
        let prepared = self.node.prepare(self.now, session, events);
        match &prepared {
            Ok(prepared) => {
                self.line(&format!("it is {}", render::commit(prepared.id)));
                self.prepared.insert(session, prepared.clone());
            }
            Err(error) => self.line(&render::refusal(error)),
        }
        Ok(prepared?.id)
    }

    fn finish_prepared(&mut self, n: u8, applied: bool) {
        let session = session(n);
        let Some(prepared) = self.prepared.remove(&session) else { panic!("{}\nS{n} has begun no commit", self.text) };
        if applied {
            let database = self.sessions.get_mut(&session).expect("only an open session prepares");
            database.commit(prepared.events.iter().map(|own| &*own.event));
            self.receipts.admit(prepared.id);
            self.known.extend(prepared.events.iter().map(|own| (own.event.name.to_string(), own.clone())));
        }
        self.inputs.push((self.now, Input::Finish { session, applied }));
        let finished = self.node.finish(self.now, session, applied);
        assert_eq!(finished, Some(prepared.id), "{}\nthe commit has the identity that was promised", self.text);
    }

    /// From here on, sessions' databases answer nothing before they are let go.
    pub fn hold_sessions(&mut self) {
        self.held = Some(VecDeque::new());
        self.note("the sessions' databases are slow");
    }

    /// The sessions' databases answer again.
    pub fn let_sessions_go(&mut self) {
        let held = self.held.take().unwrap_or_default();
        self.step("the sessions' databases answer", |script| {
            for (id, effect) in held {
                script.answer_session(id, &effect);
            }
        });
    }

    /// The database of the session breaks while the first transaction that is held back is applied.
    pub fn session_breaks(&mut self) {
        let held = self.held.as_mut().and_then(VecDeque::pop_front).map(|(id, _)| id);
        let id = held.unwrap_or_else(|| panic!("{}\nno session transaction is held", self.text));
        let outcome = SessionApplied::Failed { message: "out of memory".into() };
        self.input("the session's database breaks", Input::SessionApplied { id, outcome });
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

    // What is to be seen.

    /// Where the machine stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.node.status()
    }

    /// Whether a session can take a commit, or only has to answer first.
    #[must_use]
    pub fn is_ready(&self, session: SessionId) -> bool {
        self.node.is_ready(session)
    }

    /// How `leader_sync` has settled, if it has.
    #[must_use]
    pub fn leader(&self, commit: CommitId) -> Option<&Outcome> {
        self.receipts.get(commit, Stage::Leader)
    }

    /// How `backend_sync` has settled, if it has.
    #[must_use]
    pub fn backend(&self, commit: CommitId) -> Option<&Outcome> {
        self.receipts.get(commit, Stage::Backend)
    }

    /// Whether `leader_sync` is Ok.
    #[must_use]
    pub fn persisted(&self, commit: CommitId) -> bool {
        self.leader(commit) == Some(&Outcome::Persisted)
    }

    /// Whether `backend_sync` is known not to apply.
    #[must_use]
    pub fn not_applicable(&self, commit: CommitId) -> bool {
        self.backend(commit) == Some(&Outcome::NotApplicable)
    }

    /// Where the backend has confirmed the commit; nothing if it has not.
    #[must_use]
    pub fn positions(&self, commit: CommitId) -> Vec<u64> {
        self.confirmed(commit).map(|confirmed| confirmed.positions.to_vec()).unwrap_or_default()
    }

    /// How often the commit, confirmed by now, was renumbered.
    #[must_use]
    pub fn rebases(&self, commit: CommitId) -> u32 {
        self.confirmed(commit).unwrap_or_else(|| panic!("{}\n{commit} is not confirmed", self.text)).rebases
    }

    fn confirmed(&self, commit: CommitId) -> Option<&Confirmed> {
        match self.backend(commit) {
            Some(Outcome::Confirmed(confirmed)) => Some(confirmed),
            _ => None,
        }
    }

    /// How `backend_sync` has failed.
    #[must_use]
    pub fn failed(&self, commit: CommitId) -> SyncError {
        self.failure(commit, Stage::Backend)
    }

    /// How `leader_sync` has failed.
    #[must_use]
    pub fn leader_failed(&self, commit: CommitId) -> SyncError {
        self.failure(commit, Stage::Leader)
    }

    fn failure(&self, commit: CommitId, stage: Stage) -> SyncError {
        match self.receipts.get(commit, stage) {
            Some(Outcome::Failed(error)) => error.clone(),
            other => panic!("{}\nthe {stage:?} stage of {commit} has not failed, but is {other:?}", self.text),
        }
    }

    /// The log as stored: `["X'@e1", "A@e2r1"]`.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.disk.log.iter().map(render::entry).collect()
    }

    /// The names of the events in quarantine.
    #[must_use]
    pub fn quarantine(&self) -> Vec<String> {
        self.disk.quarantine.iter().flat_map(|held| held.events.iter().map(|own| own.event.name.to_string())).collect()
    }

    /// The confirmed entries in the store that have no effect.
    #[must_use]
    pub fn skipped(&self) -> Vec<String> {
        self.disk.skipped.iter().map(render::skip).collect()
    }

    /// The events in a session's database.
    #[must_use]
    pub fn database(&self, n: u8) -> Vec<&str> {
        self.sessions.get(&session(n)).map(SessionDb::names).unwrap_or_default()
    }

    /// The number of the last transaction on disk.
    #[must_use]
    pub fn last_txn(&self) -> u64 {
        self.disk.number
    }

    /// The names in the backend's log, in order.
    #[must_use]
    pub fn backend_log(&self) -> Vec<String> {
        self.backend.log.iter().map(|event: &PulledEvent| event.event.name.to_string()).collect()
    }

    /// The transcript so far.
    #[must_use]
    pub fn so_far(&self) -> &str {
        &self.text
    }

    /// Every input so far, for a replay. It belongs to the last process if there was more than one.
    #[must_use]
    pub fn recording(&self) -> &[(Time, Input)] {
        &self.inputs
    }

    /// Every output so far of the last process.
    #[must_use]
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The machine.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// A machine as it was when the recording began, if there was one process only.
    #[must_use]
    pub fn fresh_node(&self) -> Node {
        Node::new(self.config.clone(), self.past[&0].boot(self.config.backend), SEED).expect("an empty store is consistent")
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
            self.handle(Input::Seeded { id, seed: Some(seed) });
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
