//! Lanes that are futures, for drivers that have an executor.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use countersign_core::{BackendFailure, Page, Pull, Push};

/// What a lane is doing.
pub type LaneFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The two lanes of one store, as [`super::Lanes`], without a thread. They share nothing that one could hold the other up with.
pub struct AsyncLanes {
    /// Sends events.
    pub push: Box<dyn AsyncPushLane>,
    /// Receives events.
    pub pull: Box<dyn AsyncPullLane>,
}

impl fmt::Debug for AsyncLanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncLanes").finish_non_exhaustive()
    }
}

/// Sends batches, one at a time, as [`super::PushLane`].
pub trait AsyncPushLane: Send {
    /// As [`super::PushLane::push`]. Dropping the future leaves open whether the backend takes the batch; the lane can be used again.
    ///
    /// # Errors
    ///
    /// As [`super::PushLane::push`].
    fn push<'a>(&'a mut self, push: &'a Push) -> LaneFuture<'a, Result<(), BackendFailure>>;

    /// As [`super::PushLane::idle`].
    fn idle(&mut self) -> Option<Instant> {
        None
    }

    /// As [`super::PushLane::has_new_credentials`].
    fn has_new_credentials(&mut self) -> bool {
        false
    }
}

/// Receives pages, one at a time, as [`super::PullLane`].
pub trait AsyncPullLane: Send {
    /// As [`super::PullLane::pull`]. Dropping the future ends the pull, which can be asked for again: nothing of the stream is lost.
    ///
    /// # Errors
    ///
    /// As [`super::PullLane::pull`].
    fn pull<'a>(&'a mut self, pull: &'a Pull) -> LaneFuture<'a, Result<Page, BackendFailure>>;

    /// As [`super::PushLane::has_new_credentials`].
    fn has_new_credentials(&mut self) -> bool {
        false
    }
}
