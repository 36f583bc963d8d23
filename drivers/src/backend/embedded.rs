//! A sync backend for one machine: a log in a SQLite file of its own, which several stores share.
//!
//! It is a real backend: what it has acknowledged survives power loss, exactly one of several writers gets a position, and
//! who waits for news is told. It can also be made to fail, so that an application can be tried offline and in trouble.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::{BackendFailure, BackendId, OwnEvent, PulledEvent};

use super::bell::Bell;
use super::error::BackendOpenError;
use super::faults::Faults;
use super::lanes::{EmbeddedPull, EmbeddedPush, Slot};
use super::line::Switch;
use super::sqlite_file::Mode;
use super::sqlite_log::SqliteLog;
use super::{Backend, Lanes, Who};
use crate::sync::atomic::AtomicBool;

/// A log on this machine that gives events their global order. Clones share one switch and one set of faults; every other
/// handle on the same file, in this process or another, has its own, and shares the log.
///
/// The file is the log: stores with different store ids that are given the same file share their events.
#[derive(Clone)]
pub struct EmbeddedBackend {
    shared: Arc<Shared>,
}

struct Shared {
    path: Arc<Path>,
    mode: Mode,
    bell: Arc<Bell>,
    switch: Switch,
    faults: Arc<Faults>,
    /// For looking at the log from outside. Also keeps the file's side files in place while no lane is open.
    own: Mutex<Slot>,
}

impl EmbeddedBackend {
    /// Opens the backend in this file, and creates it if there is none, with a new identity and for this user only.
    ///
    /// # Errors
    ///
    /// If the file can't be created or written, is something else, is damaged, or was written by a newer version. A file that
    /// is something else is left as it is.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BackendOpenError> {
        SqliteLog::open(path.as_ref(), Mode::Create).map(|log| Self::of(log, Mode::Write))
    }

    /// The backend in this file, which need not be there yet, or be in order: it is opened by the first request, and never created. While
    /// it can't be opened it is out of reach, which stores cope with.
    #[must_use]
    pub fn at(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let path: Arc<Path> =
            std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.into()).into();
        let bell = Bell::of(&path);
        Self::assemble(path, bell, Mode::Write, Slot::default())
    }

    /// Opens the backend in this file to look at it, beside those who use it: it is never created or written, and takes no
    /// push.
    ///
    /// # Errors
    ///
    /// If there is no such file, it can't be read, or it is not the log of a backend of a known format.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, BackendOpenError> {
        SqliteLog::open(path.as_ref(), Mode::Read).map(|log| Self::of(log, Mode::Read))
    }

    /// Where the log is, links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Switches the backend off and on.
    #[must_use]
    pub fn switch(&self) -> Switch {
        self.shared.switch.clone()
    }

    /// Which log this is.
    ///
    /// # Errors
    ///
    /// If the file can't be read.
    pub fn identity(&self) -> Result<BackendId, BackendOpenError> {
        self.with_log(SqliteLog::read_identity)
    }

    /// The position of the last event; 0 if there is none.
    ///
    /// # Errors
    ///
    /// If the file can't be read.
    pub fn head(&self) -> Result<u64, BackendOpenError> {
        self.with_log(SqliteLog::head)
    }

    /// All events of one moment, in order. They are all held in memory.
    ///
    /// # Errors
    ///
    /// If the file can't be read.
    pub fn log(&self) -> Result<Vec<PulledEvent>, BackendOpenError> {
        self.with_log(SqliteLog::all)
    }
}

/// For tests: trouble on request. None of it outlives the handle, except what [`EmbeddedBackend::reset`] and
/// [`EmbeddedBackend::truncate`] do to the log.
impl EmbeddedBackend {
    /// Fails the next pushes before they reach the backend; 0 ends it.
    pub fn fail_next_pushes(&self, pushes: u32) {
        self.shared.faults.fail_next_pushes(pushes);
    }

    /// Takes pushes, and fails the next of those that were taken as if the reply had got lost; 0 ends it.
    pub fn lose_next_replies(&self, replies: u32) {
        self.shared.faults.lose_next_replies(replies);
    }

    /// Wants other credentials from now on, of those who pull too: pulls that wait are ended.
    pub fn want_credentials(&self, message: &str) {
        self.shared.faults.want_credentials(Some(message.into()));
        self.shared.bell.ring();
    }

    /// Takes whatever credentials it is given. A store that waits has to be told that there are new ones, by
    /// [`News::Authenticated`](crate::News::Authenticated).
    pub fn take_credentials(&self) {
        self.shared.faults.want_credentials(None);
    }

    /// Leaves the event at this position out of what is pulled, as a backend does whose log is damaged, as soon as it has a later one;
    /// `None` ends it. A store that has the event already does not notice.
    pub fn leave_out(&self, position: Option<u64>) {
        self.shared.faults.leave_out(position);
    }

    /// Refuses every push with an event that matches: for ever, naming those events, or without saying for how long. Rules
    /// add up until [`EmbeddedBackend::accept_all`].
    pub fn refuse(&self, matcher: impl Fn(&OwnEvent) -> bool + Send + Sync + 'static, forever: bool, message: &str) {
        self.shared.faults.refuse(Box::new(matcher), forever, message.into());
    }

    /// Ends all refusals.
    pub fn accept_all(&self) {
        self.shared.faults.accept_all();
    }

    /// Becomes another backend: the log is emptied for good, and gets a new identity, which is answered.
    ///
    /// # Errors
    ///
    /// If the file can't be written; then nothing was changed, unless the message says that it may have been.
    pub fn reset(&self) -> Result<BackendId, BackendOpenError> {
        self.with_log(SqliteLog::reset)
    }

    /// Loses the events behind position `to` for good, as a backend does that was restored from a backup. Answers how many.
    ///
    /// # Errors
    ///
    /// If the file can't be written; then nothing was changed, unless the message says that it may have been.
    pub fn truncate(&self, to: u64) -> Result<u64, BackendOpenError> {
        self.with_log(|log| log.truncate(to))
    }
}

impl Backend for EmbeddedBackend {
    fn lanes(&self, who: &Who) -> Result<Lanes, BackendFailure> {
        let Shared { path, mode, bell, switch, faults, .. } = &*self.shared;
        let push = EmbeddedPush {
            client: who.client.clone(),
            path: path.clone(),
            mode: *mode,
            switch: switch.clone(),
            faults: faults.clone(),
            slot: Slot::default(),
        };
        let pull = EmbeddedPull {
            path: path.clone(),
            mode: *mode,
            switch: switch.clone(),
            faults: faults.clone(),
            bell: bell.clone(),
            is_interrupted: Arc::new(AtomicBool::new(false)),
            slot: Slot::default(),
            stream: None,
        };
        Ok(Lanes { push: Box::new(push), pull: Box::new(pull) })
    }

    fn describe(&self) -> String {
        format!("embedded:{}", self.shared.path.display())
    }
}

impl fmt::Debug for EmbeddedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { path, switch, faults, .. } = &*self.shared;
        f.debug_struct("EmbeddedBackend")
            .field("path", path)
            .field("switch", switch)
            .field("faults", faults)
            .finish_non_exhaustive()
    }
}

impl EmbeddedBackend {
    /// `mode` is for opening the file again: by then it has to be there.
    fn of(log: SqliteLog, mode: Mode) -> Self {
        Self::assemble(log.path().clone(), log.bell().clone(), mode, Slot::of(log))
    }

    fn assemble(path: Arc<Path>, bell: Arc<Bell>, mode: Mode, own: Slot) -> Self {
        let switch = Switch::new(bell.clone());
        Self { shared: Arc::new(Shared { path, mode, bell, switch, faults: Arc::default(), own: Mutex::new(own) }) }
    }

    fn with_log<T>(&self, work: impl FnOnce(&mut SqliteLog) -> Result<T, BackendOpenError>) -> Result<T, BackendOpenError> {
        // A transaction that a panic interrupted was rolled back by its guard.
        let mut own = self.shared.own.lock().unwrap_or_else(PoisonError::into_inner);
        work(own.log(&self.shared.path, self.shared.mode)?)
    }
}

#[cfg(test)]
mod tests {
    use std::thread::JoinHandle;

    use countersign_core::{Page, Pull};

    use super::*;
    use crate::backend::{Interrupter, PullLane};

    type Waiting = JoinHandle<(Box<dyn PullLane>, Result<Page, BackendFailure>)>;

    /// Answers when the pull waits.
    fn waiting_pull(backend: &EmbeddedBackend, mut lane: Box<dyn PullLane>) -> Waiting {
        let pull = Pull { after: 0, fresh: false, backend: None };
        let waiting = std::thread::spawn(move || {
            let page = lane.pull(&pull);
            (lane, page)
        });
        while backend.shared.bell.waiting() == 0 && !waiting.is_finished() {
            std::thread::yield_now();
        }
        waiting
    }

    #[test]
    fn a_backend_that_is_not_there_yet_is_out_of_reach_and_not_created() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backend.db");
        let late = EmbeddedBackend::at(&path);
        let mut lane = late.lanes(&Who { store_id: "store".into(), client: "alice".into() }).unwrap().pull;
        let pull = Pull { after: 0, fresh: true, backend: None };
        let Err(BackendFailure::Unreachable { message, maybe_applied: false }) = lane.pull(&pull) else { panic!() };
        assert!(message.contains("there is no backend at") && !path.exists(), "{message}");
        let identity = EmbeddedBackend::open(&path).unwrap().identity().unwrap();
        assert_eq!(lane.pull(&pull).unwrap().backend, identity);
        assert_eq!(late.identity().unwrap(), identity);
    }

    #[test]
    fn a_pull_that_waits_is_ended_by_an_interruption_and_by_the_switch() {
        let dir = tempfile::tempdir().unwrap();
        let backend = EmbeddedBackend::open(dir.path().join("backend.db")).unwrap();
        let mut lane = backend.lanes(&Who { store_id: "store".into(), client: "alice".into() }).unwrap().pull;
        let interrupter: Interrupter = lane.interrupter();
        for (by_interruption, part) in [(true, "interrupted"), (false, "switched off"), (true, "interrupted")] {
            let waiting = waiting_pull(&backend, lane);
            assert!(!waiting.is_finished(), "an empty log gives a pull nothing but waiting");
            if by_interruption {
                interrupter.interrupt()
            } else {
                backend.switch().off()
            }
            let (ended, page) = waiting.join().unwrap();
            let Err(BackendFailure::Unreachable { message, maybe_applied: false }) = page else { panic!("{page:?}") };
            assert!(message.contains(part), "{message}");
            backend.switch().on();
            lane = ended;
        }
    }
}
