//! The line between a store and an embedded backend: a switch that cuts it, as a network would.

use std::fmt;
use std::sync::Arc;

use countersign_core::BackendFailure;

use super::bell::Bell;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Switches an embedded backend off and on. Shared by all clones of one [`EmbeddedBackend`](super::EmbeddedBackend); another
/// handle on the same file has a switch of its own, so that one store can be offline while another is not.
#[derive(Clone)]
pub struct Switch(Arc<Line>);

impl Switch {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Self(Arc::new(Line { flips: AtomicU64::new(0), bell }))
    }

    /// Makes the backend unreachable. Every push and pull fails at once, also one that is under way or waiting.
    pub fn off(&self) {
        self.flip(true);
    }

    /// Makes the backend reachable again.
    pub fn on(&self) {
        self.flip(false);
    }

    /// Whether the backend is reachable.
    #[must_use]
    pub fn is_on(&self) -> bool {
        is_on(self.0.flips.load(Ordering::SeqCst))
    }

    /// Begins a request.
    ///
    /// # Errors
    ///
    /// If the backend is switched off.
    pub(crate) fn call(&self) -> Result<Call, BackendFailure> {
        let call = Call { line: self.0.clone(), flips: self.0.flips.load(Ordering::SeqCst) };
        if is_on(call.flips) { Ok(call) } else { Err(switched_off(false)) }
    }

    /// Only from the one state to the other: switching off twice is switching off once.
    fn flip(&self, from_on: bool) {
        let flipped = |flips| (is_on(flips) == from_on).then_some(flips + 1);
        if self.0.flips.fetch_update(Ordering::SeqCst, Ordering::SeqCst, flipped).is_ok() {
            self.0.bell.ring();
        }
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "Switch(on)" } else { "Switch(off)" })
    }
}

/// A request under way.
pub(crate) struct Call {
    line: Arc<Line>,
    flips: u64,
}

impl Call {
    /// Whether the backend was switched off since the request began, even if it is on again.
    pub(crate) fn is_cut(&self) -> bool {
        self.line.flips.load(Ordering::SeqCst) != self.flips
    }
}

/// What a request ends in when the backend is off. A request that had begun may have been carried out.
pub(crate) fn switched_off(had_begun: bool) -> BackendFailure {
    BackendFailure::Unreachable { message: "the embedded backend is switched off".into(), maybe_applied: had_begun }
}

/// A count, not a flag: off and on again between two looks is a cut all the same.
struct Line {
    flips: AtomicU64,
    bell: Arc<Bell>,
}

fn is_on(flips: u64) -> bool {
    flips.is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_and_on_again_cuts_what_was_under_way() {
        let switch = Switch::new(Arc::default());
        let call = switch.call().unwrap();
        assert!(!call.is_cut());
        switch.off();
        switch.off();
        assert!(!switch.is_on() && call.is_cut());
        assert_eq!(switch.call().err(), Some(switched_off(false)));
        switch.on();
        switch.on();
        assert!(switch.is_on() && call.is_cut());
        assert!(!switch.call().unwrap().is_cut());
    }
}
