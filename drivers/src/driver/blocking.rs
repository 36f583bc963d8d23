//! The blocking runtime: plain threads, no executor.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use countersign_core::Input;

use super::{Shared, Timer, pull, push, storage};
use crate::backend::Lanes;
use crate::storage::Storage;

/// Starts the threads of a store, one of which keeps the machine's deadline.
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
        shared.signal_rest(|ended| ended.lanes += 1);
    };
    threads.push(spawn(shared, "timer", keep)?);
    Ok(threads)
}

/// Starts the lanes: whatever the runtime, SQLite and blocking backends have threads of their own.
pub(super) fn start_lanes(shared: &Arc<Shared>, storage: Storage, lanes: Option<Lanes>) -> io::Result<Vec<JoinHandle<()>>> {
    let mut threads = vec![spawn(shared, "storage", |shared| storage::run(shared, storage))?];
    if let Some(Lanes { push, pull }) = lanes {
        threads.push(spawn(shared, "push", |shared| push::run(shared, push))?);
        threads.push(spawn(shared, "pull", |shared| pull::run(shared, pull))?);
    }
    Ok(threads)
}

fn spawn(shared: &Arc<Shared>, name: &str, work: impl FnOnce(&Arc<Shared>) + Send + 'static) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    thread::Builder::new().name(format!("countersign-{name}")).spawn(move || work(&shared))
}
