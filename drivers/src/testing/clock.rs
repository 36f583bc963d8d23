//! A clock that stands still.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use countersign_core::Time;

use crate::clock::system_time;
use crate::driver::Timer;
use crate::sync::{Mutex, lock};

/// A clock that stands still until it is told that time has passed. Clones are the same clock, and several stores may share it.
///
/// It rules what a store does by time: retries, the offline deadline, the policy for stuck commits, ages. It does not rule
/// the deadlines of a network's lanes, nor how long a caller waits.
#[derive(Clone)]
pub struct TestClock {
    state: Arc<Mutex<State>>,
}

struct State {
    now: Time,
    timers: Vec<Weak<Timer>>,
}

/// A moment as good as any other: early in the morning of 9 September 2001.
const START: Time = Time(1_000_000_000_000_000);

impl TestClock {
    /// A clock that stands at some fixed moment.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Arc::new(Mutex::new(State { now: START, timers: Vec::new() })) }
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        system_time(self.time())
    }

    /// Lets this much time pass, at once. What has become due by that is done by the stores' own threads or tasks: wait for what it
    /// comes to.
    pub fn advance(&self, by: Duration) {
        let timers = {
            let mut state = lock(&self.state);
            state.now = state.now.after(by);
            state.timers.retain(|timer| timer.strong_count() > 0);
            state.timers.clone()
        };
        for timer in timers.iter().filter_map(Weak::upgrade) {
            timer.look_again();
        }
    }

    pub(crate) fn time(&self) -> Time {
        lock(&self.state).now
    }

    pub(crate) fn add(&self, timer: Weak<Timer>) {
        let mut state = lock(&self.state);
        state.timers.retain(|timer| timer.strong_count() > 0);
        state.timers.push(timer);
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TestClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestClock").field(&self.now()).finish()
    }
}
