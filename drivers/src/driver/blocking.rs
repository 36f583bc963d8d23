//! The blocking runtime: plain threads, no executor.

use std::io;
use std::sync::Arc;

use countersign_core::Input;

use super::{Shared, Timer, pull, push, storage};
use crate::backend::Lanes;
use crate::storage::Storage;
use crate::store::{give_up, inside};
use crate::sync::thread::{self, JoinHandle};

/// Starts the threads of a store, one of which keeps the machine's deadline: all of them, or none.
pub(crate) fn start(
    shared: &Arc<Shared>,
    storage: Storage,
    lanes: Option<Lanes>,
    timer: Arc<Timer>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let mut threads = start_lanes(shared, storage, lanes)?;
    let keep = move |shared: &Arc<Shared>| {
        while timer.wait() {
            shared.feed(Input::Timer);
        }
    };
    threads.push(spawn(shared, "timer", keep)?);
    Ok(threads)
}

/// Starts the lanes: whatever the runtime, SQLite and blocking backends have threads of their own.
pub(super) fn start_lanes(shared: &Arc<Shared>, storage: Storage, lanes: Option<Lanes>) -> io::Result<Vec<JoinHandle<()>>> {
    let mut threads = vec![spawn(shared, STORAGE, |shared| storage::run(shared, storage))?];
    if let Some(Lanes { push, pull }) = lanes {
        threads.push(spawn(shared, "push", |shared| push::run(shared, push))?);
        threads.push(spawn(shared, "pull", |shared| pull::run(shared, pull))?);
    }
    Ok(threads)
}

const STORAGE: &str = "storage";

fn spawn(
    shared: &Arc<Shared>,
    name: &'static str,
    work: impl FnOnce(&Arc<Shared>) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let of_thread = Arc::clone(shared);
    let spawned = thread::Builder::new().name(format!("countersign-{name}")).spawn(move || {
        inside::mark_own_thread();
        let _ending = Ending { shared: &of_thread, is_storage: name == STORAGE };
        work(&of_thread);
    });
    // Those that run already would wait for ever, with the file open and locked.
    spawned.inspect_err(|_| shared.close_lanes())
}

/// Tells that a thread has ended, however it has.
struct Ending<'a> {
    shared: &'a Arc<Shared>,
    is_storage: bool,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if self.is_storage && thread::panicking() {
            // Nothing will ever be stored again: nobody is to wait for it.
            give_up(self.shared);
        }
        self.shared.signal_rest(|ended| {
            ended.lanes += 1;
            ended.storage |= self.is_storage;
        });
    }
}
