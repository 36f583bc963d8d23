//! Scenes: what a few users do, one thing after the other, told the same by the simulated world and by real stores.
//!
//! After each deed everything comes to rest, so that what is told depends on nothing but the deeds: how each receipt stands, what
//! each client's syncing is doing, and at the end each client's log and state. What differs is a difference between the simulated lanes and
//! the real ones.

mod named;
mod player;
mod random;
mod real;
mod simulated;
mod told;

use std::fmt;

use countersign_core::Batch;

use crate::driver::Driver;
use crate::world::Violation;
pub use named::{NAMED, Named};
pub use told::Told;

/// Something that happens. The first number is the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A commit, in one of the client's open sessions.
    Commit(usize, usize, Batch),
    /// A commit whose push is taken, and the reply is lost.
    ReplyLost(usize, Batch),
    /// Another session is opened.
    Open(usize),
    /// The commit with this number, in the order of the scene, is withdrawn by its author.
    Withdraw(usize),
    /// There is no network any more.
    Offline(usize),
    /// There is one again.
    Online(usize),
    /// The program ends, and another one starts, with one session.
    Restart(usize),
    /// The backend is another, empty one from now on.
    Reset,
    /// The user lets the store begin anew with a backend that is another one.
    Accept(usize),
}

/// What happens, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// How many clients there are.
    pub clients: usize,
    /// Whether there is a backend.
    pub backend: bool,
    /// The deeds. At the end everybody is online.
    pub deeds: Vec<Deed>,
}

impl Scene {
    /// Some scene.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        random::draw(seed)
    }

    /// Plays it in the simulated world.
    ///
    /// # Errors
    ///
    /// What does not hold there.
    pub fn simulated(&self) -> Result<Told, Violation> {
        player::play(self, &mut simulated::Simulated::new(self)?)
    }

    /// Plays it with real stores on this driver, on files and a backend of their own.
    ///
    /// # Errors
    ///
    /// What does not hold there.
    ///
    /// # Panics
    ///
    /// If a store can't be opened, read or closed.
    pub fn real(&self, driver: Driver) -> Result<Told, Violation> {
        player::play(self, &mut real::Real::new(self, driver))
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deeds.iter().try_for_each(|deed| writeln!(f, "{deed}"))
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |client: &usize| told::NAMES[*client];
        match self {
            Self::Commit(who, 0, batch) => write!(f, "{} commits{}", name(who), Said(batch)),
            Self::Commit(who, session, batch) => write!(f, "{} commits in session {}{}", name(who), session + 1, Said(batch)),
            Self::ReplyLost(who, batch) => write!(f, "{} commits, and the reply is lost{}", name(who), Said(batch)),
            Self::Open(who) => write!(f, "{} opens another session", name(who)),
            Self::Withdraw(commit) => write!(f, "commit {} is withdrawn", commit + 1),
            Self::Offline(who) => write!(f, "{} is offline", name(who)),
            Self::Online(who) => write!(f, "{} is online", name(who)),
            Self::Restart(who) => write!(f, "{} is restarted", name(who)),
            Self::Reset => write!(f, "the backend is another one"),
            Self::Accept(who) => write!(f, "{} begins anew with the other backend", name(who)),
        }
    }
}

/// What is in a batch.
struct Said<'a>(&'a Batch);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Batch { events, guard } = self.0;
        match events.as_slice() {
            [first, .., last] if events.len() > 4 => write!(f, " {} events, {} to {}", events.len(), first.args, last.args)?,
            few => few.iter().try_for_each(|event| write!(f, " {}{}", event.name, event.args))?,
        }
        guard.iter().try_for_each(|guard| write!(f, " if {}{}", guard.name, guard.args))
    }
}
