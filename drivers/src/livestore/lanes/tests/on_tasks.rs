//! As tasks.

#[allow(clippy::duplicate_mod, reason = "the same tests, over other lanes")]
#[path = "http.rs"]
mod http;
#[allow(clippy::duplicate_mod, reason = "the same tests, over other lanes")]
#[path = "store.rs"]
mod store;
#[allow(clippy::duplicate_mod, reason = "the same tests, over other lanes")]
#[path = "tls.rs"]
mod tls;
#[allow(clippy::duplicate_mod, reason = "the same tests, over other lanes")]
#[path = "trouble.rs"]
mod trouble;
#[allow(clippy::duplicate_mod, reason = "the same tests, over other lanes")]
#[path = "ws.rs"]
mod ws;

use std::future::poll_fn;
use std::sync::{Mutex, OnceLock};
use std::task::{Poll, Waker};
use std::time::Instant;

use async_executor::Executor;
use futures_lite::future::{block_on, or, pending};

use super::*;
use crate::backend::{AsyncLanes, AsyncPullLane, AsyncPushLane, Interrupter, PullLane, PushLane};
use crate::{Opener, Store};

/// The lanes, each call awaited by the thread that makes it.
fn lanes(backend: &LiveStoreBackend) -> Lanes {
    let AsyncLanes { push, pull } = backend.async_lanes(&who()).unwrap().unwrap();
    Lanes { push: Box::new(AwaitedPush(push)), pull: Box::new(AwaitedPull(pull, Arc::default())) }
}

/// On an executor that runs for as long as the tests do.
fn open(opener: Opener) -> Store {
    static EXECUTOR: OnceLock<Arc<Executor<'static>>> = OnceLock::new();
    let executor = EXECUTOR.get_or_init(|| {
        let executor = Arc::new(Executor::new());
        let running = executor.clone();
        std::thread::spawn(move || block_on(running.run(pending::<()>())));
        executor
    });
    opener.smol(executor).unwrap()
}

struct AwaitedPush(Box<dyn AsyncPushLane>);

impl PushLane for AwaitedPush {
    fn push(&mut self, push: &Push) -> Result<(), BackendFailure> {
        block_on(self.0.push(push))
    }

    fn idle(&mut self) -> Option<Instant> {
        self.0.idle()
    }

    fn has_new_credentials(&mut self) -> bool {
        self.0.has_new_credentials()
    }
}

struct AwaitedPull(Box<dyn AsyncPullLane>, Arc<Mutex<Interrupted>>);

#[derive(Default)]
struct Interrupted {
    raised: bool,
    task: Option<Waker>,
}

impl PullLane for AwaitedPull {
    fn pull(&mut self, pull: &Pull) -> Result<Page, BackendFailure> {
        let Self(lane, interrupted) = self;
        let interruption = poll_fn(|context| {
            let mut state = interrupted.lock().unwrap();
            if std::mem::take(&mut state.raised) {
                return Poll::Ready(Err(crate::backend::interrupted()));
            }
            state.task = Some(context.waker().clone());
            Poll::Pending
        });
        block_on(or(interruption, lane.pull(pull)))
    }

    fn interrupter(&self) -> Interrupter {
        let interrupted = self.1.clone();
        Interrupter::new(move || {
            let mut state = interrupted.lock().unwrap();
            state.raised = true;
            if let Some(task) = state.task.take() {
                task.wake();
            }
        })
    }

    fn has_new_credentials(&mut self) -> bool {
        self.0.has_new_credentials()
    }
}
