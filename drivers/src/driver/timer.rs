//! The machine's deadline, for whoever keeps it: a thread, or a task.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use countersign_core::Time;

use crate::clock::Clock;
use crate::sync::{Condvar, Mutex, lock, wait_until};

pub(crate) struct Timer {
    pub(crate) clock: Clock,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    deadline: Option<Time>,
    closed: bool,
    /// The task that keeps the deadline, if it is a task.
    task: Option<Waker>,
}

/// What whoever keeps the deadline has to do.
pub(crate) enum Next {
    /// The deadline has passed: tell the machine.
    Due,
    /// Sleep until then, or until there is news.
    Sleep(Option<Instant>),
    /// The store is closed.
    Closed,
}

impl Timer {
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        let timer = Arc::new(Self { clock, state: Mutex::default(), news: Condvar::new() });
        timer.clock.keeps(Arc::downgrade(&timer));
        timer
    }

    /// Sets the deadline. Wakes its keeper only if he would sleep too long: one that wakes early goes back to sleep.
    pub(crate) fn set(&self, deadline: Option<Time>) {
        let task = {
            let mut state = lock(&self.state);
            let earlier = deadline.is_some_and(|new| state.deadline.is_none_or(|old| new < old));
            state.deadline = deadline;
            if !earlier {
                return;
            }
            state.task.take()
        };
        self.wake(task);
    }

    pub(crate) fn close(&self) {
        let task = {
            let mut state = lock(&self.state);
            state.closed = true;
            state.task.take()
        };
        self.wake(task);
    }

    /// The clock was told that time has passed.
    pub(crate) fn look_again(&self) {
        let task = lock(&self.state).task.take();
        self.wake(task);
    }

    fn wake(&self, task: Option<Waker>) {
        self.news.notify_all();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// What to do now; the task is woken when that changes.
    #[cfg(feature = "smol")]
    pub(crate) fn next(&self, task: &Waker) -> Next {
        let mut state = lock(&self.state);
        let next = state.next(&self.clock);
        if matches!(next, Next::Sleep(_)) {
            state.task = Some(task.clone());
        }
        next
    }

    /// Blocks until the deadline has passed; `false` when the store is closed.
    pub(crate) fn wait(&self) -> bool {
        let mut state = lock(&self.state);
        loop {
            match state.next(&self.clock) {
                Next::Due => return true,
                Next::Closed => return false,
                Next::Sleep(deadline) => state = wait_until(&self.news, state, deadline),
            }
        }
    }
}

impl State {
    fn next(&mut self, clock: &Clock) -> Next {
        if self.closed {
            return Next::Closed;
        }
        if self.deadline.is_some_and(|deadline| deadline <= clock.now()) {
            self.deadline = None;
            return Next::Due;
        }
        Next::Sleep(self.deadline.and_then(|deadline| clock.instant(deadline)))
    }
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod races;
