//! Whether this thread is inside a query or a materialiser, where a commit or a wait could never end.

use std::cell::Cell;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Inside for as long as this is kept.
pub(crate) struct Inside(bool);

pub(crate) fn enter() -> Inside {
    Inside(INSIDE.replace(true))
}

pub(crate) fn is_inside() -> bool {
    INSIDE.get()
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.0);
    }
}
