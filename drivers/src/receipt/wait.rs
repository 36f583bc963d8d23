//! Waiting for a stage, as a future on any executor or on a thread.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use countersign_core::{Certainty, Stage, SyncError};
use futures_channel::oneshot;

use super::{Cell, Outcome};
use crate::store::inside;
use crate::sync::thread::{self, Thread};

/// A wait for one stage of a receipt.
///
/// Ends when the stage has settled, or the store is closed. Cancel safe: it can be dropped at any time, and nothing happens.
#[must_use = "a wait does nothing unless it is awaited"]
pub struct Wait {
    cell: Arc<Cell>,
    stage: Stage,
    listening: Option<oneshot::Receiver<()>>,
}

impl Wait {
    pub(super) fn new(cell: Arc<Cell>, stage: Stage) -> Self {
        Self { cell, stage, listening: None }
    }
}

impl Future for Wait {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            if let Some(listening) = &mut self.listening
                && Pin::new(listening).poll(context).is_pending()
            {
                return Poll::Pending;
            }
            match self.cell.listen(self.stage) {
                Ok(outcome) => return Poll::Ready(outcome),
                Err(listening) => self.listening = Some(listening),
            }
        }
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("id", &self.cell.id()).field("stage", &self.stage).finish_non_exhaustive()
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks this thread until the future is ready, or the deadline has passed.
pub(crate) fn block_on<T>(future: impl Future<Output = T>, deadline: Option<Instant>) -> Option<T> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        if !inside::may_wait_for_threads() {
            return None;
        }
        match deadline {
            None => thread::park(),
            Some(deadline) => {
                let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
                thread::park_timeout(left);
            }
        }
    }
}

/// A wait that could not end is refused.
pub(super) fn endless() -> SyncError {
    SyncError::Unknown {
        message:
            "a wait inside a query or a materialiser, or on a store's own thread, would hold up what it waits for: wait outside"
                .into(),
        certainty: Certainty::Unknown,
    }
}
