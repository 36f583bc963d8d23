//! The standard library's locks, which go on after a panic elsewhere: what they guard is kept whole by the machine's own rules.
//!
//! Whatever threads meet at comes from here. Under the tests of `races` it is shuttle's, which tries many orders of one and the same
//! test, each of them a schedule that can be run again. What is only ever held for a moment, and under which nothing of this is used,
//! may be the standard library's there too.

#[cfg(not(all(test, feature = "shuttle")))]
mod of {
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic, mpsc};
    pub(crate) use std::{thread, thread_local};
}

#[cfg(all(test, feature = "shuttle"))]
mod of {
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, atomic, mpsc};
    pub(crate) use shuttle::{thread, thread_local};
}

use std::sync::{PoisonError, TryLockError};
use std::time::Instant;

pub(crate) use of::*;

pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn try_lock<T: ?Sized>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Waits for a signal, or until the deadline if there is one. May return early, as condition variables do.
pub(crate) fn wait_until<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>, deadline: Option<Instant>) -> MutexGuard<'a, T> {
    match deadline {
        None => condvar.wait(guard).unwrap_or_else(PoisonError::into_inner),
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            condvar.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
        }
    }
}
