//! The smol runtime: timers and sockets are async-io's, on tasks of an executor. Storage, and backends whose lanes block, have threads
//! of their own all the same.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use async_executor::Executor;
use countersign_core::{BackendFailure, Input};

use super::push::panicked;
use super::timer::Next;
use super::{Shared, Timer, blocking, pull, push};
use crate::backend::{AsyncLanes, Backend, LaneFuture, Lanes, Who};
use crate::storage::Storage;
use crate::sync::thread::JoinHandle;

/// The lanes of a backend: as tasks, if it has such.
pub(crate) enum EitherLanes {
    Threads(Lanes),
    Tasks(AsyncLanes),
}

impl EitherLanes {
    /// # Errors
    ///
    /// As the backend says.
    pub(crate) fn of(backend: &dyn Backend, who: &Who) -> Result<Self, BackendFailure> {
        match backend.async_lanes(who)? {
            Some(lanes) => Ok(Self::Tasks(lanes)),
            None => backend.lanes(who).map(Self::Threads),
        }
    }
}

/// Starts the lanes, and tasks on the executor. The store works only as long as the executor runs.
pub(crate) fn start(
    shared: &Arc<Shared>,
    storage: Storage,
    lanes: Option<EitherLanes>,
    timer: Arc<Timer>,
    executor: &Executor<'static>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let (threads, tasks) = match lanes {
        None => (None, None),
        Some(EitherLanes::Threads(lanes)) => (Some(lanes), None),
        Some(EitherLanes::Tasks(lanes)) => (None, Some(lanes)),
    };
    let threads = blocking::start_lanes(shared, storage, threads)?;
    // The tasks must not keep an abandoned store alive: they end with their lanes and the timer, which is closed with the lanes.
    if let Some(AsyncLanes { push, pull }) = tasks {
        executor.spawn(push::run_task(Arc::clone(shared), push)).detach();
        executor.spawn(pull::run_task(Arc::clone(shared), pull)).detach();
    }
    let shared = Arc::clone(shared);
    let keep = async move {
        while wait(&timer).await {
            shared.feed(Input::Timer);
        }
    };
    executor.spawn(keep).detach();
    Ok(threads)
}

/// What `poll` answers, if it does so by then.
pub(super) async fn before<T>(until: Option<Instant>, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    let mut timer = until.map_or_else(async_io::Timer::never, async_io::Timer::at);
    poll_fn(move |context| match poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Pin::new(&mut timer).poll(context).map(|_| None),
    })
    .await
}

/// Calls a backend, which is somebody else's code: a panic in it ends the call, not the lane. Nothing once `unwanted` is ready.
pub(super) async fn guarded_task<'a, T>(
    what: &str,
    maybe_applied: bool,
    call: impl FnOnce() -> LaneFuture<'a, Result<T, BackendFailure>>,
    mut unwanted: impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> Option<Result<T, BackendFailure>> {
    let panicked = |panic: Box<dyn std::any::Any + Send>| Err(panicked(what, maybe_applied, &*panic));
    let mut call = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(call) => call,
        Err(panic) => return Some(panicked(panic)),
    };
    poll_fn(move |context| {
        if unwanted(context).is_ready() {
            return Poll::Ready(None);
        }
        match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(answer)) => Poll::Ready(Some(answer)),
            Err(panic) => Poll::Ready(Some(panicked(panic))),
        }
    })
    .await
}

/// Ends when the deadline has passed, with `false` when the store is closed.
async fn wait(timer: &Timer) -> bool {
    let mut sleep = pin!(async_io::Timer::never());
    poll_fn(move |context: &mut Context<'_>| {
        loop {
            match timer.next(context.waker()) {
                Next::Due => return Poll::Ready(true),
                Next::Closed => return Poll::Ready(false),
                Next::Sleep(None) => return Poll::Pending,
                Next::Sleep(Some(deadline)) => sleep.as_mut().set(async_io::Timer::at(deadline)),
            }
            if Pin::new(&mut sleep).poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}
