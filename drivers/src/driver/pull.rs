//! The pull lane: asks for one page at a time, on a thread of its own. A pull that is no longer wanted is interrupted.

use std::sync::{Arc, Condvar, Mutex};

use countersign_core::{EffectId, Input, Pull};

use super::Shared;
use super::push::guarded;
use crate::backend::{Interrupter, PullLane};
use crate::sync::{lock, wait_until};

/// The pull that is wanted. There is never more than one.
#[derive(Default)]
pub(crate) struct PullLaneQueue {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    wanted: Option<(EffectId, Pull)>,
    running: Option<EffectId>,
    /// Set by an interruption, until a pull has ended by it: the pull that it was meant for may have ended by itself.
    interrupted: bool,
    interrupter: Option<Interrupter>,
    closed: bool,
}

impl PullLaneQueue {
    pub(crate) fn put(&self, id: EffectId, pull: Pull) {
        lock(&self.state).wanted = Some((id, pull));
        self.news.notify_one();
    }

    /// Ends a pull that nobody wants any more.
    pub(crate) fn abandon(&self, id: EffectId) {
        let mut state = lock(&self.state);
        if state.wanted.as_ref().is_some_and(|(wanted, _)| *wanted == id) {
            state.wanted = None;
        }
        if state.running == Some(id) {
            state.interrupt();
        }
    }

    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.interrupt();
        self.news.notify_all();
    }

    fn next(&self) -> Option<(EffectId, Pull)> {
        let mut state = lock(&self.state);
        state.running = None;
        loop {
            if state.closed {
                return None;
            }
            if let Some((id, pull)) = state.wanted.take() {
                state.running = Some(id);
                return Some((id, pull));
            }
            state = wait_until(&self.news, state, None);
        }
    }

    /// Whether a pull has failed only by an interruption that was meant for the one before it.
    fn was_spared(&self, id: EffectId, failed: bool) -> bool {
        let mut state = lock(&self.state);
        if !failed || state.closed || !state.interrupted {
            return false;
        }
        state.interrupted = false;
        state.running == Some(id)
    }
}

impl State {
    fn interrupt(&mut self) {
        self.running = None;
        if let Some(interrupter) = &self.interrupter {
            self.interrupted = true;
            interrupter.interrupt();
        }
    }
}

/// Pulls until the lane is closed.
pub(crate) fn run(shared: &Arc<Shared>, mut lane: Box<dyn PullLane>) {
    lock(&shared.pull.state).interrupter = Some(lane.interrupter());
    while let Some((id, pull)) = shared.pull.next() {
        let mut ask = || guarded("pull", false, || lane.pull(&pull));
        let mut result = ask();
        while shared.pull.was_spared(id, result.is_err()) {
            result = ask();
        }
        shared.feed(match result {
            Ok(page) => Input::Pulled { id, page },
            Err(failure) => Input::PullFailed { id, failure },
        });
    }
}
