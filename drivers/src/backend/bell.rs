//! Wakes those in this process who wait for news of a file.
//!
//! Promises that a ring between looking and waiting is not lost: who waits says which ring was the last one heard before
//! looking.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use crate::sync::{Condvar, Mutex, lock};

/// Rung when something has changed; those who wait then look what it was.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    rings: u64,
    waiting: usize,
}

/// The bells of this process, by canonical path. Holds no bell alive, and forgets dead ones whenever a file is opened, so it
/// never holds more than there are open files, and those closed since the last opening. Nothing is waited for under its lock.
static BELLS: std::sync::Mutex<BTreeMap<PathBuf, Weak<Bell>>> = std::sync::Mutex::new(BTreeMap::new());

impl Bell {
    /// The bell that all who have this file open share. The path has to be canonical.
    pub(crate) fn of(path: &Path) -> Arc<Self> {
        let mut bells = BELLS.lock().unwrap_or_else(PoisonError::into_inner);
        bells.retain(|_, bell| bell.strong_count() > 0);
        if let Some(bell) = bells.get(path).and_then(Weak::upgrade) {
            return bell;
        }
        let bell = Arc::new(Self::default());
        bells.insert(path.to_owned(), Arc::downgrade(&bell));
        bell
    }

    /// How often it has rung. To be asked before looking for news.
    pub(crate) fn rings(&self) -> u64 {
        lock(&self.state).rings
    }

    /// Wakes all who wait.
    pub(crate) fn ring(&self) {
        let mut state = lock(&self.state);
        state.rings += 1;
        if state.waiting > 0 {
            self.wake.notify_all();
        }
    }

    /// Waits until it has rung more often than `heard`, at most this long. Answers whether it has.
    pub(crate) fn wait(&self, heard: u64, at_most: Duration) -> bool {
        let mut state = lock(&self.state);
        state.waiting += 1;
        let waited = self.wake.wait_timeout_while(state, at_most, |state| state.rings == heard);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state.rings != heard
    }

    /// How many wait at the moment.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.state).waiting
    }
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod races;

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_ring_before_the_wait_is_heard() {
        let bell = Bell::default();
        let heard = bell.rings();
        bell.ring();
        assert!(bell.wait(heard, LONG));
        assert!(!bell.wait(bell.rings(), Duration::ZERO));
    }

    #[test]
    fn a_ring_wakes_all_who_wait() {
        let bell = Bell::default();
        let heard = bell.rings();
        std::thread::scope(|scope| {
            let waits: Vec<_> = (0..3).map(|_| scope.spawn(|| bell.wait(heard, LONG))).collect();
            while bell.waiting() < 3 {
                std::thread::yield_now();
            }
            bell.ring();
            assert!(waits.into_iter().all(|wait| wait.join().unwrap()));
        });
        assert_eq!(bell.waiting(), 0);
    }

    #[test]
    fn one_bell_a_path_for_as_long_as_somebody_holds_it() {
        let (path, other) = (Path::new("/bell/one"), Path::new("/bell/other"));
        let bell = Bell::of(path);
        assert!(Arc::ptr_eq(&bell, &Bell::of(path)));
        assert!(!Arc::ptr_eq(&bell, &Bell::of(other)));
        bell.ring();
        drop(bell);
        assert_eq!(Bell::of(path).rings(), 0, "nobody held it: a new one");
        drop(Bell::of(other));
        assert!(!BELLS.lock().unwrap().contains_key(path), "dead bells are forgotten");
    }
}
