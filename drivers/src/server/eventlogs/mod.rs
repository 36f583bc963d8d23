//! The logs of all stores, below one directory. Opened when somebody connects, closed when nobody has been for a while.

mod eventlog;
mod item;
mod recent;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use blocking::unblock;
use countersign_core::BackendFailure;

pub(super) use eventlog::{Eventlog, Served};

use super::limits::Limits;
use super::metrics::Metrics;
use crate::backend::sqlite_file::Mode;
use crate::livestore::protocol::is_store_id;

/// The end of a log's file name.
const ENDING: &str = ".eventlog";
/// Longer ones would not fit the name of a file, with its ending and SQLite's.
const STORE_ID_BYTES: usize = 100;

/// Why a store's log is not to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OpenRefusal {
    #[error("a store id may have letters, digits, `_` and `-`, from 1 to 100 of them")]
    StoreId,
    #[error("there is no such store here, and this token may not make it: it has to be written to first")]
    Missing,
    #[error("there are {0} stores here, which is the limit: no other one is made")]
    TooMany(usize),
    #[error("this server has {0} stores open, which is the limit; try again later")]
    TooManyOpen(usize),
    /// Not for clients: it names files.
    #[error("{0}")]
    Trouble(Arc<str>),
}

impl From<BackendFailure> for OpenRefusal {
    fn from(failure: BackendFailure) -> Self {
        match failure {
            BackendFailure::Unreachable { message, .. } => Self::Trouble(message),
            other => Self::Trouble(format!("{other:?}").into()),
        }
    }
}

/// The logs below a directory.
pub(super) struct Eventlogs {
    dir: PathBuf,
    metrics: Arc<Metrics>,
    limit: usize,
    open_limit: usize,
    /// Files there are.
    stores: Arc<AtomicUsize>,
    open: Mutex<BTreeMap<Arc<str>, Open>>,
}

struct Open {
    log: Arc<Eventlog>,
    /// Since when nobody has been connected, as far as was looked.
    idle: Option<Instant>,
}

impl Eventlogs {
    pub(super) fn new(dir: PathBuf, limits: &Limits, metrics: Arc<Metrics>) -> io::Result<Self> {
        let mut stores = 0;
        for entry in fs::read_dir(&dir)? {
            stores += usize::from(entry?.file_name().to_str().is_some_and(|name| name.ends_with(ENDING)));
        }
        let (limit, open_limit, stores) = (limits.stores, limits.open_stores, Arc::new(AtomicUsize::new(stores)));
        Ok(Self { dir, metrics, limit, open_limit, stores, open: Mutex::default() })
    }

    /// The log of this store, made if it is not there and may be.
    pub(super) async fn open(&self, store_id: &str, may_make: bool) -> Result<Arc<Eventlog>, OpenRefusal> {
        if store_id.len() > STORE_ID_BYTES || !is_store_id(store_id) {
            return Err(OpenRefusal::StoreId);
        }
        let (log, closed) = self.find(store_id)?;
        if closed.is_some() {
            // Before another one takes its place in what the system allows.
            unblock(move || drop(closed)).await;
        }
        let (stores, limit) = (self.stores.clone(), self.limit);
        let opened = log.open(move |path| mode(path, may_make, &stores, limit)).await;
        if opened.is_err() {
            let mut open = self.lock();
            // The map's and this one: nobody else is opening it right now.
            if !log.is_open() && Arc::strong_count(&log) == 2 {
                open.remove(store_id);
            }
        }
        opened.map(|()| log)
    }

    /// The log of this store, open or not; and, if there is only so room for it, one that nobody uses, taken out.
    fn find(&self, store_id: &str) -> Result<(Arc<Eventlog>, Option<Arc<Eventlog>>), OpenRefusal> {
        let mut open = self.lock();
        if let Some(known) = open.get_mut(store_id) {
            known.idle = None;
            return Ok((known.log.clone(), None));
        }
        let mut closed = None;
        if open.len() >= self.open_limit {
            let unused = open.iter().filter(|(_, open)| Arc::strong_count(&open.log) == 1);
            // Not yet found to be idle is later than any moment.
            let longest = unused.min_by_key(|(_, open)| (open.idle.is_none(), open.idle)).map(|(store_id, _)| store_id.clone());
            let longest = longest.ok_or(OpenRefusal::TooManyOpen(self.open_limit))?;
            closed = open.remove(&longest).map(|open| open.log);
        }
        let log = Arc::new(Eventlog::new(self.path(store_id), self.metrics.clone()));
        open.insert(store_id.into(), Open { log: log.clone(), idle: None });
        Ok((log, closed))
    }

    /// Those that nobody has used for this long, taken out: to be dropped where that may block.
    pub(super) fn take_idle(&self, for_so_long: Duration) -> Vec<Arc<Eventlog>> {
        let now = Instant::now();
        let mut taken = Vec::new();
        self.lock().retain(|_, open| {
            if Arc::strong_count(&open.log) > 1 {
                open.idle = None;
                return true;
            }
            let since = *open.idle.get_or_insert(now);
            let keep = now.duration_since(since) < for_so_long;
            if !keep {
                taken.push(open.log.clone());
            }
            keep
        });
        taken
    }

    /// All of them, taken out.
    pub(super) fn take_all(&self) -> Vec<Arc<Eventlog>> {
        std::mem::take(&mut *self.lock()).into_values().map(|open| open.log).collect()
    }

    /// Wakes all who listen to any of them.
    pub(super) fn nudge(&self) {
        self.lock().values().for_each(|open| open.log.nudge());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, store_id: &str) -> PathBuf {
        self.dir.join(file_name(store_id))
    }
}

/// Capitals are marked: there are file systems that take them for small letters, and two stores must not share a file.
fn file_name(store_id: &str) -> String {
    let mut name = String::with_capacity(store_id.len() + ENDING.len());
    for letter in store_id.chars() {
        if letter.is_ascii_uppercase() {
            name.push('+');
        }
        name.push(letter);
    }
    name.push_str(ENDING);
    name
}

/// How a file may be opened; counts the one that is about to be made.
fn mode(path: &Path, may_make: bool, stores: &AtomicUsize, limit: usize) -> Result<Mode, OpenRefusal> {
    if path.exists() {
        return Ok(Mode::Write);
    }
    if !may_make {
        return Err(OpenRefusal::Missing);
    }
    let one_more = |stores| (stores < limit).then_some(stores + 1);
    // A file that then can't be made is counted until the next start: a full disk makes no room for others.
    stores.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).map_err(|_| OpenRefusal::TooMany(limit))?;
    Ok(Mode::Create)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_differ_in_more_than_capitals() {
        assert_eq!(file_name("shop-1"), "shop-1.eventlog");
        assert_eq!(file_name("ShopA_"), "+Shop+A_.eventlog");
        assert!(file_name(&"A".repeat(STORE_ID_BYTES)).len() + "-journal".len() < 255);
    }
}
