//! The end of a server, as its tasks hear of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use event_listener::Event;

/// Said once, heard by all.
#[derive(Debug, Default)]
pub(super) struct Stopping {
    has_begun: AtomicBool,
    deadline: Mutex<Option<Instant>>,
    begun: Event,
}

impl Stopping {
    /// Begins the end; what is not over after `within` is cut off. Said again, the earlier moment counts.
    pub(super) fn begin(&self, within: Duration) {
        // Too far away to be told: no deadline.
        let deadline = Instant::now().checked_add(within);
        let mut known = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        *known = match (*known, deadline) {
            (Some(known), Some(deadline)) => Some(known.min(deadline)),
            (known, deadline) => known.or(deadline),
        };
        self.has_begun.store(true, Ordering::SeqCst);
        self.begun.notify(usize::MAX);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::SeqCst)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when the end has begun.
    pub(super) async fn heard(&self) {
        while !self.has_begun() {
            let listener = self.begun.listen();
            if self.has_begun() {
                return;
            }
            listener.await;
        }
    }

    /// Ends when something was said about the end since this was called.
    pub(super) async fn said_more(&self) {
        self.begun.listen().await;
    }
}
