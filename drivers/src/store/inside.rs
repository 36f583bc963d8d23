//! Whether this thread is inside a query or a materialiser, where a commit or a wait could never end.

use std::cell::Cell;

use crate::sync::thread_local;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static OWN_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// This thread is one of a store's own from now on.
pub(crate) fn mark_own_thread() {
    OWN_THREAD.with(|own| own.set(true));
}

/// Whether this thread can wait for a store's threads without waiting for itself.
pub(crate) fn may_wait_for_threads() -> bool {
    !OWN_THREAD.with(Cell::get) && !is_inside()
}

/// Inside for as long as this is kept.
pub(crate) struct Inside(bool);

pub(crate) fn enter() -> Inside {
    Inside(INSIDE.with(|inside| inside.replace(true)))
}

pub(crate) fn is_inside() -> bool {
    INSIDE.with(Cell::get)
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.with(|inside| inside.set(self.0));
    }
}
