//! The smol runtime: the machine's deadline is kept by a task on an executor, with a timer of async-io.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use async_executor::Executor;
use countersign_core::Input;

use super::timer::Next;
use super::{Shared, Timer, blocking};
use crate::backend::Lanes;
use crate::storage::Storage;

/// Starts the lanes, and a task on the executor. The store works only as long as the executor runs.
pub(crate) fn start(
    shared: &Arc<Shared>,
    storage: Storage,
    lanes: Option<Lanes>,
    timer: Arc<Timer>,
    executor: &Executor<'static>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let threads = blocking::start_lanes(shared, storage, lanes)?;
    // The task must not keep an abandoned store alive: it ends with the timer, which is closed with the lanes.
    let shared = Arc::clone(shared);
    let keep = async move {
        while wait(&timer).await {
            shared.feed(Input::Timer);
        }
    };
    executor.spawn(keep).detach();
    Ok(threads)
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
