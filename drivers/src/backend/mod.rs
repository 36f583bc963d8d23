//! Sync backends: what the driver's loop asks of one, and the backend for one machine.
//!
//! A [`Backend`] hands out a pair of lanes for each store. A lane is blocking and lives on a thread of its own, so that a
//! pull that waits for news never stands in the way of a push. A backend whose lanes need no thread can hand them out as futures too,
//! for drivers that have an executor: [`Backend::async_lanes`]. What a backend answers is said in the classes of
//! [`BackendFailure`]; whether and when to try again is the machine's business, not a lane's.
//!
//! [`EmbeddedBackend`] keeps the global order in a SQLite file of its own, which several stores, handles and processes share.

mod async_lanes;
mod bell;
mod embedded;
mod error;
mod faults;
mod lanes;
mod line;
pub(crate) mod log;
mod rows;
pub(crate) mod sqlite_file;
pub(crate) mod sqlite_log;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use countersign_core::{BackendFailure, ClientId, Page, Pull, Push};

pub use async_lanes::{AsyncLanes, AsyncPullLane, AsyncPushLane, LaneFuture};
pub use embedded::EmbeddedBackend;
pub use error::BackendOpenError;
pub use line::Switch;

/// A place that gives events their position in the one global order.
pub trait Backend: Send + Sync + 'static {
    /// A push lane and a pull lane for one store. Cheap: does not block and opens nothing; the lanes dial when they are used.
    ///
    /// # Errors
    ///
    /// If no lane can be made for this store at all, such as for an address that is no address.
    fn lanes(&self, who: &Who) -> Result<Lanes, BackendFailure>;

    /// The same as futures, for drivers that have an executor; `None` if this backend's lanes need a thread. Cheap as
    /// [`Backend::lanes`], of which a store uses either.
    ///
    /// # Errors
    ///
    /// As [`Backend::lanes`].
    fn async_lanes(&self, who: &Who) -> Result<Option<AsyncLanes>, BackendFailure> {
        let _ = who;
        Ok(None)
    }

    /// Which backend this is, for status lines. Never holds a secret.
    fn describe(&self) -> String;
}

/// Who talks to a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Which of a backend's logs is meant. A backend that holds only one, as [`EmbeddedBackend`] does, does not look at it.
    pub store_id: Arc<str>,
    /// The client that writes.
    pub client: ClientId,
}

/// The two lanes of one store. They share nothing that one could block the other with.
pub struct Lanes {
    /// Sends events.
    pub push: Box<dyn PushLane>,
    /// Receives events.
    pub pull: Box<dyn PullLane>,
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").finish_non_exhaustive()
    }
}

/// Sends batches, one at a time.
pub trait PushLane: Send {
    /// Appends the batch whole if its parent is the backend's head. Blocks, and ends within the lane's own deadline.
    ///
    /// `Ok` means that the backend holds all of it, durably; also if it had taken the same batch before.
    ///
    /// # Errors
    ///
    /// Nothing of the batch was taken, except after [`BackendFailure::Unreachable`] with `maybe_applied`.
    fn push(&mut self, push: &Push) -> Result<(), BackendFailure>;

    /// Called when there is nothing to push: tidies up what is due, such as a connection that nobody has used for a while, and answers
    /// when to be called again. Must not block.
    fn idle(&mut self) -> Option<Instant> {
        None
    }

    /// Whether there are credentials now that this lane has not tried. Asked now and then after [`BackendFailure::NeedsAuth`]; if there
    /// are, syncing goes on as if the user had said so. Must not block for long.
    fn has_new_credentials(&mut self) -> bool {
        false
    }
}

/// Receives pages, one at a time.
pub trait PullLane: Send {
    /// The next page. A fresh pull answers at once, if need be with an empty page, and so tells which backend this is; one that
    /// follows blocks until there are events.
    ///
    /// # Errors
    ///
    /// No page was taken from the stream: the same pull can be tried again. An interrupted pull ends as [`interrupted`]: if it was the wrong
    /// one, since the one before it had just ended by itself, it is asked for again, and nobody hears of it.
    fn pull(&mut self, pull: &Pull) -> Result<Page, BackendFailure>;

    /// Ends this lane's pulls from another thread.
    fn interrupter(&self) -> Interrupter;

    /// As [`PushLane::has_new_credentials`].
    fn has_new_credentials(&mut self) -> bool {
        false
    }
}

/// How a pull fails that was interrupted: [`BackendFailure::Unreachable`], without `maybe_applied`.
#[must_use]
pub fn interrupted() -> BackendFailure {
    BackendFailure::Unreachable { message: INTERRUPTED.into(), maybe_applied: false }
}

/// Whether this is [`interrupted`].
pub(crate) fn is_interruption(failure: &BackendFailure) -> bool {
    matches!(failure, BackendFailure::Unreachable { message, maybe_applied: false } if **message == *INTERRUPTED)
}

const INTERRUPTED: &str = "the pull was interrupted";

/// Ends a pull from another thread.
#[derive(Clone)]
pub struct Interrupter(Arc<dyn Fn() + Send + Sync>);

impl Interrupter {
    /// An interrupter that does this. It must not block, and may be called at any time, also when its lane is gone.
    pub fn new(interrupt: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(interrupt))
    }

    /// Makes the pull under way return at once, or the next one if none is. An interruption ends one pull, no more.
    pub fn interrupt(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Interrupter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupter").finish_non_exhaustive()
    }
}
