//! Asking the storage thread, which sees what is committed and nothing else.

use std::sync::Arc;

use super::inside;
use crate::driver::{Job, Shared};
use crate::storage::Storage;
use crate::sync::mpsc;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// Asked from where it would wait for itself.
    Inside,
    /// The thread has ended.
    Closed,
}

/// Blocks until the storage thread has done this, in its turn.
pub(super) fn ask<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&mut Storage) -> T + Send + 'static,
) -> Result<T, NoAnswer> {
    if !inside::may_wait_for_threads() {
        return Err(NoAnswer::Inside);
    }
    let (answer, answered) = mpsc::sync_channel(1);
    shared.storage.put(Job::Run(Box::new(move |storage| {
        // Whoever asked may have gone.
        let _ = answer.send(work(storage));
    })));
    // A lane that is closed drops the order, and with it the other end.
    answered.recv().map_err(|_| NoAnswer::Closed)
}
