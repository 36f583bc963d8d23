//! The machine alone: a world without a disk and a network, that answers at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::{
    Boot, Config, Effect, Event, Input, Materialised, Node, Output, Page, PulledEvent, Push, Resolution, Seed, Seq,
    SessionApplied, SessionId, Stage, Time, WireIds,
};

use crate::{median, print, time};

const SESSION: SessionId = SessionId([7; 16]);
const WINDOW: usize = 64;

/// P1: 64 commits, one transaction, one push, one page that brings them back; again and again.
pub(crate) fn alone(rounds: usize, events: usize) {
    let ours = median(rounds, events, || run(events));
    let by_hand = median(rounds, events, || queue(events));
    print(
        "P1",
        "commit, persist, push, confirm: the machine alone",
        &format!("{ours:.0} ns"),
        &format!("{by_hand:.0} ns"),
        ours / by_hand,
        "150 ns",
    );
}

/// So many events through one machine, in windows.
pub(crate) fn run(events: usize) -> Duration {
    let mut world = World::new(0);
    let batches = events / WINDOW + 1;
    time(|| {
        for _ in 0..batches {
            for _ in 0..WINDOW {
                world.commit();
            }
            world.answer_everything();
        }
        assert_eq!((world.persisted, world.confirmed), ((batches * WINDOW) as u64, (batches * WINDOW) as u64));
    })
}

/// The least that could be done: the same events through two queues, numbered and acknowledged.
fn queue(events: usize) -> Duration {
    let event = event();
    let (mut pending, mut pushed) = (VecDeque::new(), VecDeque::new());
    let mut head = 0_u64;
    time(|| {
        for _ in 0..events / WINDOW + 1 {
            for _ in 0..WINDOW {
                head += 1;
                pending.push_back((head, Arc::new(Event::clone(&event))));
            }
            pushed.extend(pending.drain(..));
            while let Some(acknowledged) = pushed.pop_front() {
                std::hint::black_box(acknowledged);
            }
        }
    })
}

/// P2: the same with much pending behind a backend that only takes one push in a while.
pub(crate) fn pending(rounds: usize, smoke: bool) {
    let (few, many) = if smoke { (100, 1_000) } else { (1_000, 1_000_000) };
    let cost = |waiting: usize| {
        let mut world = World::new(waiting);
        let items = 20_000;
        median(rounds, items, || {
            time(|| {
                for _ in 0..items / WINDOW + 1 {
                    for _ in 0..WINDOW {
                        world.commit();
                    }
                    world.answer_everything();
                }
            })
        })
    };
    let (few, many) = (cost(few), cost(many));
    print(
        "P2",
        "an event with 1 000 000 pending, against 1 000",
        &format!("{many:.0} ns"),
        &format!("{few:.0} ns"),
        many / few,
        "1.5",
    );
}

fn event() -> Event {
    Event { name: "v1.TodoCreated".into(), args: r#"{"id":"abc","text":"Buy milk"}"#.into(), client_only: false }
}

pub(crate) struct World {
    node: Node,
    event: Event,
    client: Arc<str>,
    session: Arc<str>,
    /// Events that stay pending: the backend takes a push only when there are more.
    keep: usize,
    pending: usize,
    held: Option<Input>,
    pull: Option<countersign_core::EffectId>,
    echo: Vec<PulledEvent>,
    head: u64,
    persisted: u64,
    confirmed: u64,
}

impl World {
    pub(crate) fn new(keep: usize) -> Self {
        let boot = Boot::of_new_file("client".into());
        let config = Config { pending_events: 10_000_000, unpersisted_events: 10_000_000, ..Config::default() };
        let node = Node::new(config, boot, 1).unwrap();
        let mut world = Self {
            node,
            event: event(),
            client: "client".into(),
            session: SESSION.to_string().into(),
            keep,
            pending: 0,
            held: None,
            pull: None,
            echo: Vec::new(),
            head: 0,
            persisted: 0,
            confirmed: 0,
        };
        world.node.handle(Time::ZERO, Input::SessionOpened { session: SESSION });
        world.answer_everything();
        while world.pending < keep {
            for _ in 0..1_000 {
                world.commit();
            }
            world.answer_everything();
        }
        world
    }

    fn commit(&mut self) {
        self.node.prepare(Time::ZERO, SESSION, vec![self.event.clone()]).unwrap();
        self.node.finish(Time::ZERO, SESSION, true).unwrap();
        self.pending += 1;
    }

    /// Answers until nothing happens any more.
    fn answer_everything(&mut self) {
        loop {
            match self.node.poll() {
                Output::Idle { .. } => {
                    if self.pending > self.keep
                        && let Some(push) = self.held.take()
                    {
                        self.node.handle(Time::ZERO, push);
                    } else if !self.send_echo() {
                        return;
                    }
                }
                Output::Effect { id, effect } => match effect {
                    Effect::Materialise(_) => {
                        let outcome = Materialised::Committed { skipped: Vec::new() };
                        self.node.handle(Time::ZERO, Input::Materialised { id, outcome });
                    }
                    Effect::Snapshot { .. } => {
                        let seed = Some(Seed { number: 0, head: Seq::ROOT, pending: Vec::new() });
                        self.node.handle(Time::ZERO, Input::Seeded { id, seed });
                    }
                    Effect::Session { .. } => {
                        self.node.handle(Time::ZERO, Input::SessionApplied { id, outcome: SessionApplied::Done });
                    }
                    Effect::Push(push) => {
                        self.take(&push);
                        self.held = Some(Input::PushOk { id });
                    }
                    Effect::Pull(pull) if pull.fresh => {
                        let page = Page { events: Vec::new(), more: false, backend: "backend".into() };
                        self.node.handle(Time::ZERO, Input::Pulled { id, page });
                    }
                    Effect::Pull(_) => self.pull = Some(id),
                    _ => {}
                },
                Output::Resolve(Resolution::Persisted { through, .. }) => self.persisted = through,
                Output::Resolve(Resolution::Confirmed { commits, .. }) => self.confirmed += commits.len() as u64,
                Output::Resolve(Resolution::Failed { stage: Stage::Backend, error, .. }) => panic!("{error}"),
                _ => {}
            }
        }
    }

    fn take(&mut self, push: &Push) {
        assert_eq!(push.parent, self.head);
        for own in &push.events {
            let ids = Some(WireIds { ordinal: own.id.ordinal, commit: own.commit, last: own.last });
            let (parent, seq) = (self.head, self.head + 1);
            self.head = seq;
            let (client, session) = (self.client.clone(), self.session.clone());
            self.echo.push(PulledEvent { seq, parent, client, session, ids, event: own.event.clone() });
        }
    }

    fn send_echo(&mut self) -> bool {
        if self.echo.is_empty() || self.held.is_some() {
            return false;
        }
        let Some(id) = self.pull.take() else { return false };
        let events = std::mem::take(&mut self.echo);
        self.pending -= events.len();
        let page = Page { events, more: false, backend: "backend".into() };
        self.node.handle(Time::ZERO, Input::Pulled { id, page });
        true
    }
}
