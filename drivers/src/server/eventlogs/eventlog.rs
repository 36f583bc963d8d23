//! The log of one store: who appends, who reads, and what has been published of it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_lock::{Mutex as Turn, MutexGuardArc as Held};
use blocking::unblock;
use countersign_core::{BackendFailure, BackendId};
use event_listener::{Event, EventListener};

use super::super::metrics::Metrics;
use super::item::{Item, fitting};
use super::recent::Recent;
use crate::backend::log::{Cursor, Draft, Log, Slice};
use crate::backend::sqlite_file::Mode;
use crate::backend::sqlite_log::SqliteLog;
use crate::livestore::protocol::MESSAGE_EVENTS;

/// A handle on the log that is opened when it is wanted, and anew after a failure.
type Handle = Option<Box<dyn Log>>;

/// One store's log. Appends are serialised, and published in their order before they are acknowledged; reading does not
/// stand in their way.
pub(in crate::server) struct Eventlog {
    path: PathBuf,
    metrics: Arc<Metrics>,
    /// Before the one that writes, so that it is closed first: who only reads leaves SQLite's side files behind.
    reader: Arc<Turn<Handle>>,
    appender: Arc<Turn<Handle>>,
    published: Mutex<Option<Published>>,
    news: Event,
}

/// What everybody may be told of.
struct Published {
    backend: BackendId,
    head: u64,
    recent: Recent,
    /// Raised when another log has taken this one's place.
    edition: u64,
}

/// A page of the log.
#[derive(Debug)]
pub(in crate::server) struct Served {
    pub(in crate::server) items: Vec<Arc<Item>>,
    /// The position of the last event there is.
    pub(in crate::server) head: u64,
    pub(in crate::server) backend: BackendId,
}

impl Eventlog {
    pub(super) fn new(path: PathBuf, metrics: Arc<Metrics>) -> Self {
        metrics.open_stores.up();
        let (reader, appender) = Default::default();
        Self { path, metrics, reader, appender, published: Mutex::default(), news: Event::new() }
    }

    /// Opens the file, unless that was done before; `allow` is asked first whether it may be.
    pub(super) async fn open<E: From<BackendFailure> + Send + 'static>(
        self: &Arc<Self>,
        allow: impl FnOnce(&std::path::Path) -> Result<Mode, E> + Send + 'static,
    ) -> Result<(), E> {
        if self.is_open() {
            return Ok(());
        }
        let (this, mut handle) = (self.clone(), self.appender.lock_arc().await);
        unblock(move || {
            if this.is_open() {
                return Ok(());
            }
            let mode = allow(&this.path)?;
            this.usable(&mut handle, mode)?;
            Ok(())
        })
        .await
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    /// Appends a batch, durably, and publishes it. Goes on if nobody waits for it any more once it has begun.
    pub(in crate::server) async fn push(
        self: &Arc<Self>,
        expected: Option<BackendId>,
        parent: u64,
        drafts: Vec<Draft>,
    ) -> Result<(), BackendFailure> {
        let under_way = UnderWay::new(self.metrics.clone());
        let (this, mut handle) = (self.clone(), self.appender.lock_arc().await);
        unblock(move || {
            let _under_way = under_way;
            this.append(&mut handle, expected.as_ref(), parent, &drafts)
        })
        .await
    }

    /// The page after this position: of 100 events at most, and of so many bytes unless the first event alone has more. Empty
    /// at the end of the log and beyond.
    pub(in crate::server) async fn page(
        self: &Arc<Self>,
        expected: Option<BackendId>,
        after: u64,
        max_bytes: usize,
    ) -> Result<Served, BackendFailure> {
        let served = match self.recent(expected.as_ref(), after)? {
            Some(served) => served,
            None => {
                let (this, handle) = (self.clone(), self.reader.lock_arc().await);
                unblock(move || this.read(handle, expected.as_ref(), after)).await?
            }
        };
        let Served { mut items, head, backend } = served;
        items.truncate(fitting(&items, MESSAGE_EVENTS, max_bytes));
        Ok(Served { items, head, backend })
    }

    /// The position of the last event that was published, and the log's edition: with another one, all that was read is void.
    pub(in crate::server) fn published(&self) -> (u64, u64) {
        self.lock().as_ref().map_or((0, 0), |published| (published.head, published.edition))
    }

    /// To be asked for before looking whether there are news.
    pub(in crate::server) fn listen(&self) -> EventListener {
        self.news.listen()
    }

    /// Wakes all who listen, so that they look at other things too.
    pub(in crate::server) fn nudge(&self) {
        self.news.notify(usize::MAX);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Published>> {
        // What it guards is changed in steps that can't panic.
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self, expected: Option<&BackendId>, after: u64) -> Result<Option<Served>, BackendFailure> {
        let published = self.lock();
        let Some(Published { backend, head, recent, .. }) = &*published else { return Ok(None) };
        if expected.is_some_and(|expected| expected != backend) {
            return Err(BackendFailure::Identity { theirs: backend.clone() });
        }
        let items = if after >= *head { Some(Vec::new()) } else { recent.after(after) };
        Ok(items.map(|items| Served { items, head: *head, backend: backend.clone() }))
    }

    fn read(&self, mut handle: Held<Handle>, expected: Option<&BackendId>, after: u64) -> Result<Served, BackendFailure> {
        let log = self.usable(&mut handle, Mode::Read)?;
        let slice = log.read(expected, &Cursor::after(after))?;
        let items = items(&slice)?;
        Ok(Served { items, head: slice.head, backend: slice.page.backend })
    }

    fn append(
        &self,
        handle: &mut Handle,
        expected: Option<&BackendId>,
        parent: u64,
        drafts: &[Draft],
    ) -> Result<(), BackendFailure> {
        let log = self.usable(handle, Mode::Write)?;
        let start = Instant::now();
        if let Err(failure) = log.append(expected, parent, drafts) {
            // It may be ahead by events that were stored and could not be published: who is told so has to find them.
            if matches!(failure, BackendFailure::ServerAhead { head } if head > self.published().0) {
                self.publish(log)?;
            }
            return Err(failure);
        }
        self.metrics.append.observe(start.elapsed());
        // Whatever fails from here on, the batch is stored: an answer that says so for sure needs its publication.
        self.publish(log).map_err(|failure| {
            let message = format!("the events were stored and could not be read back: {failure:?}");
            BackendFailure::Unreachable { message: message.into(), maybe_applied: true }
        })
    }

    /// Reads on from where publication stands. So it says what the log says, whatever became of earlier appends.
    fn publish(&self, log: &mut dyn Log) -> Result<(), BackendFailure> {
        loop {
            let slice = log.read(None, &Cursor::after(self.published().0))?;
            let items = items(&slice)?;
            if let (Some(last), Some(published)) = (items.last(), &mut *self.lock()) {
                published.head = last.seq;
                items.iter().cloned().for_each(|item| published.recent.push(item));
            }
            if !items.is_empty() {
                self.news.notify(usize::MAX);
            }
            if !slice.page.more {
                return Ok(());
            }
        }
    }

    /// The handle, opened if need be. Then the file may be another one than before.
    fn usable<'a>(&self, handle: &'a mut Handle, mode: Mode) -> Result<&'a mut dyn Log, BackendFailure> {
        let log = match handle.take().filter(|log| log.is_usable()) {
            Some(log) => log,
            None => {
                let mut log: Box<dyn Log> = Box::new(SqliteLog::open(&self.path, mode)?);
                let Slice { page, head, .. } = log.read(None, &Cursor::after(u64::MAX))?;
                self.compare(page.backend, head);
                log
            }
        };
        Ok(&mut **handle.insert(log))
    }

    fn compare(&self, backend: BackendId, head: u64) {
        let mut published = self.lock();
        let (is_same, edition) = match &*published {
            Some(before) => (before.backend == backend && before.head <= head, before.edition),
            None => (false, 0),
        };
        if !is_same {
            if published.is_some() {
                tracing::warn!(path = %self.path.display(), head, "another log has taken this one's place; its clients are cut off");
            }
            *published = Some(Published { backend, head, recent: Recent::default(), edition: edition + 1 });
            self.news.notify(usize::MAX);
        }
    }
}

impl Drop for Eventlog {
    fn drop(&mut self) {
        self.metrics.open_stores.down();
    }
}

fn items(slice: &Slice) -> Result<Vec<Arc<Item>>, BackendFailure> {
    // Only what is JSON gets into a log: something has changed the file.
    Item::all(slice).map_err(|error| BackendFailure::Unreachable { message: error.to_string().into(), maybe_applied: false })
}

/// Counted until it is dropped.
struct UnderWay(Arc<Metrics>);

impl UnderWay {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.admitting.up();
        Self(metrics)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.admitting.down();
    }
}
