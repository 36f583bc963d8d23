//! The push lane: one batch at a time, on a thread of its own or as a task.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use countersign_core::{BackendFailure, EffectId, Input, Push};

use super::Shared;
use super::credentials::{Credentials, earlier};
use super::lane::Next;
#[cfg(feature = "smol")]
use super::smol::{before, guarded_task};
#[cfg(feature = "smol")]
use crate::backend::AsyncPushLane;
use crate::backend::PushLane;
use crate::state::panic_message;

/// A batch for the backend.
pub(crate) struct Job {
    pub(crate) id: EffectId,
    pub(crate) push: Push,
}

/// Pushes until the lane is closed.
pub(crate) fn run(shared: &Arc<Shared>, mut lane: Box<dyn PushLane>) {
    let mut credentials = Credentials::default();
    loop {
        match shared.push.take(earlier(lane.idle(), credentials.due())) {
            Next::Order(Job { id, push }) => {
                let pushed = guarded("push", true, || lane.push(&push));
                credentials.heard(&pushed);
                shared.feed_and_say(answer(id, pushed));
            }
            Next::Late => {
                if credentials.ask(|| lane.has_new_credentials()) {
                    shared.feed_and_say(Input::Authenticated);
                }
            }
            Next::Closed => return,
        }
    }
}

/// As [`run`], as a task. Closing the lane ends a push that is under way: what became of it is for the next opening to find out.
#[cfg(feature = "smol")]
pub(crate) async fn run_task(shared: Arc<Shared>, mut lane: Box<dyn AsyncPushLane>) {
    let mut credentials = Credentials::default();
    loop {
        let deadline = earlier(lane.idle(), credentials.due());
        match before(deadline, |task| shared.push.poll_take(task.waker())).await.unwrap_or(Next::Late) {
            Next::Order(Job { id, push }) => {
                let pushed = guarded_task("push", true, || lane.push(&push), |task| shared.push.poll_closed(task.waker())).await;
                let Some(pushed) = pushed else { return };
                credentials.heard(&pushed);
                shared.feed_and_say(answer(id, pushed));
            }
            Next::Late => {
                if credentials.ask(|| lane.has_new_credentials()) {
                    shared.feed_and_say(Input::Authenticated);
                }
            }
            Next::Closed => return,
        }
    }
}

fn answer(id: EffectId, pushed: Result<(), BackendFailure>) -> Input {
    match pushed {
        Ok(()) => Input::PushOk { id },
        Err(failure) => Input::PushFailed { id, failure },
    }
}

/// Calls a backend, which is somebody else's code: a panic in it ends the call, not the lane.
pub(super) fn guarded<T>(
    what: &str,
    maybe_applied: bool,
    call: impl FnOnce() -> Result<T, BackendFailure>,
) -> Result<T, BackendFailure> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(panicked(what, maybe_applied, &*panic)))
}

pub(super) fn panicked(what: &str, maybe_applied: bool, panic: &(dyn Any + Send)) -> BackendFailure {
    let message = format!("the backend panicked in a {what}: {}", panic_message(panic));
    tracing::error!("{message}");
    BackendFailure::Unreachable { message: message.into(), maybe_applied }
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod races;
