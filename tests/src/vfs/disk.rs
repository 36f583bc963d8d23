//! A folder whose files are looked after.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use super::fault::{Call, Fault, Lasting};
use super::history::{Change, History, Step};
use super::image::Image;
use super::shim;

/// How long a call is held at most: longer than any test holds one.
const HELD_MAX: Duration = Duration::from_secs(60);

static DISKS: RwLock<Vec<Weak<Disk>>> = RwLock::new(Vec::new());

/// Looks after the SQLite files of one folder, from when it is made until it is dropped.
pub struct Disk {
    root: PathBuf,
    state: Mutex<State>,
    news: Condvar,
}

type Observer = Box<dyn FnMut(usize) + Send>;

#[derive(Default)]
struct State {
    history: History,
    /// Files that exist.
    there: BTreeSet<Arc<str>>,
    observer: Option<Observer>,
    fault: Option<Fault>,
    /// Calls that the fault could have hit.
    calls: u64,
    failed: u64,
    open: usize,
    held: Hold,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hold {
    #[default]
    Free,
    /// The next change waits.
    Asked,
    /// One waits.
    Holding,
}

impl Disk {
    /// Puts these files into the folder, which is empty, and looks after it.
    ///
    /// # Errors
    ///
    /// If they can't be written, or SQLite does not take the file system.
    pub fn new(folder: &Path, image: Image) -> io::Result<Arc<Self>> {
        shim::install()?;
        image.write_to(folder)?;
        let there = image.files.iter().filter(|(_, file)| file.seen().is_some()).map(|(name, _)| Arc::clone(name)).collect();
        let history = History { base: image, steps: Vec::new() };
        let state = Mutex::new(State { history, there, ..State::default() });
        let disk = Arc::new(Self { root: folder.canonicalize()?, state, news: Condvar::new() });
        let mut disks = DISKS.write().unwrap_or_else(PoisonError::into_inner);
        disks.retain(|disk| disk.strong_count() > 0);
        disks.push(Arc::downgrade(&disk));
        Ok(disk)
    }

    /// The folder, links resolved.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Told before each change how many there have been.
    pub fn observe(&self, observer: impl FnMut(usize) + Send + 'static) {
        self.state().observer = Some(Box::new(observer));
    }

    /// What has happened. The observer is told a last time.
    #[must_use]
    pub fn history(&self) -> History {
        let mut state = self.state();
        state.observe();
        state.history.clone()
    }

    /// Makes calls fail from now on.
    pub fn fail(&self, fault: Fault) {
        let mut state = self.state();
        (state.fault, state.calls, state.failed) = (Some(fault), 0, 0);
    }

    /// Ends the fault.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// Tells the observer how many changes there have been.
    pub fn look(&self) {
        self.state().observe();
    }

    /// How many calls there were that the last fault could have hit.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// How many calls have failed since the last fault was set.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.state().failed
    }

    /// How many files are open.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.state().open
    }

    /// Holds the next change until [`Disk::release`]: a slow disk.
    pub fn hold(&self) {
        self.state().held = Hold::Asked;
    }

    /// Lets go of what is held.
    pub fn release(&self) {
        self.state().held = Hold::Free;
        self.news.notify_all();
    }

    /// Waits until something is held, or a call has failed, or this long. Says whether something is held.
    #[must_use]
    pub fn wait_held(&self, timeout: Duration) -> bool {
        let state = self.state();
        let waits = |state: &mut State| state.held == Hold::Asked && state.failed == 0;
        let (state, _) = self.news.wait_timeout_while(state, timeout, waits).unwrap_or_else(PoisonError::into_inner);
        state.held == Hold::Holding
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever looks after the file at this path, and its name there.
    pub(super) fn of(path: &Path) -> Option<(Arc<Self>, Arc<str>)> {
        let (folder, name) = (path.parent()?, path.file_name()?.to_str()?);
        let disks = DISKS.read().unwrap_or_else(PoisonError::into_inner);
        let disk = disks.iter().filter_map(Weak::upgrade).find(|disk| disk.root == folder)?;
        Some((disk, Arc::from(name)))
    }

    /// Before a call that changes nothing, or not yet.
    pub(super) fn ask(&self, call: Call) -> Result<(), i32> {
        let mut state = self.state();
        self.meet(&mut state, call)
    }

    /// Before a call that changes a file: notes it, unless it fails.
    pub(super) fn change(&self, call: Call, file: &Arc<str>, change: Change) -> Result<(), i32> {
        let mut state = self.state();
        let began = Instant::now();
        while state.held != Hold::Free && began.elapsed() < HELD_MAX {
            if state.held == Hold::Asked {
                state.held = Hold::Holding;
                self.news.notify_all();
            }
            state = self.news.wait_timeout(state, HELD_MAX).unwrap_or_else(PoisonError::into_inner).0;
        }
        self.meet(&mut state, call)?;
        state.observe();
        if matches!(change, Change::Delete { .. }) {
            state.there.remove(file);
        }
        state.history.steps.push(Step { file: Arc::clone(file), change });
        Ok(())
    }

    /// A file was opened, and so made if it was not there.
    pub(super) fn opened(&self, file: &Arc<str>) {
        let mut state = self.state();
        state.open += 1;
        if state.there.insert(Arc::clone(file)) {
            state.history.steps.push(Step { file: Arc::clone(file), change: Change::Create });
        }
    }

    pub(super) fn closed(&self) {
        self.state().open -= 1;
        self.news.notify_all();
    }

    fn meet(&self, state: &mut State, call: Call) -> Result<(), i32> {
        let met = state.meet(call);
        if met.is_err() {
            self.news.notify_all();
        }
        met
    }
}

impl State {
    fn observe(&mut self) {
        let steps = self.history.steps.len();
        if let Some(observer) = &mut self.observer {
            observer(steps);
        }
    }

    fn meet(&mut self, call: Call) -> Result<(), i32> {
        let Some(fault) = self.fault.filter(|fault| fault.trouble.hits(call)) else { return Ok(()) };
        let number = self.calls;
        self.calls += 1;
        let is_due = match fault.lasting {
            _ if number < fault.at => false,
            Lasting::Times(times) => self.failed < u64::from(times),
            Lasting::UntilHealed => true,
        };
        if !is_due {
            return Ok(());
        }
        self.failed += 1;
        Err(fault.trouble.code(call))
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("root", &self.root).finish_non_exhaustive()
    }
}
