//! The end of a store: in order with a report, or when the last handle is dropped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_core::{Batch, Certainty, CommitId, Entry, Input, OwnEvent, Status, StorageClass, SyncError};

use super::{Store, inside};
use crate::driver::{Ended, Job, Shared};
use crate::receipt::Waiters;
use crate::sync::{lock, wait_until};

/// What a store left behind when it was closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReport {
    /// Whether everything that was committed is persisted.
    pub persisted: bool,
    /// How many commits the backend has confirmed since the store was opened.
    pub confirmed: u64,
    /// Commits that wait for the backend, persisted or not: those that are go on after the next opening.
    pub unresolved: Vec<CommitId>,
    /// Commits that were not persisted in time, and their events: nobody else has them.
    pub unpersisted: Vec<(CommitId, Batch)>,
    /// Commits that were being written when the time was over, or whose writing failed without saying whether it was done, and their
    /// events: they are stored, or not. After the next opening
    /// [`Store::receipt`] says so: only those that it does not know may be committed again.
    pub uncertain: Vec<(CommitId, Batch)>,
}

/// How long after the last handle was dropped what was committed is tried to be persisted. Beyond that only what is in trouble can be left.
const DROP_MAX: Duration = Duration::from_secs(10);
/// How long dropping the last handle waits for a disk that is in trouble. What it has not persisted by then is tried on in the background.
///
/// The wait can't go altogether: a process that ends right after the drop takes its threads with it, and what they had not persisted; and
/// whoever opens the store right after the drop would find it locked.
const DROP_TROUBLE: Duration = Duration::from_secs(1);

impl Store {
    /// Closes the store: takes no more commits, persists what was committed, and reports. Every wait ends; those for the backend with
    /// [`countersign_core::SyncError::Closed`], and their commits go on after the next opening.
    ///
    /// Blocks until everything is persisted and the file is let go, or this long at most. Other handles of the store are of no more use.
    /// Inside a query or a materialiser it does not wait, and reports what is persisted by then.
    #[must_use = "the report has the events that could not be persisted"]
    pub fn close(self, deadline: Duration) -> CloseReport {
        let handle = Arc::clone(&self.session.inner.handle);
        let shared = &handle.shared;
        let deadline = if inside::may_wait_for_threads() { deadline } else { Duration::ZERO };
        let until = Instant::now().checked_add(deadline);
        take_no_more(shared);
        let report = loop {
            wait_for_rest(shared, until, |_| is_over(&shared.status()));
            let is_late = until.is_some_and(|until| until <= Instant::now());
            // An answer may have come since it was looked at last: what it settles has to be stored too.
            if let Some(report) = end(shared, |status| is_late || is_over(status)) {
                break report;
            }
        };
        shared.close_lanes();

        let mut threads = std::mem::take(&mut *lock(&handle.threads));
        let all = threads.len();
        if wait_for_rest(shared, until, |ended| ended.storage && ended.lanes >= all) {
            for thread in threads.drain(..) {
                // A thread that has panicked has said so on its way.
                let _ = thread.join();
            }
        }
        report
    }
}

/// Nothing is left to store, or nothing can be stored any more.
fn is_over(status: &Status) -> bool {
    status.drained || is_broken(status)
}

fn is_broken(status: &Status) -> bool {
    status.storage.as_ref().is_some_and(|failure| failure.class == StorageClass::Corrupt)
}

fn take_no_more(shared: &Arc<Shared>) {
    shared.with(|hub, now| {
        hub.closing = true;
        hub.node.handle(now, Input::Shutdown);
    });
}

/// Waits until this holds; `false` if it does not in time.
fn wait_for_rest(shared: &Shared, until: Option<Instant>, holds: impl Fn(&Ended) -> bool) -> bool {
    let mut rest = lock(&shared.rest.0);
    loop {
        if holds(&rest) {
            return true;
        }
        if until.is_some_and(|until| until <= Instant::now()) {
            return false;
        }
        rest = wait_until(&shared.rest.1, rest, until);
    }
}

/// What is left, and the end of every wait, if it is time for that. Nothing is stored any more, but for what is being written just now.
fn end(shared: &Arc<Shared>, is_time: impl FnOnce(&Status) -> bool) -> Option<CloseReport> {
    let (report, woken) = shared.with(|hub, _| {
        if !is_time(&hub.node.status()) {
            return None;
        }
        hub.ended = true;
        for order in shared.close_storage() {
            if let Job::Materialise(id, _) = order {
                hub.storing.retain(|(storing, _)| *storing != id);
            }
        }
        let storing = hub.storing.iter().flat_map(|(_, txn)| txn.append.iter().filter_map(Entry::commit_id));
        let writing: BTreeSet<CommitId> = storing.chain(hub.node.uncertain()).collect();
        let left = hub.node.unpersisted().into_iter().map(|(id, own)| (id, batch(&own)));
        let (uncertain, unpersisted): (Vec<_>, Vec<_>) = left.partition(|(id, _)| writing.contains(id));
        let report = CloseReport {
            persisted: unpersisted.is_empty() && uncertain.is_empty(),
            confirmed: hub.counts.confirmed,
            unresolved: hub.node.unresolved().collect(),
            unpersisted,
            uncertain,
        };
        let node = &hub.node;
        let mut woken = hub.receipts.close(|id| {
            let durable = node.find(id).is_none_or(|open| !open.leader);
            if writing.contains(&id) { unknown_fate() } else { SyncError::Closed { durable } }
        });
        hub.goals.close(&hub.node, &mut woken);
        woken.add(Waiters::of(std::mem::take(&mut hub.listeners)));
        Some((report, woken))
    })?;
    woken.wake();
    Some(report)
}

/// A commit as it was handed in.
fn batch(own: &[OwnEvent]) -> Batch {
    let guard = own.iter().find_map(|own| own.guard.as_deref().cloned());
    Batch { events: own.iter().map(|own| (*own.event).clone()).collect(), guard }
}

fn unknown_fate() -> SyncError {
    let message =
        "the store was closed while the commit was being written: after the next opening its receipt says what became of it";
    SyncError::Unknown { message: message.into(), certainty: Certainty::Unknown }
}

/// The last handle is gone: what was committed is persisted, and waited for unless the disk is in trouble. On a thread of a store, or
/// inside a query, where this would wait for itself, it goes on in the background.
pub(super) fn abandon(shared: &Arc<Shared>) {
    if shared.with(|hub, _| hub.ended) {
        return;
    }
    take_no_more(shared);
    let _pushes = shared.push.close();
    shared.pull.close();
    shared.abandon();
    close_if_abandoned(shared);
    if !inside::may_wait_for_threads() {
        return;
    }
    while !wait_for_rest(shared, Instant::now().checked_add(DROP_TROUBLE), |ended| ended.storage) {
        if shared.abandoned_for().is_some_and(|since| since >= DROP_MAX) {
            give_up(shared);
            return;
        }
        if shared.status().storage.is_some() {
            return;
        }
    }
}

/// Ends the lanes of a store that nobody holds any more, as soon as there is nothing left to persist, or no way to.
pub(crate) fn close_if_abandoned(shared: &Arc<Shared>) {
    let Some(since) = shared.abandoned_for() else { return };
    let is_time = |status: &Status| status.drained || (status.storage.is_some() && (is_broken(status) || since >= DROP_MAX));
    if is_time(&shared.status()) {
        end_lanes(shared, is_time);
    }
}

/// Ends what can still be ended.
pub(crate) fn give_up(shared: &Arc<Shared>) {
    end_lanes(shared, |_| true);
}

fn end_lanes(shared: &Arc<Shared>, is_time: impl FnOnce(&Status) -> bool) {
    let Some(CloseReport { unpersisted, uncertain, .. }) = end(shared, is_time) else { return };
    let (commits, being_written) = (unpersisted.len(), uncertain.len());
    if commits + being_written > 0 {
        tracing::error!(path = %shared.path.display(), commits, being_written, "dropped before everything was persisted: use `close`");
    }
    shared.close_lanes();
}
