//! What is done to a store while it crashes.

use countersign::{Config, Durability, Store};

use super::rig::Rig;

/// Why a scenario went no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The disk fails, and will go on failing.
    DiskFails,
    /// Something that must hold does not.
    Wrong(String),
}

/// How a part of a scenario ended.
pub type Run<T = ()> = Result<T, Stop>;

/// Real work on a store's file, and what has to be known to judge it.
pub struct Scenario {
    /// How it is asked for.
    pub name: &'static str,
    /// What an acknowledged commit survives.
    pub durability: Durability,
    /// Whether its store has a backend, in the end.
    pub has_backend: bool,
    /// Versions of the schema that the file may have been written by; the last one is the store's.
    pub schemas: &'static [u32],
    /// Whether history is forgotten on purpose: what was acknowledged may then be unknown.
    pub forgets: bool,
    /// Whether it gets a backend on the way: what did not apply may then.
    pub attaches: bool,
    /// Whether it has so many points, on files so large, that all of them take too long.
    pub is_large: bool,
    /// What it is drawn from, if it is.
    pub seed: u64,
    /// Changes the configuration.
    pub configure: fn(u64, Config) -> Config,
    /// What there is before. The stores that it answers are still open when the files are taken.
    pub(super) setup: fn(&Rig) -> Run<Vec<Store>>,
    /// What is crashed.
    pub(super) run: fn(&Rig) -> Run,
}

impl Scenario {
    /// A store with a backend, one schema and full durability, on nothing.
    pub(super) const fn new(name: &'static str, run: fn(&Rig) -> Run) -> Self {
        Self {
            name,
            durability: Durability::Power,
            has_backend: true,
            schemas: &[1],
            forgets: false,
            attaches: false,
            is_large: false,
            seed: 0,
            configure: |_, config| config,
            setup: |_| Ok(Vec::new()),
            run,
        }
    }

    /// The version of the schema that the store has.
    pub(super) fn schema(&self) -> u32 {
        self.schemas.last().copied().unwrap_or(1)
    }
}
