//! A backend whose requests wait until they are let through.

use std::sync::{Arc, Condvar, Mutex};

use countersign::backend::{Backend, EmbeddedBackend, Interrupter, Lanes, PullLane, PushLane, Who};
use countersign::core::{BackendFailure, Page, Pull, Push};

/// Pushes and pulls wait while theirs is closed.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<Closed>, Condvar)>);

#[derive(Default)]
pub(crate) struct Closed {
    pub(crate) pushes: bool,
    pub(crate) pulls: bool,
    /// Pushes that wait.
    waiting: u32,
}

impl Gate {
    pub(crate) fn set(&self, change: impl FnOnce(&mut Closed)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    pub(crate) fn has_a_push(&self) -> bool {
        self.0.0.lock().unwrap().waiting > 0
    }

    fn pass(&self, is_push: bool) {
        let mut closed = self.0.0.lock().unwrap();
        closed.waiting += u32::from(is_push);
        let mut closed = self.0.1.wait_while(closed, |closed| if is_push { closed.pushes } else { closed.pulls }).unwrap();
        closed.waiting -= u32::from(is_push);
    }
}

pub(crate) struct Gated(pub(crate) EmbeddedBackend, pub(crate) Gate);

struct GatedPush(Box<dyn PushLane>, Gate);

struct GatedPull(Box<dyn PullLane>, Gate);

impl Backend for Gated {
    fn lanes(&self, who: &Who) -> Result<Lanes, BackendFailure> {
        let Lanes { push, pull } = self.0.lanes(who)?;
        Ok(Lanes { push: Box::new(GatedPush(push, self.1.clone())), pull: Box::new(GatedPull(pull, self.1.clone())) })
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

impl PushLane for GatedPush {
    fn push(&mut self, push: &Push) -> Result<(), BackendFailure> {
        self.1.pass(true);
        self.0.push(push)
    }
}

impl PullLane for GatedPull {
    fn pull(&mut self, pull: &Pull) -> Result<Page, BackendFailure> {
        self.1.pass(false);
        self.0.pull(pull)
    }

    fn interrupter(&self) -> Interrupter {
        let (inner, gate) = (self.0.interrupter(), self.1.clone());
        Interrupter::new(move || {
            gate.set(|closed| closed.pulls = false);
            inner.interrupt();
        })
    }
}
