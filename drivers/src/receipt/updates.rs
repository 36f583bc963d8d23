//! Being told how a receipt gets on.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_core::Stream;

use super::wait::block_on;
use super::{Cell, ReceiptStatus};

/// How a receipt gets on: a [`Stream`] for any executor, or [`Updates::blocking`] for a thread.
///
/// Newest wins: it holds nothing but what was told last, and looks when it is polled. Dropping it changes nothing; it does not
/// keep the store open. Each turn of the machine costs a look at what is queued before the commit, while somebody waits for the next one.
pub struct Updates {
    cell: Arc<Cell>,
    told: Option<ReceiptStatus>,
    listening: Option<oneshot::Receiver<()>>,
}

impl Updates {
    pub(super) fn new(cell: Arc<Cell>) -> Self {
        Self { cell, told: None, listening: None }
    }

    /// Blocks until the status has changed; `None` when it has ended: both stages have settled, and that was told.
    ///
    /// Inside a query or a materialiser, where the wait could never end, it does not wait.
    pub fn wait(&mut self) -> Option<ReceiptStatus> {
        block_on(poll_fn(|context| self.poll_status(context)), None).flatten()
    }

    /// Blocks until the status has changed, or this long at most: `None` then, and when it has ended.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<ReceiptStatus> {
        block_on(poll_fn(|context| self.poll_status(context)), Instant::now().checked_add(timeout)).flatten()
    }

    /// An iterator that blocks for each change, and ends as the stream does.
    pub fn blocking(mut self) -> impl Iterator<Item = ReceiptStatus> {
        std::iter::from_fn(move || self.wait())
    }

    fn poll_status(&mut self, context: &mut Context<'_>) -> Poll<Option<ReceiptStatus>> {
        if self.told.as_ref().is_some_and(|told| told.stage().is_none()) {
            return Poll::Ready(None);
        }
        loop {
            if let Some(listening) = &mut self.listening
                && Pin::new(listening).poll(context).is_pending()
            {
                return Poll::Pending;
            }
            self.listening = None;
            // Asked to be told before it is looked: a turn between the two is not missed.
            let listening = self.cell.store().map(|shared| shared.next_turn());
            let status = ReceiptStatus::of(&self.cell);
            if self.told.as_ref() != Some(&status) {
                self.told = Some(status.clone());
                return Poll::Ready(Some(status));
            }
            match listening {
                Some(listening) => self.listening = Some(listening),
                // The store is gone, and with it every change.
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for Updates {
    type Item = ReceiptStatus;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ReceiptStatus>> {
        self.poll_status(context)
    }
}

impl fmt::Debug for Updates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Updates").field("id", &self.cell.id()).field("told", &self.told).finish_non_exhaustive()
    }
}
