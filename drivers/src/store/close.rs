//! The end of a store: in order with a report, or when the last handle is dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_core::{CommitId, Event, Input};

use super::Store;
use crate::driver::Shared;
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
    /// Commits that could not be persisted in time, and their events: nobody else has them.
    pub unpersisted: Vec<(CommitId, Vec<Event>)>,
}

impl Store {
    /// Closes the store: takes no more commits, persists what was committed, and reports. Every wait ends; those for the backend with
    /// [`countersign_core::SyncError::Closed`], and their commits go on after the next opening.
    ///
    /// Blocks until everything is persisted and the file is let go, or this long at most. Other handles of the store are of no more use.
    #[must_use = "the report has the events that could not be persisted"]
    pub fn close(self, deadline: Duration) -> CloseReport {
        let handle = Arc::clone(&self.session.inner.handle);
        let shared = &handle.shared;
        let until = Instant::now().checked_add(deadline);
        shared.feed(Input::Shutdown);
        let mut rest = lock(&shared.rest.0);
        while !shared.status().drained && until.is_none_or(|until| Instant::now() < until) {
            rest = wait_until(&shared.rest.1, rest, until);
        }
        drop(rest);
        let report = end(shared);
        shared.close_lanes();

        let mut threads = std::mem::take(&mut *lock(&handle.threads));
        let all = threads.len();
        let mut rest = lock(&shared.rest.0);
        while rest.lanes < all && until.is_none_or(|until| Instant::now() < until) {
            rest = wait_until(&shared.rest.1, rest, until);
        }
        let ended = rest.lanes >= all;
        drop(rest);
        if ended {
            for thread in threads.drain(..) {
                // A thread that has panicked has said so on its way.
                let _ = thread.join();
            }
        }
        report
    }
}

/// What is left, and the end of every wait.
fn end(shared: &Arc<Shared>) -> CloseReport {
    let (report, woken) = shared.with(|hub, _| {
        let events = |own: Vec<countersign_core::OwnEvent>| own.into_iter().map(|own| (*own.event).clone()).collect();
        let unpersisted: Vec<_> = hub.node.unpersisted().into_iter().map(|(id, own)| (id, events(own))).collect();
        let report = CloseReport {
            persisted: unpersisted.is_empty(),
            confirmed: hub.counts.confirmed,
            unresolved: hub.node.unresolved().collect(),
            unpersisted,
        };
        let node = &hub.node;
        let woken = hub.receipts.close(|id| node.find(id).is_none_or(|open| !open.leader));
        (report, woken)
    });
    woken.wake();
    report
}

/// The last handle is gone: what was committed is still persisted, in the background, and nobody waits for it.
pub(super) fn abandon(shared: &Arc<Shared>) {
    shared.feed(Input::Shutdown);
    shared.push.close();
    shared.pull.close();
    shared.close_when_drained();
}

/// Ends the lanes of an abandoned store as soon as there is nothing more to persist, or no way to.
pub(crate) fn close_if_drained(shared: &Arc<Shared>) {
    let status = shared.status();
    if status.drained || status.storage.is_some() {
        let _ = end(shared);
        shared.close_lanes();
    }
}
