//! Tells that the machine has taken a turn, to those who wait for it to stand somewhere.

use std::time::Instant;

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, lock, wait_until};

/// Costs one look at a counter while nobody waits.
#[derive(Default)]
pub(crate) struct Turns {
    waiting: AtomicUsize,
    count: Mutex<u64>,
    news: Condvar,
}

impl Turns {
    pub(crate) fn tell(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            *lock(&self.count) += 1;
            self.news.notify_all();
        }
    }

    /// Looks again after every turn until it has an answer, or the deadline has passed.
    pub(crate) fn wait<T>(&self, deadline: Option<Instant>, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let _waiting = Waiting::new(&self.waiting);
        loop {
            // Before the look: a turn between it and the wait is not missed.
            let seen = *lock(&self.count);
            if let Some(answer) = look() {
                return Some(answer);
            }
            let mut count = lock(&self.count);
            while *count == seen {
                if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                    return None;
                }
                count = wait_until(&self.news, count, deadline);
            }
        }
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod races;
