//! Opening a store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_core::{BackendFailure, Config, Input, Node};

use super::{Handle, Session, Store};
use crate::backend::{Backend, Who};
use crate::clock::Clock;
use crate::driver::{Hub, Shared, Timer, blocking};
use crate::record::{Machine, Recorder};
use crate::state::Schema;
use crate::storage::{Durability, OpenError, OpenReport, Options, Progress, Storage};
use crate::sync::Mutex;
use crate::sync::thread::JoinHandle;

/// How a store is to be opened: made by [`Store::open`].
#[must_use = "nothing is opened before `blocking` or `smol`"]
pub struct Opener {
    path: PathBuf,
    schema: Option<Schema>,
    backend: Option<Arc<dyn Backend>>,
    store_id: Arc<str>,
    durability: Durability,
    size_limit: Option<u64>,
    config: Config,
    clock: Clock,
    offline: bool,
    progress: Option<Box<dyn FnMut(Progress)>>,
    record: Option<Box<dyn io::Write + Send>>,
}

impl Opener {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            schema: None,
            backend: None,
            store_id: Arc::from("main"),
            durability: Durability::default(),
            size_limit: None,
            config: Config::default(),
            clock: Clock::default(),
            offline: false,
            progress: None,
            record: None,
        }
    }

    /// The tables, events and materialisers. Has to be given.
    pub fn schema(mut self, schema: Schema) -> Self {
        self.schema = Some(schema);
        self
    }

    /// The sync backend. Without one the store is local; one that was local until now makes its whole log pending.
    pub fn backend(mut self, backend: impl Backend) -> Self {
        self.backend = Some(Arc::new(backend));
        self
    }

    /// Which of the backend's logs is meant; `main` if not given.
    pub fn store_id(mut self, store_id: &str) -> Self {
        self.store_id = Arc::from(store_id);
        self
    }

    /// Which crash an acknowledged commit survives; loss of power if not given.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How large the store's file may grow, in bytes, the log that SQLite writes ahead not counted; no limit if not given. A store that
    /// has reached it does as on a full disk: commits wait for room, and nothing is lost.
    pub fn size_limit(mut self, bytes: u64) -> Self {
        self.size_limit = Some(bytes);
        self
    }

    /// Limits and policies. Whether there is a backend is not taken from here.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Starts as if [`News::Offline`](super::News::Offline) had been told already: nothing is pushed before
    /// [`News::Online`](super::News::Online).
    pub fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// What time it is; the system's clock if not given. For tests of an application: see [`crate::testing`].
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Told how far the state has been built anew, if the schema is another one than last time.
    pub fn progress(mut self, progress: impl FnMut(Progress) + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Writes down everything that the store's machine is told, as [`crate::Recording`] reads it: what a bug report needs. Every event
    /// that is committed or pulled is in it, and what was pending when the store was opened, in the clear.
    ///
    /// The sink is written to under the machine's lock, so it should be fast: a file is. If it fails, the recording ends, an error is
    /// logged, and the store goes on.
    pub fn record(mut self, sink: impl io::Write + Send + 'static) -> Self {
        self.record = Some(Box::new(sink));
        self
    }

    /// Opens the store with threads of its own, without any async runtime. Receipts can be awaited all the same.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, the schema or the system; the file is then as it was.
    pub fn blocking(self) -> Result<Store, OpenError> {
        self.start(|backend, who| backend.lanes(who), blocking::start)
    }

    /// Opens the store for a program that runs on a smol executor: timers and sockets are async-io's, on tasks of this executor, which
    /// has to run for as long as the store is used; they end when the store is closed. Storage, and backends that block, have threads of
    /// their own all the same.
    ///
    /// Blocks while the file is opened, as `Store::commit` does while it is applied.
    ///
    /// # Errors
    ///
    /// As [`Opener::blocking`].
    #[cfg(feature = "smol")]
    pub fn smol(self, executor: &async_executor::Executor<'static>) -> Result<Store, OpenError> {
        use crate::driver::smol::{EitherLanes, start};
        self.start(EitherLanes::of, |shared, storage, lanes, timer| start(shared, storage, lanes, timer, executor))
    }

    fn start<L>(
        self,
        lanes: impl FnOnce(&dyn Backend, &Who) -> Result<L, BackendFailure>,
        start: impl FnOnce(&Arc<Shared>, Storage, Option<L>, Arc<Timer>) -> io::Result<Vec<JoinHandle<()>>>,
    ) -> Result<Store, OpenError> {
        let path = self.path;
        let schema = self.schema.ok_or_else(|| OpenError::NoSchema { path: path.clone() })?;
        let config = Config { backend: self.backend.is_some(), ..self.config };
        let options = Options {
            schema: schema.clone(),
            durability: self.durability,
            backend: config.backend,
            size_limit: self.size_limit,
            client: None,
            clock: self.clock.clone(),
            progress: self.progress,
        };
        let (storage, boot, report) = Storage::open(&path, options)?;
        log(&path, &report);
        let store_id = self.store_id;
        let who = Who { store_id: Arc::clone(&store_id), client: Arc::clone(&boot.client) };
        let described = self.backend.as_ref().map(|backend| backend.describe());
        let lanes = match self.backend {
            Some(backend) => Some(lanes(&*backend, &who).map_err(|failure| OpenError::Backend { message: said(&failure) })?),
            None => None,
        };
        let seed = seed()?;
        let snapshot_retry = config.backoff_min;
        let recorder = self.record.map(|sink| Recorder::start(sink, &config, &boot, seed)).transpose();
        let recorder =
            recorder.map_err(|error| OpenError::System { message: format!("the recording can't be written: {error}") })?;
        let node = Node::new(config, boot, seed)
            .map_err(|error| OpenError::Corrupt { path: path.clone(), message: Arc::from(error.to_string()) })?;
        let timer = Timer::new(self.clock);
        let of = (described, store_id);
        let node = Machine::new(node, recorder);
        let shared = Arc::new(Shared::new(path.clone(), schema, of, snapshot_retry, Hub::new(node, Arc::clone(&timer))));
        if self.offline {
            // Not drained before the lanes are there: whatever the machine wanted first, it comes after this.
            shared.prepare(Input::Offline);
        }
        let threads = start(&shared, storage, lanes, timer).map_err(|error| OpenError::System { message: error.to_string() })?;
        // What the machine has wanted from the start.
        shared.with(|_, _| ());
        let handle = Arc::new(Handle { shared, threads: Mutex::new(threads), deciding: Mutex::default() });
        let session = Session::open(&handle).map_err(|error| OpenError::Session { path, message: error.to_string() })?;
        Ok(Store { session })
    }
}

/// What a backend says that has no lanes for this store.
fn said(failure: &BackendFailure) -> String {
    match failure {
        BackendFailure::Unreachable { message, .. }
        | BackendFailure::NeedsAuth { message }
        | BackendFailure::Truncated { message }
        | BackendFailure::Unknown { message } => message.to_string(),
        other => format!("{other:?}"),
    }
}

fn log(path: &Path, report: &OpenReport) {
    if let Some(rebuilt) = &report.rebuilt {
        let (skipped, pending) = (rebuilt.skipped.len(), rebuilt.pending_skipped.len());
        tracing::info!(path = %path.display(), events = rebuilt.events, skipped, pending, "state built anew for another schema");
    }
}

/// For the jitter of retries.
fn seed() -> Result<u64, OpenError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| OpenError::System { message: error.to_string() })?;
    Ok(u64::from_ne_bytes(bytes))
}
