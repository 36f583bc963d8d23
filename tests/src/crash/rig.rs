//! A folder with a store and its backend, on a disk that is looked after.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use countersign::backend::{BackendOpenError, EmbeddedBackend};
use countersign::core::Status;
use countersign::core::StorageClass;
use countersign::{
    CloseReport, CommitId, CommitReceipt, Config, Event, OpenError, Opener, Reader, Schema, Stage, Store, SyncState,
};
use tempfile::TempDir;

use super::ledger::{Ledger, Shared};
use super::scenario::{Run, Scenario, Stop};
use crate::todos::{LONG, builder};
use crate::vfs::{Disk, Image};

/// The store's file.
pub(super) const STORE: &str = "store.db";
/// The backend's file.
pub(super) const BACKEND: &str = "backend.db";

/// A guard: there is no todo of this id.
pub(super) const UNUSED: &str = "v1.Unused";

/// What somebody does about a disk that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Help {
    /// Nothing: it comes back by itself.
    Patience,
    /// Mends it once the trouble is seen.
    Mend,
    /// Nothing, and it doesn't.
    Despair,
}

/// A place to run a scenario in.
pub(super) struct Rig {
    pub(super) scenario: &'static Scenario,
    pub(super) disk: Arc<Disk>,
    pub(super) ledger: Shared,
    help: Help,
    folder: TempDir,
    stores: Mutex<Vec<Store>>,
    reports: Mutex<Vec<CloseReport>>,
}

impl Rig {
    /// With these files, and knowing this.
    pub(super) fn new(scenario: &'static Scenario, image: Image, ledger: Ledger, help: Help) -> Run<Self> {
        let folder = crate::vfs::folder().map_err(wrong)?;
        let disk = Disk::new(folder.path(), image).map_err(wrong)?;
        let ledger = Shared::new(ledger);
        let observed = ledger.clone();
        disk.observe(move |at| observed.lock().look(at));
        Ok(Self { scenario, disk, ledger, help, folder, stores: Mutex::default(), reports: Mutex::default() })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The backend, made if there is none.
    pub(super) fn backend(&self) -> Run<EmbeddedBackend> {
        self.again(
            "the backend",
            |error| !matches!(error, BackendOpenError::Damaged { .. } | BackendOpenError::NotALog { .. }),
            || EmbeddedBackend::open(self.path(BACKEND)),
        )
    }

    /// Opens the store as the scenario has it.
    pub(super) fn open(&self) -> Run<Store> {
        let backend = if self.scenario.has_backend { Some(self.backend()?) } else { None };
        self.open_with(STORE, |opener| match &backend {
            Some(backend) => opener.backend(backend.clone()),
            None => opener,
        })
    }

    /// Opens the store in another way.
    pub(super) fn open_with(&self, name: &str, how: impl Fn(Opener) -> Opener) -> Run<Store> {
        let schema = schema(self.scenario.schema())?;
        let config = (self.scenario.configure)(self.scenario.seed, config());
        let store = self.again(name, is_passing, || {
            let opener = Store::open(self.path(name)).schema(schema.clone()).config(config.clone());
            how(opener.durability(self.scenario.durability)).blocking()
        })?;
        lock(&self.stores).push(store.clone());
        Ok(store)
    }

    /// Tries until it works, as long as the disk excuses what it fails with.
    pub(super) fn again<T, E: std::fmt::Display>(
        &self,
        what: &str,
        is_passing: impl Fn(&E) -> bool,
        mut attempt: impl FnMut() -> Result<T, E>,
    ) -> Run<T> {
        let began = Instant::now();
        loop {
            let error = match attempt() {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if self.disk.failed() == 0 || !is_passing(&error) || began.elapsed() > LONG {
                return Err(Stop::Wrong(format!("{what}: {error}")));
            }
            self.disk_failed()?;
            // The threads of the attempt may still hold the file.
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    pub(super) fn commit(&self, store: &Store, events: Vec<Event>) -> Run<CommitId> {
        let count = events.len();
        Ok(self.took(store.commit(events).map_err(wrong)?, count))
    }

    /// A commit of so many events was taken.
    pub(super) fn took(&self, receipt: CommitReceipt, events: usize) -> CommitId {
        let id = receipt.id();
        self.ledger.lock().commit(receipt, events);
        id
    }

    /// Waits until everything is confirmed, here and by the backend.
    pub(super) fn sync(&self, store: &Store) -> Run {
        self.until(store, "all is synced", |status| {
            let is_synced = matches!(status.sync, SyncState::Synced | SyncState::NoBackend);
            is_synced && status.pending_events == 0 && status.drained && status.stored
        })
    }

    /// Waits until everything that was committed is stored.
    pub(super) fn store_all(&self, store: &Store) -> Run {
        self.until(store, "all is stored", |status| status.drained)
    }

    /// Waits until the backend stage of this commit has settled, whichever way.
    pub(super) fn settle(&self, id: CommitId) -> Run {
        let began = Instant::now();
        loop {
            self.disk.look();
            if self.ledger.lock().facts.contains_key(&(id, Stage::Backend)) {
                return Ok(());
            }
            if began.elapsed() > LONG {
                return Err(Stop::Wrong(format!("{id} does not settle (V1)")));
            }
            if self.disk.failed() > 0 {
                self.disk_failed()?;
            }
            std::thread::park_timeout(Duration::from_micros(200));
        }
    }

    pub(super) fn until(&self, store: &Store, what: &str, holds: impl Fn(&Status) -> bool) -> Run {
        loop {
            let is_in_trouble = |status: &Status| {
                let error = status.storage.is_some() || status.push_error.is_some() || status.pull_error.is_some();
                error && self.help != Help::Patience && self.disk.failed() > 0
            };
            let reached = store.wait_until(LONG, |status| holds(status) || is_damaged(status) || is_in_trouble(status));
            match reached {
                Ok(status) if holds(&status) => return Ok(()),
                Ok(status) if !is_damaged(&status) => {
                    self.disk_failed()?;
                    // Until the machine has tried again, the trouble still shows.
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                Ok(status) | Err(status) => return Err(Stop::Wrong(format!("not so: {what}: {status:?}"))),
            }
        }
    }

    /// Closes the store that was opened last, with everything stored.
    pub(super) fn close(&self, store: Store) -> Run {
        lock(&self.stores).pop();
        self.end(store)
    }

    fn end(&self, store: Store) -> Run {
        if self.help == Help::Mend {
            self.store_all(&store)?;
        }
        let patience = if self.help == Help::Despair { Duration::from_millis(20) } else { LONG };
        let report = store.close(patience);
        let persisted = report.persisted;
        lock(&self.reports).push(report.clone());
        match persisted {
            true => Ok(()),
            false if self.is_given_up() => Err(Stop::DiskFails),
            false => Err(Stop::Wrong(format!("closed without everything stored: {report:?}"))),
        }
    }

    /// Closes whatever is open, and waits until all files are let go. Answers what the stores gave back.
    pub(super) fn finish(&self) -> Run<Vec<CloseReport>> {
        self.disk.release();
        for store in std::mem::take(&mut *lock(&self.stores)) {
            match self.end(store) {
                Err(Stop::DiskFails) | Ok(()) => {}
                Err(wrong) => return Err(wrong),
            }
        }
        let began = Instant::now();
        while self.disk.open_files() > 0 {
            if began.elapsed() > LONG {
                return Err(Stop::Wrong(format!("{} files are still open after closing", self.disk.open_files())));
            }
            // Polls: lanes and the handle that the backend keeps end on threads of their own.
            std::thread::park_timeout(Duration::from_micros(200));
        }
        self.disk.look();
        Ok(std::mem::take(&mut *lock(&self.reports)))
    }

    /// What does not hold in the store's file, by every schema that it may have been written by.
    pub(super) fn check(&self, reader: &mut Reader) -> Run {
        let mut wrong_by_all = Vec::new();
        for &version in self.scenario.schemas {
            let found = reader.check(&schema(version)?).map_err(wrong)?;
            if found.is_empty() {
                return Ok(());
            }
            wrong_by_all.extend(found);
        }
        Err(Stop::Wrong(format!("the file is not sound: {wrong_by_all:?}")))
    }

    /// Whether the disk fails, for ever.
    pub(super) fn is_given_up(&self) -> bool {
        self.help == Help::Despair && self.disk.failed() > 0
    }

    fn disk_failed(&self) -> Run {
        match self.help {
            Help::Patience => {}
            Help::Mend => self.disk.heal(),
            Help::Despair => return Err(Stop::DiskFails),
        }
        Ok(())
    }
}

/// The schema of this version, built once: that is not what is tried here.
pub(super) fn schema(version: u32) -> Run<Schema> {
    static BUILT: Mutex<BTreeMap<u32, Schema>> = Mutex::new(BTreeMap::new());
    if let Some(schema) = lock(&BUILT).get(&version) {
        return Ok(schema.clone());
    }
    let unused = "SELECT NOT EXISTS (SELECT 1 FROM todos WHERE id = :id)";
    let schema = builder(version).guard_sql(UNUSED, unused, None).build().map_err(wrong)?;
    lock(&BUILT).insert(version, schema.clone());
    Ok(schema)
}

/// Tries again soon.
pub(super) fn config() -> Config {
    Config { backoff_min: Duration::from_millis(1), backoff_max: Duration::from_millis(5), ..Config::default() }
}

/// Whether a store may say so when it is opened on a failing disk, and be opened later.
pub(super) fn is_passing(error: &OpenError) -> bool {
    match error {
        OpenError::Storage { failure, .. } => failure.class != StorageClass::Corrupt,
        OpenError::NotWritable { .. } | OpenError::Session { .. } | OpenError::Locked { .. } => true,
        _ => false,
    }
}

fn is_damaged(status: &Status) -> bool {
    status.storage.as_ref().is_some_and(|failure| failure.class == StorageClass::Corrupt)
}

pub(super) fn wrong(error: impl std::fmt::Display) -> Stop {
    Stop::Wrong(error.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
