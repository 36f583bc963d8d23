//! The blocking runtime: plain threads, no executor.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use countersign_core::Input;

use super::{Shared, pull, push, storage};
use crate::backend::Lanes;
use crate::storage::Storage;
use crate::store::inside;
use crate::sync::{lock, wait_until};

/// The machine's deadline, for the thread that keeps it.
#[derive(Default)]
pub(crate) struct Timer {
    state: Mutex<(Option<Instant>, bool)>,
    news: Condvar,
}

impl Timer {
    /// Sets the deadline. Wakes the thread only if it would sleep too long: one that wakes early goes back to sleep.
    pub(crate) fn set(&self, deadline: Option<Instant>) {
        let mut state = lock(&self.state);
        let earlier = deadline.is_some_and(|new| state.0.is_none_or(|old| new < old));
        state.0 = deadline;
        if earlier {
            self.news.notify_one();
        }
    }

    pub(crate) fn close(&self) {
        lock(&self.state).1 = true;
        self.news.notify_all();
    }

    /// Blocks until the deadline has passed; `false` when the timer is closed.
    fn wait(&self) -> bool {
        let mut state = lock(&self.state);
        loop {
            let (deadline, closed) = *state;
            if closed {
                return false;
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                state.0 = None;
                return true;
            }
            state = wait_until(&self.news, state, deadline);
        }
    }
}

/// Starts the threads of a store: all of them, or none.
pub(crate) fn start(
    shared: &Arc<Shared>,
    storage: Storage,
    lanes: Option<Lanes>,
    timer: Arc<Timer>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let mut work: Vec<(&'static str, Work)> = vec![("storage", Box::new(move |shared| storage::run(shared, storage)))];
    if let Some(Lanes { push, pull }) = lanes {
        work.push(("push", Box::new(move |shared| push::run(shared, push))));
        work.push(("pull", Box::new(move |shared| pull::run(shared, pull))));
    }
    work.push((
        "timer",
        Box::new(move |shared| {
            while timer.wait() {
                shared.feed(Input::Timer);
            }
        }),
    ));
    let spawn = |(name, work): (&'static str, Work)| {
        let shared = Arc::clone(shared);
        thread::Builder::new().name(format!("countersign-{name}")).spawn(move || {
            inside::mark_own_thread();
            let ending = Ending { shared: &shared, storage: name == "storage" };
            work(&shared);
            drop(ending);
        })
    };
    let threads: io::Result<Vec<_>> = work.into_iter().map(spawn).collect();
    // Those that run already would wait for ever, with the file open and locked.
    threads.inspect_err(|_| shared.close_lanes())
}

type Work = Box<dyn FnOnce(&Arc<Shared>) + Send>;

/// Tells that a thread has ended, however it has.
struct Ending<'a> {
    shared: &'a Arc<Shared>,
    storage: bool,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if thread::panicking() && self.storage {
            // Nothing will ever be stored again: nobody is to wait for it.
            crate::store::give_up(self.shared);
        }
        let storage = self.storage;
        self.shared.signal_rest(|ended| {
            ended.lanes += 1;
            ended.storage |= storage;
        });
    }
}
