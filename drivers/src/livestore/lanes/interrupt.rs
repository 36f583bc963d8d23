//! What ends a wait from another thread.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Ends the waits of one lane. Raised by any thread, cleared by the lane when the wait that it was meant for is over.
#[derive(Default)]
pub(super) struct Interrupt {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Default)]
struct State {
    raised: bool,
    rings: u64,
    /// Wakes the wait for the lane's present socket.
    waker: Option<Arc<mio::Waker>>,
}

impl Interrupt {
    /// Ends the present wait, or the next one.
    pub(super) fn raise(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.raised = true;
        self.ring(&mut state);
    }

    /// Makes who waits look again.
    pub(super) fn nudge(&self) {
        self.ring(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn is_raised(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).raised
    }

    pub(super) fn clear(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).raised = false;
    }

    /// From now on, this is what a wait is woken by.
    pub(super) fn wake_by(&self, waker: Arc<mio::Waker>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).waker = Some(waker);
    }

    /// Waits until `ready` has something, or until the time has come or it is raised.
    pub(super) fn wait_for<T>(&self, until: Instant, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let heard = state.rings;
            drop(state);
            // Outside the lock: whoever makes it ready nudges behind that.
            if let Some(ready) = ready() {
                return Some(ready);
            }
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let left = until.saturating_duration_since(Instant::now());
            if state.raised || left.is_zero() {
                return None;
            }
            if state.rings == heard {
                state = self.rung.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn ring(&self, state: &mut State) {
        state.rings += 1;
        if let Some(waker) = &state.waker {
            // Can only fail if the wait it was for is gone.
            let _ = waker.wake();
        }
        self.rung.notify_all();
    }
}
