//! Worlds that live for long: each day has its faults and comes to rest, and what is in memory does not grow.

use std::fmt;

use super::client::Client;
use super::{Event, Step, Time, Violation, World};

/// A day, in microseconds.
const DAY: u64 = 86_400_000_000;
/// The first days fill what is then kept.
const FILLED: usize = 5;

/// What a long life came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soaked {
    /// How many inputs the machines were given.
    pub inputs: u64,
    /// How large the machines were when each day came to rest: bytes of what they print.
    pub sizes: Vec<usize>,
}

impl World {
    /// So many days of users and faults, each with its rest.
    ///
    /// # Errors
    ///
    /// What does not hold; V5 if the machines grow.
    pub fn soak(&mut self, days: u64) -> Result<Soaked, Violation> {
        let swarm = self.swarm.clone();
        self.choices.begin(Step::Start);
        self.start()?;
        let mut sizes = Vec::new();
        for day in 1..=days {
            (self.swarm, self.healed, self.actions, self.backend.sticky) = (swarm.clone(), false, 0, true);
            self.act()?;
            self.come_to_rest()?;
            sizes.push(self.clients.iter().map(size).sum());
            self.now = self.now.max(Time(day * DAY));
        }
        let soaked = Soaked { inputs: self.inputs, sizes };
        match soaked.grows() {
            true => Err(Violation::new("V5", format!("machines grow from day to day: {:?}", soaked.sizes))),
            false => Ok(soaked),
        }
    }

    /// Users act, until they have done enough.
    pub(super) fn act(&mut self) -> Result<(), Violation> {
        self.schedule(0, Event::User);
        while self.actions < self.swarm.actions && !self.choices.is_over(Step::User) {
            let Some(event) = self.next() else { break };
            self.dispatch(event)?;
            if self.swarm.crash_anywhere > 0 {
                self.choices.begin(Step::Kill);
            }
            if self.choices.chance(self.swarm.crash_anywhere) && self.choices.chance(10) {
                let c = self.choices.index(self.clients.len());
                self.crash(c)?;
            }
        }
        Ok(())
    }
}

/// How much a client's machine prints, but for the failed commits of unknown fate: those are kept until somebody decides, and nobody does.
fn size(client: &Client) -> usize {
    let Some(node) = client.node() else { return 0 };
    let printed = |quarantined| format!("{quarantined:?}, ").len();
    let undecided: usize = client.disk.boot(&client.name).uncertain.iter().map(printed).sum();
    format!("{node:?}").len().saturating_sub(undecided)
}

impl Soaked {
    /// Whether the last third is larger than anything in the middle: what goes up and down is no growth.
    fn grows(&self) -> bool {
        let Some(later) = self.sizes.get(FILLED..).filter(|later| later.len() >= 6) else { return false };
        let (middle, last) = later.split_at(later.len() * 2 / 3);
        let largest = |days: &[usize]| days.iter().copied().max().unwrap_or(0);
        let smallest = |days: &[usize]| days.iter().copied().min().unwrap_or(0);
        smallest(last) > largest(middle)
    }
}

impl fmt::Display for Soaked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.sizes.first().unwrap_or(&0), self.sizes.last().unwrap_or(&0));
        write!(f, "{} inputs, {first} bytes of machines after the first day and {last} after the last", self.inputs)
    }
}
