//! The push lane: one batch at a time, on a thread of its own.

use std::sync::Arc;

use countersign_core::{EffectId, Input, Push};

use super::Shared;
use crate::backend::PushLane;

/// A batch for the backend.
pub(crate) struct Job {
    pub(crate) id: EffectId,
    pub(crate) push: Push,
}

/// Pushes until the lane is closed.
pub(crate) fn run(shared: &Arc<Shared>, mut lane: Box<dyn PushLane>) {
    while let Some(Job { id, push }) = shared.push.take() {
        if shared.push.is_closed() {
            break;
        }
        let input = match lane.push(&push) {
            Ok(()) => Input::PushOk { id },
            Err(failure) => Input::PushFailed { id, failure },
        };
        shared.feed(input);
    }
    shared.signal_rest(|ended| ended.lanes += 1);
}
