//! A session's lane: its database, run by whoever holds its lock.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use countersign_core::{EffectId, Input, Seed, SessionApplied, SessionId, SessionTxn, StorageFailure};
use futures_channel::oneshot;

use super::Shared;
use crate::receipt::Waiters;
use crate::session::SessionDb;
use crate::store::inside;
use crate::sync::{lock, try_lock, wait_until};

/// Something that is due in the lane.
pub(crate) enum Due {
    /// A transaction of the machine.
    Run(EffectId, SessionTxn),
    /// A new database takes the place of the old one.
    Swap(EffectId, Box<SessionDb>, Seed),
}

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
    closed: bool,
    /// How many databases there have been.
    swaps: u64,
    /// Grows with each change of the database; those who watch are told.
    revision: u64,
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
        lock(&self.due).failure = Some(failure);
        self.news.notify_all();
    }

    /// Whoever waits for this session looks again.
    pub(crate) fn signal(&self) {
        let watchers = std::mem::take(&mut lock(&self.due).watchers);
        self.news.notify_all();
        for watcher in watchers {
            let _ = watcher.send(());
        }
    }

    pub(crate) fn close(&self) {
        lock(&self.due).closed = true;
        self.signal();
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.due).closed
    }

    /// Runs what is due, unless another thread holds the session: that one looks again after it has let go.
    pub(crate) fn run(&self, shared: &Arc<Shared>) {
        while self.has_due() {
            let Some(db) = try_lock(&self.db) else { return };
            drop(self.run_due(shared, db));
        }
    }

    /// The session's database, with everything done that was due. Let it go with [`Self::release`].
    pub(crate) fn acquire(&self, shared: &Arc<Shared>) -> MutexGuard<'_, Option<SessionDb>> {
        self.run_due(shared, lock(&self.db))
    }

    /// Lets go of the database, and does what has become due meanwhile.
    pub(crate) fn release(&self, shared: &Arc<Shared>, db: MutexGuard<'_, Option<SessionDb>>) {
        drop(db);
        self.run(shared);
    }

    /// Carries out what is due now; what comes meanwhile waits for the next time.
    pub(crate) fn run_due<'a>(
        &'a self,
        shared: &Arc<Shared>,
        mut db: MutexGuard<'a, Option<SessionDb>>,
    ) -> MutexGuard<'a, Option<SessionDb>> {
        let due = lock(&self.due).due.len();
        let mut answers = Vec::with_capacity(due);
        for _ in 0..due {
            let Some(next) = lock(&self.due).due.pop_front() else { break };
            answers.push(match next {
                Due::Run(id, txn) => {
                    let outcome = match &mut *db {
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
            self.changed();
        }
        db
    }

    fn has_due(&self) -> bool {
        !lock(&self.due).due.is_empty()
    }

    /// How many databases the session has had. Read it with the database's lock held, to wait for the next one.
    pub(crate) fn swaps(&self) -> u64 {
        lock(&self.due).swaps
    }

    /// Waits until something is due, or the session has another database than the one counted.
    ///
    /// # Errors
    ///
    /// If the session is closed or the deadline has passed: why the last snapshot failed, if it did.
    pub(crate) fn wait_for_due(&self, swaps: u64, deadline: Instant) -> Result<(), Option<StorageFailure>> {
        let mut state = lock(&self.due);
        loop {
            if !state.due.is_empty() || state.swaps != swaps {
                return Ok(());
            }
            if state.closed || Instant::now() >= deadline {
                return Err(state.failure.clone());
            }
            state = wait_until(&self.news, state, Some(deadline));
        }
    }

    // Watching.

    /// The database may have changed.
    pub(crate) fn changed(&self) {
        let mut state = lock(&self.due);
        state.revision += 1;
        let watchers = std::mem::take(&mut state.watchers);
        drop(state);
        for watcher in watchers {
            let _ = watcher.send(());
        }
    }

    /// A channel that tells when something has changed after this revision; the newest revision if it has already.
    pub(crate) fn watch(&self, after: u64) -> Result<u64, oneshot::Receiver<()>> {
        let mut state = lock(&self.due);
        if state.revision > after || state.closed {
            return Ok(state.revision);
        }
        state.watchers.retain(|watcher| !watcher.is_canceled());
        let (sender, receiver) = oneshot::channel();
        state.watchers.push(sender);
        Err(receiver)
    }
}
