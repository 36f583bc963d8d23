//! Scenes: what a few users do, one thing after the other, told the same by the simulated world and by real stores.
//!
//! After each deed everything comes to rest, so that what is told depends on nothing but the deeds: how each receipt has settled,
//! each client's log, and each client's state. What differs is a difference between the simulated lanes and the real ones.

mod real;
mod simulated;

use std::fmt;

use countersign_core::Event;

use crate::driver::Driver;
use crate::world::Choices;
use crate::world::state::{self, CLIENT_ONLY, SYNCED};

/// Something that happens. The number is the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A commit.
    Commit(usize, Vec<Event>),
    /// A commit whose push is taken, and the reply is lost.
    ReplyLost(usize, Vec<Event>),
    /// There is no network any more.
    Offline(usize),
    /// There is one again.
    Online(usize),
    /// The program ends, and another one starts.
    Restart(usize),
}

/// What happens, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// How many clients there are.
    pub clients: usize,
    /// The deeds. At the end everybody is online.
    pub deeds: Vec<Deed>,
}

/// What is told at the end: a line a receipt, a line an entry of a log, a line a state.
pub type Told = Vec<String>;

impl Scene {
    /// Some scene.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let c = &mut Choices::new(seed);
        let clients = c.between(1, 2) as usize;
        let mut online = vec![true; clients];
        let mut deeds = Vec::new();
        for _ in 0..c.between(4, 14) {
            let who = c.index(clients);
            deeds.push(match c.below(10) {
                0 | 1 if online[who] => {
                    online[who] = false;
                    Deed::Offline(who)
                }
                0..=2 if !online[who] => {
                    online[who] = true;
                    Deed::Online(who)
                }
                3 => Deed::Restart(who),
                // A reply can only be lost of a push that is sent at once.
                4 if online[who] => Deed::ReplyLost(who, vec![state::event("v1.Append", c.below(3), c.below(9), false)]),
                _ => Deed::Commit(who, events(c)),
            });
        }
        Self { clients, deeds }
    }

    /// Plays it in the simulated world.
    ///
    /// # Errors
    ///
    /// What does not hold there.
    pub fn simulated(&self) -> Result<Told, crate::world::Violation> {
        simulated::play(self)
    }

    /// Plays it with real stores on this driver, on files and a backend of their own.
    ///
    /// # Panics
    ///
    /// If a store does not do what it should.
    #[must_use]
    pub fn real(&self, driver: Driver) -> Told {
        real::play(self, driver)
    }
}

fn events(c: &mut Choices) -> Vec<Event> {
    let one = |_| {
        let (key, value) = (c.below(3), c.below(9));
        if c.chance(200) {
            state::event(CLIENT_ONLY[c.index(CLIENT_ONLY.len())], key, value, true)
        } else {
            state::event(SYNCED[c.index(SYNCED.len())], key, value, false)
        }
    };
    let count = [0, 1, 1, 1, 2, 3][c.index(6)];
    (0..count).map(one).collect()
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |events: &[Event]| events.iter().map(|e| format!(" {}{}", e.name, e.args)).collect::<String>();
        for deed in &self.deeds {
            match deed {
                Deed::Commit(who, events) => writeln!(f, "{} commits{}", name(*who), said(events))?,
                Deed::ReplyLost(who, events) => writeln!(f, "{} commits, and the reply is lost{}", name(*who), said(events))?,
                Deed::Offline(who) => writeln!(f, "{} is offline", name(*who))?,
                Deed::Online(who) => writeln!(f, "{} is online", name(*who))?,
                Deed::Restart(who) => writeln!(f, "{} is restarted", name(*who))?,
            }
        }
        Ok(())
    }
}

fn name(client: usize) -> &'static str {
    ["A", "B", "C"][client]
}

/// How one receipt is told.
fn receipt_line(client: usize, leader: &str, backend: &str) -> String {
    format!("{}: leader {leader}, backend {backend}", name(client))
}

/// How an entry of a log is told.
fn log_line(client: usize, entry: &countersign_core::Entry, has_effect: bool) -> String {
    let effect = if has_effect { "" } else { " (without effect)" };
    format!("{} {} {}{}{effect}", name(client), entry.seq.pos, entry.event.name, entry.event.args)
}

/// How a state is told.
fn state_line(client: usize, synced: &[(u64, u64)], local: &[(u64, u64)]) -> String {
    format!("{} has {synced:?}, and for itself {local:?}", name(client))
}
