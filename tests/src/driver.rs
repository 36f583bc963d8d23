//! The drivers that a store can run on, so that a test can run on each of them.
//!
//! A whole test program runs on smol if the environment says so: see [`Driver::of_this_run`].

use std::sync::{Arc, OnceLock};
use std::thread;

use async_executor::Executor;
use countersign::{OpenError, Opener, Store};
use futures_lite::future::{block_on, pending};

/// Names the driver of a run.
pub const VARIABLE: &str = "COUNTERSIGN_DRIVER";

/// A driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Threads.
    Blocking,
    /// Tasks on a smol executor, which one thread runs for as long as the tests do.
    Smol,
}

impl Driver {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Blocking, Self::Smol];

    /// The driver that the environment names in [`VARIABLE`]: `smol`, or the blocking one if it says nothing.
    ///
    /// # Panics
    ///
    /// If it says something else.
    #[must_use]
    pub fn of_this_run() -> Self {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) | Ok("blocking") => Self::Blocking,
            Ok("smol") => Self::Smol,
            Ok(other) => panic!("{VARIABLE}={other} names no driver"),
        }
    }

    /// Opens a store on this driver.
    ///
    /// # Errors
    ///
    /// As [`Opener::blocking`].
    pub fn open(self, opener: Opener) -> Result<Store, OpenError> {
        match self {
            Self::Blocking => opener.blocking(),
            Self::Smol => opener.smol(executor()),
        }
    }
}

/// Opening on the driver of the run.
pub trait Start {
    /// Opens the store on [`Driver::of_this_run`].
    ///
    /// # Errors
    ///
    /// As [`Opener::blocking`].
    fn start(self) -> Result<Store, OpenError>;
}

impl Start for Opener {
    fn start(self) -> Result<Store, OpenError> {
        Driver::of_this_run().open(self)
    }
}

fn executor() -> &'static Executor<'static> {
    static EXECUTOR: OnceLock<Arc<Executor<'static>>> = OnceLock::new();
    EXECUTOR.get_or_init(|| {
        let executor = Arc::new(Executor::new());
        let running = executor.clone();
        thread::spawn(move || block_on(running.run(pending::<()>())));
        executor
    })
}
