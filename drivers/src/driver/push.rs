//! The push lane: one batch at a time, on a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use countersign_core::{BackendFailure, EffectId, Input, Push};

use super::Shared;
use super::lane::Next;
use crate::backend::PushLane;
use crate::state::panic_message;

/// A batch for the backend.
pub(crate) struct Job {
    pub(crate) id: EffectId,
    pub(crate) push: Push,
}

/// Pushes until the lane is closed.
pub(crate) fn run(shared: &Arc<Shared>, mut lane: Box<dyn PushLane>) {
    while let Next::Order(Job { id, push }) = shared.push.take(None) {
        let pushed = guarded("push", true, || lane.push(&push));
        shared.feed(match pushed {
            Ok(()) => Input::PushOk { id },
            Err(failure) => Input::PushFailed { id, failure },
        });
    }
}

/// Calls a backend, which is somebody else's code: a panic in it ends the call, not the lane.
pub(super) fn guarded<T>(
    what: &str,
    maybe_applied: bool,
    call: impl FnOnce() -> Result<T, BackendFailure>,
) -> Result<T, BackendFailure> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let message = format!("the backend panicked in a {what}: {}", panic_message(&*panic));
        tracing::error!("{message}");
        Err(BackendFailure::Unreachable { message: message.into(), maybe_applied })
    })
}
