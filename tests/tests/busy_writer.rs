//! A hundred thousand pending events against another writer of ten events a second, twenty milliseconds away: they get through, and what
//! rebases cost is linear.
//!
//! The world here is as small as can be, so that it is fast: storage and session count the rows that they write and take back, and
//! need time for each.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test stops at any failure, and tells what it has measured")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use countersign_core::{
    BackendFailure, Boot, Config, Effect, EffectId, Event, Heads, Input, Materialised, Node, Output, Page, Pull, PulledEvent,
    Push, Resolution, Seed, Seq, SessionApplied, SessionId, Time, Txn, WireIds,
};

const SESSION: SessionId = SessionId([7; 16]);
/// Microseconds one way, between client and backend.
const WAY: u64 = 10_000;
/// Microseconds between two events of the other writer.
const OTHER: u64 = 100_000;
/// Microseconds for a transaction, and for each row in it.
const TXN: u64 = 2_000;
const ROW: u64 = 5;
/// The most events of a page.
const PAGE: usize = 100;

enum Happening {
    Stored(EffectId, Arc<Txn>),
    Answer(Input),
    PushArrives(EffectId, Push),
    PullArrives(EffectId, Pull),
    OtherWrites,
}

struct World {
    node: Node,
    now: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    planned: u64,
    backend: Vec<PulledEvent>,
    parked: Option<(EffectId, Pull)>,
    /// What storage does, one after the other, and when it is free.
    storage: VecDeque<(EffectId, Effect)>,
    storage_busy: bool,
    heads: Heads,
    log: Vec<countersign_core::Entry>,
    number: u64,
    online: bool,
    /// What the last timer was set for.
    timer: Option<u64>,
    confirmed: u64,
    work: Work,
}

#[derive(Clone, Copy, Debug, Default)]
struct Work {
    /// Rows that storage wrote and took back.
    stored: u64,
    /// Events that the session applied and took back.
    applied: u64,
    txns: u64,
    refusals: u64,
}

fn event() -> Event {
    Event { name: "v1.TodoCreated".into(), args: r#"{"id":"abc","text":"Buy milk"}"#.into(), client_only: false }
}

impl World {
    fn new() -> Self {
        let boot = Boot::of_new_file("client".into());
        let config = Config { unpersisted_events: 1_000_000, unpersisted_bytes: 1 << 30, ..Config::default() };
        let mut world = Self {
            node: Node::new(config, boot, 1).unwrap(),
            now: 0,
            queue: BTreeMap::new(),
            planned: 0,
            backend: Vec::new(),
            parked: None,
            storage: VecDeque::new(),
            storage_busy: false,
            heads: Heads::default(),
            log: Vec::new(),
            number: 0,
            online: false,
            timer: None,
            confirmed: 0,
            work: Work::default(),
        };
        world.input(Input::SessionOpened { session: SESSION });
        while !world.node.is_ready(SESSION) {
            world.step();
        }
        world
    }

    fn after(&mut self, micros: u64, happening: Happening) {
        self.planned += 1;
        self.queue.insert((self.now + micros, self.planned), happening);
    }

    fn input(&mut self, input: Input) {
        self.node.handle(Time(self.now), input);
        self.drain();
    }

    fn commit(&mut self) {
        self.node.prepare(Time(self.now), SESSION, vec![event()]).unwrap();
        self.node.finish(Time(self.now), SESSION, true).unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.node.poll() {
                Output::Idle { deadline } => {
                    let at = deadline.map(|(at, _)| at.0.max(self.now));
                    if at != self.timer
                        && let Some(at) = at
                    {
                        self.after(at - self.now, Happening::Answer(Input::Timer));
                    }
                    self.timer = at;
                    return;
                }
                Output::Effect { id, effect } => self.effect(id, effect),
                Output::Resolve(Resolution::Confirmed { commits, .. }) => self.confirmed += commits.len() as u64,
                Output::Resolve(Resolution::Failed { error, .. }) => panic!("{error}"),
                _ => {}
            }
        }
    }

    fn effect(&mut self, id: EffectId, effect: Effect) {
        let unreachable = || BackendFailure::Unreachable { message: "no network".into(), maybe_applied: false };
        match effect {
            Effect::Session { txn, .. } => {
                let events = (txn.undo + txn.apply.len()) as u64;
                self.work.applied += events;
                self.after(100 + ROW * events, Happening::Answer(Input::SessionApplied { id, outcome: SessionApplied::Done }));
            }
            Effect::Push(_) if !self.online => self.after(1, Happening::Answer(Input::PushFailed { id, failure: unreachable() })),
            Effect::Pull(_) if !self.online => self.after(1, Happening::Answer(Input::PullFailed { id, failure: unreachable() })),
            Effect::Push(push) => self.after(WAY, Happening::PushArrives(id, push)),
            Effect::Pull(pull) => self.after(WAY, Happening::PullArrives(id, pull)),
            Effect::Abandon { .. } => self.parked = None,
            storage => {
                self.storage.push_back((id, storage));
                self.start_storage();
            }
        }
    }

    fn start_storage(&mut self) {
        if self.storage_busy {
            return;
        }
        let Some((id, effect)) = self.storage.pop_front() else { return };
        self.storage_busy = true;
        match effect {
            Effect::Materialise(txn) => {
                let undone = txn.undo_to.map_or(0, |to| self.log.len() - self.log.partition_point(|entry| entry.seq.pos <= to));
                let rows = (undone + txn.append.len()) as u64;
                self.work.stored += rows;
                self.work.txns += 1;
                self.after(TXN + ROW * rows, Happening::Stored(id, txn));
            }
            Effect::Snapshot { .. } => {
                let from = self.log.partition_point(|entry| entry.seq.pos <= self.heads.settled);
                let head = self.log.last().map_or(Seq::ROOT, |entry| entry.seq);
                let seed = Some(Seed { number: self.number, head, pending: self.log[from..].to_vec() });
                self.storage_busy = false;
                self.after(1, Happening::Answer(Input::Seeded { id, seed }));
                self.start_storage();
            }
            other => panic!("not an order to storage: {other:?}"),
        }
    }

    fn step(&mut self) {
        let ((at, _), happening) = self.queue.pop_first().expect("something is left to happen");
        self.now = self.now.max(at);
        match happening {
            Happening::Answer(input) => self.input(input),
            Happening::Stored(id, txn) => {
                if let Some(to) = txn.undo_to {
                    let kept = self.log.partition_point(|entry| entry.seq.pos <= to);
                    self.log.truncate(kept);
                }
                assert_eq!(txn.number, self.number + 1);
                self.log.extend(txn.append.iter().cloned());
                (self.number, self.heads) = (txn.number, txn.heads.clone());
                self.storage_busy = false;
                self.start_storage();
                self.input(Input::Materialised { id, outcome: Materialised::Committed { skipped: Vec::new() } });
            }
            Happening::PushArrives(id, push) => {
                let answer = if push.parent == self.backend.len() as u64 {
                    push.events.into_iter().for_each(|own| {
                        let ids = Some(WireIds { ordinal: own.id.ordinal, commit: own.commit, last: own.last });
                        self.append("client", &SESSION.to_string(), ids, own.event);
                    });
                    Input::PushOk { id }
                } else {
                    self.work.refusals += 1;
                    Input::PushFailed { id, failure: BackendFailure::ServerAhead { head: self.backend.len() as u64 } }
                };
                self.after(WAY, Happening::Answer(answer));
                self.wake();
            }
            Happening::PullArrives(id, pull) => {
                self.parked = Some((id, pull));
                self.wake();
            }
            Happening::OtherWrites => {
                self.append("other", "s", None, Arc::new(event()));
                self.after(OTHER, Happening::OtherWrites);
                self.wake();
            }
        }
    }

    fn append(&mut self, client: &str, session: &str, ids: Option<WireIds>, event: Arc<Event>) {
        let parent = self.backend.len() as u64;
        self.backend.push(PulledEvent { seq: parent + 1, parent, client: client.into(), session: session.into(), ids, event });
    }

    /// Answers the pull that waits, if there is something for it. The first one of a stream is answered at once.
    fn wake(&mut self) {
        let Some((id, pull)) = self.parked.take() else { return };
        let from = pull.after as usize;
        if from >= self.backend.len() && !pull.fresh {
            self.parked = Some((id, pull));
            return;
        }
        let events: Vec<PulledEvent> = self.backend[from.min(self.backend.len())..].iter().take(PAGE).cloned().collect();
        let page = Page { more: from + events.len() < self.backend.len(), events, backend: "backend".into() };
        self.after(WAY, Happening::Answer(Input::Pulled { id, page }));
    }

    /// So many events wait; then the network is back, and the other writer writes on. Runs until nothing of ours waits.
    fn get_through(pending: u64) -> Self {
        let mut world = Self::new();
        for n in 0..pending {
            world.commit();
            while n % 1_000 == 999 && world.node.status().unpersisted_events > 0 {
                world.step();
            }
        }
        assert_eq!(world.node.status().pending_events as u64, pending);
        world.work = Work::default();
        world.online = true;
        let began = world.now;
        world.after(0, Happening::OtherWrites);
        world.input(Input::Online);
        while world.node.status().pending_events > 0 || !world.node.status().stored {
            world.step();
            let seconds = (world.now - began) / 1_000_000;
            assert!(seconds < 20 + pending / 500, "after {seconds} s: {:#?}\n{:?}", world.node.status(), world.work);
        }
        assert_eq!(world.node.check(), Ok(()));
        let ours = world.backend.iter().filter(|event| *event.client == *"client").count() as u64;
        assert_eq!((ours, world.confirmed), (pending, pending), "each once");
        // The newest of the other writer's may be on its way.
        assert_eq!(world.log.len() as u64, world.node.status().upstream_head.global);
        let seconds = (world.now - began) as f64 / 1e6;
        let foreign = world.backend.len() as u64 - ours;
        println!("{pending} pending, {foreign} of the other writer, through in {seconds:.1} s: {:?}", world.work);
        world
    }
}

// Verifies: V6, L6, V4
#[test]
fn a_hundred_thousand_pending_events_get_through_against_a_busy_writer() {
    let cost = |pending: u64| {
        let world = World::get_through(pending);
        let each = world.backend.len() as f64;
        (world.work.stored as f64 / each, world.work.applied as f64 / each)
    };
    let (few, many) = (cost(10_000), cost(100_000));
    // As measured: 12 each. A rebase for each event of the other writer would be hundreds, and no event would get through.
    for (pending, (stored, applied)) in [("10 000", few), ("100 000", many)] {
        assert!(
            stored < 24.0 && applied < 24.0,
            "with {pending} pending, each cost {stored:.1} rows and {applied:.1} in the session"
        );
    }
}
