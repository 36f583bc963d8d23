//! A session's lane: its database, run by whoever holds its lock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use countersign_core::{EffectId, Input, Seed, SessionApplied, SessionId, SessionTxn, StorageFailure};
use futures_channel::oneshot;

use super::Shared;
use crate::receipt::Waiters;
use crate::session::SessionDb;
use crate::store::inside;
use crate::sync::{Condvar, Mutex, MutexGuard, lock, try_lock, wait_until};

/// Something that is due in the lane.
pub(crate) enum Due {
    /// A transaction of the machine.
    Run(EffectId, SessionTxn),
    /// A new database takes the place of the old one.
    Swap(EffectId, Box<SessionDb>, Seed),
}

/// Whoever waits for a session has waited long enough when so many snapshots could not be taken.
const TRIES: u64 = 10;

/// One session as the threads share it.
pub(crate) struct SessionCell {
    id: SessionId,
    /// Nothing before the first seed. Taken before the machine's lock, never after it.
    db: Mutex<Option<SessionDb>>,
    due: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    due: VecDeque<Due>,
    /// Why the last snapshot could not be taken.
    failure: Option<StorageFailure>,
    /// How many could not be taken so far.
    failures: u64,
    closed: bool,
    /// How many databases there have been.
    swaps: u64,
    /// Grows with each change of a table; those who watch are told.
    revision: u64,
    /// For each table, the last revision that changed it.
    tables: BTreeMap<String, u64>,
    /// The database's own revision when it was last asked for changes; nothing if it is another one since.
    looked_at: Option<u64>,
    watchers: Vec<oneshot::Sender<()>>,
}

impl SessionCell {
    pub(crate) fn new(id: SessionId) -> Self {
        Self { id, db: Mutex::new(None), due: Mutex::default(), news: Condvar::new() }
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    pub(crate) fn put(&self, due: Due) {
        let mut state = lock(&self.due);
        state.due.push_back(due);
        self.news.notify_all();
    }

    /// No snapshot could be taken.
    pub(crate) fn failed(&self, failure: StorageFailure) {
        {
            let mut state = lock(&self.due);
            state.failure = Some(failure);
            state.failures += 1;
        }
        self.news.notify_all();
    }

    /// Nothing comes any more: whoever waits for this session, or watches it, is told so.
    pub(crate) fn close(&self) {
        let watchers = {
            let mut state = lock(&self.due);
            state.closed = true;
            std::mem::take(&mut state.watchers)
        };
        self.news.notify_all();
        for watcher in watchers {
            let _ = watcher.send(());
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.due).closed
    }

    /// Runs what is due, unless another thread holds the session: that one looks again after it has let go.
    pub(crate) fn run(&self, shared: &Arc<Shared>) {
        while self.has_due() {
            let Some(mut db) = try_lock(&self.db) else { return };
            self.run_due(shared, &mut db);
        }
    }

    /// The session's database, with everything done that was due.
    pub(crate) fn acquire<'a>(&'a self, shared: &'a Arc<Shared>) -> Held<'a> {
        let mut db = lock(&self.db);
        self.run_due(shared, &mut db);
        Held { cell: self, shared, db: Some(db) }
    }

    /// Carries out what is due now; what comes meanwhile waits for the next time.
    fn run_due(&self, shared: &Arc<Shared>, db: &mut Option<SessionDb>) {
        let due = lock(&self.due).due.len();
        let mut answers = Vec::with_capacity(due);
        for _ in 0..due {
            let Some(next) = lock(&self.due).due.pop_front() else { break };
            answers.push(match next {
                Due::Run(id, txn) => {
                    let outcome = match db {
                        Some(db) => {
                            let _inside = inside::enter();
                            db.run(&txn)
                        }
                        None => SessionApplied::Failed { message: "the session has no database yet".into() },
                    };
                    Input::SessionApplied { id, outcome }
                }
                Due::Swap(id, new, seed) => {
                    *db = Some(*new);
                    let mut state = lock(&self.due);
                    state.failure = None;
                    state.swaps += 1;
                    state.looked_at = None;
                    self.news.notify_all();
                    drop(state);
                    Input::Seeded { id, seed: Some(seed) }
                }
            });
        }
        if !answers.is_empty() {
            // The machine's outputs may concern this session again: they wait until the lock is let go.
            let mut waiters = Waiters::default();
            let others = {
                let mut hub = lock(&shared.hub);
                let now = shared.now();
                for answer in answers {
                    hub.node.handle(now, answer);
                }
                hub.drain(shared, &mut waiters)
            };
            waiters.wake();
            for other in others.iter().filter(|other| other.id != self.id) {
                other.run(shared);
            }
            if let Some(db) = db {
                self.changed(db);
            }
        }
    }

    pub(crate) fn has_due(&self) -> bool {
        !lock(&self.due).due.is_empty()
    }

    /// Waits until something is due, or the session has another database than the one counted.
    fn wait_for_due(&self, swaps: u64, deadline: Instant) -> Result<(), Option<StorageFailure>> {
        let mut state = lock(&self.due);
        let enough = state.failures + TRIES;
        loop {
            if !state.due.is_empty() || state.swaps != swaps {
                return Ok(());
            }
            if state.closed || state.failures >= enough || Instant::now() >= deadline {
                return Err(state.failure.clone());
            }
            state = wait_until(&self.news, state, Some(deadline));
        }
    }

    // Watching.

    /// The database may have changed: notes which tables, and tells those who watch.
    pub(crate) fn changed(&self, db: &SessionDb) {
        let mut state = lock(&self.due);
        let State { revision, tables, looked_at, .. } = &mut *state;
        let before = *revision;
        let mut note = |table: &str| {
            *revision = before + 1;
            match tables.get_mut(table) {
                Some(last) => *last = *revision,
                None => drop(tables.insert(table.to_owned(), *revision)),
            }
        };
        match *looked_at {
            Some(seen) => db.changed_since(seen).for_each(&mut note),
            // Another database may differ in any table.
            None => db.table_names().for_each(&mut note),
        }
        *looked_at = Some(db.revision());
        let watchers = if *revision > before { std::mem::take(&mut state.watchers) } else { Vec::new() };
        drop(state);
        for watcher in watchers {
            let _ = watcher.send(());
        }
    }

    /// Where watching starts: whatever changes after this.
    pub(crate) fn revision(&self) -> u64 {
        lock(&self.due).revision
    }

    /// Which of these tables have changed after a revision, or how to hear of the next change.
    pub(crate) fn watch(&self, tables: &BTreeSet<String>, after: u64) -> Watched {
        let mut state = lock(&self.due);
        if state.revision > after {
            let changed = tables.iter().filter(|table| state.tables.get(*table).is_some_and(|last| *last > after));
            return Watched::Changed(state.revision, changed.cloned().collect());
        }
        if state.closed {
            return Watched::Closed;
        }
        state.watchers.retain(|watcher| !watcher.is_canceled());
        let (sender, receiver) = oneshot::channel();
        state.watchers.push(sender);
        Watched::Listening(receiver)
    }
}

/// What somebody who watches finds.
pub(crate) enum Watched {
    /// These have changed, up to this revision.
    Changed(u64, BTreeSet<String>),
    /// Nothing has; this tells when something does.
    Listening(oneshot::Receiver<()>),
    /// Nothing has, and nothing will.
    Closed,
}

/// A session's database in somebody's hands. Let go, also by a panic, what has become due meanwhile is done.
pub(crate) struct Held<'a> {
    cell: &'a SessionCell,
    shared: &'a Arc<Shared>,
    /// Nothing only while it is dropped.
    db: Option<MutexGuard<'a, Option<SessionDb>>>,
}

impl Held<'_> {
    /// The database; nothing before the first seed.
    pub(crate) fn db(&mut self) -> Option<&mut SessionDb> {
        self.db.as_mut().and_then(|db| db.as_mut())
    }

    /// Lets go until something is due, or the session has another database.
    ///
    /// # Errors
    ///
    /// If the session is closed, the deadline has passed, or one snapshot after the other has failed: why the last one did, if one did.
    pub(crate) fn wait_for_due(&mut self, deadline: Instant) -> Result<(), Option<StorageFailure>> {
        // With the lock held: nobody puts another database in place meanwhile.
        let swaps = lock(&self.cell.due).swaps;
        self.db = None;
        self.cell.run(self.shared);
        let waited = self.cell.wait_for_due(swaps, deadline);
        self.db = Some(lock(&self.cell.db));
        self.run_due();
        waited
    }

    /// Carries out what is due now.
    pub(crate) fn run_due(&mut self) {
        if let Some(db) = &mut self.db {
            self.cell.run_due(self.shared, db);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.db = None;
        self.cell.run(self.shared);
    }
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod races;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at any failure")]
mod tests {
    use std::time::Duration;

    use countersign_core::StorageClass;

    use super::*;

    // Verifies: V2
    #[test]
    fn a_session_whose_snapshots_keep_failing_is_not_waited_for_to_the_end() {
        let cell = SessionCell::new(SessionId([7; 16]));
        let began = Instant::now();
        let waited = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| cell.wait_for_due(0, began + Duration::from_secs(600)));
            while !waiter.is_finished() {
                cell.failed(StorageFailure { class: StorageClass::Io, message: "the disk is broken".into() });
                std::thread::yield_now();
            }
            waiter.join().unwrap()
        });
        assert_eq!(waited.unwrap_err().map(|failure| failure.class), Some(StorageClass::Io));
        assert!(began.elapsed() < Duration::from_secs(600));
    }
}
