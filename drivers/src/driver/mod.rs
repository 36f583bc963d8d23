//! The driver: carries out what the machine orders, on lanes.
//!
//! Storage, push and pull have a thread each, since SQLite and sockets block; with `smol`, push and pull are tasks, if the backend has
//! lanes that don't block. Whoever hands the machine an input also drains
//! its outputs, so a commit is one hop from the storage thread and its receipt one hop back; the loop is left with timers.
//!
//! Two locks, a session's before the machine's. The machine's is held for microseconds, never during SQLite work. A session's
//! lane is run by whoever holds that session's lock; nobody ever waits for it but those who use the session.
//!
//! What differs between runtimes is small: how to sleep until a deadline, and who does it. That is [`blocking`] and `smol`;
//! everything else is written once.

pub(crate) mod blocking;
mod credentials;
mod hub;
mod lane;
mod pull;
mod push;
mod session;
#[cfg(feature = "smol")]
pub(crate) mod smol;
mod storage;
mod timer;
mod turns;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use countersign_core::{CommitId, Input, Node, SessionId, Status, Time};
use futures_channel::oneshot;

use crate::clock::Clock;
use crate::receipt::Waiters;
use crate::state::Schema;
use crate::storage::Syncing;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, lock, try_lock};

pub(crate) use hub::Hub;
pub(crate) use lane::Lane;
pub(crate) use pull::PullLaneQueue;
pub(crate) use session::{Held, SessionCell, Watched};
pub(crate) use storage::Job;
pub(crate) use timer::Timer;
pub(crate) use turns::Turns;

/// What all threads of one store share.
pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    pub(crate) schema: Schema,
    /// What `backend` says of itself; nothing without one.
    pub(crate) backend: Option<String>,
    /// Which of the backend's logs is meant.
    pub(crate) store_id: Arc<str>,
    /// Entries of the log without effect on the state, as storage has counted them last.
    pub(crate) skipped: AtomicU64,
    /// How long a snapshot that could not be taken waits before it is tried again.
    pub(crate) snapshot_retry: Duration,
    clock: Clock,
    hub: Mutex<Hub>,
    pub(crate) storage: Lane<storage::Job>,
    pub(crate) push: Lane<push::Job>,
    pub(crate) pull: PullLaneQueue,
    sessions: Mutex<BTreeMap<SessionId, Weak<SessionCell>>>,
    /// Signalled when the machine may have come to rest, and when a lane has ended.
    pub(crate) rest: (Mutex<Ended>, Condvar),
    /// When the last handle was dropped.
    abandoned: OnceLock<Instant>,
    /// Told after every turn of the machine.
    pub(crate) turns: Turns,
    /// What was last said of syncing to those who look from outside.
    said: Mutex<Option<Syncing>>,
}

/// Which threads have ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) lanes: usize,
    /// The file is closed, and its lock let go.
    pub(crate) storage: bool,
}

impl Shared {
    pub(crate) fn new(
        path: PathBuf,
        schema: Schema,
        (backend, store_id): (Option<String>, Arc<str>),
        snapshot_retry: Duration,
        hub: Hub,
    ) -> Self {
        Self {
            path,
            schema,
            backend,
            store_id,
            skipped: AtomicU64::new(0),
            snapshot_retry,
            clock: hub.timer.clock.clone(),
            hub: Mutex::new(hub),
            storage: Lane::default(),
            push: Lane::default(),
            pull: PullLaneQueue::default(),
            sessions: Mutex::default(),
            rest: Default::default(),
            abandoned: OnceLock::new(),
            turns: Turns::default(),
            said: Mutex::default(),
        }
    }

    /// The time that the machine is told: microseconds since 1970.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    pub(crate) fn status(&self) -> Status {
        let mut status = lock(&self.hub).node.status();
        status.skipped = self.skipped.load(Ordering::Relaxed);
        status
    }

    /// Runs something under the machine's lock, then carries out what came of it.
    pub(crate) fn with<T>(self: &Arc<Self>, work: impl FnOnce(&mut Hub, Time) -> T) -> T {
        let mut waiters = Waiters::default();
        let (value, due) = {
            let mut hub = lock(&self.hub);
            let value = work(&mut hub, self.now());
            let due = hub.drain(self, &mut waiters);
            (value, due)
        };
        waiters.wake();
        for session in due {
            session.run(self);
        }
        value
    }

    /// Looks at the machine, and whether the store has ended.
    pub(crate) fn with_node<T>(&self, look: impl FnOnce(&Node, bool) -> T) -> T {
        let hub = lock(&self.hub);
        look(&hub.node, hub.ended)
    }

    /// Tells when the machine has taken another turn, or the store is closed.
    pub(crate) fn next_turn(&self) -> oneshot::Receiver<()> {
        lock(&self.hub).next_turn()
    }

    /// Somebody has been told that the commit has failed. Noted in the file, in the background: if that fails, it is handed out again.
    pub(crate) fn observed(&self, id: CommitId) {
        self.storage.put(storage::Job::Run(Box::new(move |storage| {
            if let Err(failure) = storage.acknowledge(id) {
                tracing::warn!(commit = %id, message = %failure.message, "that its failure was seen could not be noted");
            }
        })));
    }

    /// Tells the machine something before there are lanes.
    pub(crate) fn prepare(&self, input: Input) {
        let now = self.now();
        lock(&self.hub).node.handle(now, input);
    }

    /// Tells the machine what has happened.
    pub(crate) fn feed(self: &Arc<Self>, input: Input) {
        self.with(|hub, now| hub.node.handle(now, input));
    }

    /// What the backend has answered, or a user has said: also told to those who look from outside, if it changes anything for them.
    pub(crate) fn feed_and_say(self: &Arc<Self>, input: Input) {
        let went_well = matches!(input, Input::PushOk { .. } | Input::Pulled { .. });
        self.feed(input);
        let mut said = lock(&self.said);
        // Nearly always, and then it costs nothing.
        if went_well && said.as_ref().is_some_and(Syncing::is_quiet) {
            return;
        }
        let syncing = Syncing::of(&self.status());
        if said.as_ref().is_none_or(|said| !said.says_the_same(&syncing)) {
            *said = Some(syncing.clone());
            self.storage.put(Job::Run(Box::new(move |storage| storage.say(&syncing))));
        }
    }

    pub(crate) fn add_session(&self, session: &Arc<SessionCell>) {
        lock(&self.sessions).insert(session.id(), Arc::downgrade(session));
    }

    pub(crate) fn session(&self, id: SessionId) -> Option<Arc<SessionCell>> {
        lock(&self.sessions).get(&id)?.upgrade()
    }

    pub(crate) fn remove_session(&self, id: SessionId) {
        lock(&self.sessions).remove(&id);
    }

    /// Nobody holds a receipt any more. If the machine is busy just now, its entry goes when it settles.
    pub(crate) fn forget_receipt(&self, id: CommitId) {
        if let Some(mut hub) = try_lock(&self.hub) {
            hub.receipts.forget(id);
        }
    }

    /// Tells everybody who waits for rest to look again.
    pub(crate) fn signal_rest(&self, change: impl FnOnce(&mut Ended)) {
        change(&mut lock(&self.rest.0));
        self.rest.1.notify_all();
    }

    /// Notes that nobody holds the store any more.
    pub(crate) fn abandon(&self) {
        let _ = self.abandoned.set(Instant::now());
    }

    /// For how long nobody has held the store.
    pub(crate) fn abandoned_for(&self) -> Option<Duration> {
        self.abandoned.get().map(Instant::elapsed)
    }

    /// Ends the storage lane. The machine's orders that wait are answered and not carried out; what somebody else has asked for is.
    pub(crate) fn close_storage(&self) -> VecDeque<storage::Job> {
        self.storage.close_after(|job| matches!(job, storage::Job::Run(_)))
    }

    /// Ends every lane, each after the order that it is carrying out, and every wait for a session.
    pub(crate) fn close_lanes(&self) {
        let _orders = (self.push.close(), self.close_storage());
        self.pull.close();
        let timer = Arc::clone(&lock(&self.hub).timer);
        timer.close();
        let sessions: Vec<_> = lock(&self.sessions).values().filter_map(Weak::upgrade).collect();
        for session in sessions {
            session.close();
        }
    }
}
