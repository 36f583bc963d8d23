//! The shared part of a receipt's handles.

use std::sync::{Arc, Weak};

use countersign_core::{CommitId, Stage, SyncError};
use futures_channel::oneshot;

use super::{Outcome, Settled, WaitingFor};
use crate::driver::Shared;
use crate::sync::{Mutex, lock};

/// Who has to be woken once no lock is held.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Vec<oneshot::Sender<()>>);

impl Waiters {
    pub(crate) fn wake(self) {
        for waiter in self.0 {
            // Whoever has stopped waiting does not mind.
            let _ = waiter.send(());
        }
    }

    pub(crate) fn add(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(crate) fn of(waiters: Vec<oneshot::Sender<()>>) -> Self {
        Self(waiters)
    }
}

/// A receipt as its handles share it.
pub(crate) struct Cell {
    id: CommitId,
    store: Weak<Shared>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    leader: Option<Outcome>,
    backend: Option<Outcome>,
    /// The store was closed: what those are told who wait for what had not settled.
    closed: Option<SyncError>,
    /// Somebody has been told of the failure.
    observed: bool,
    waiters: Vec<(Stage, oneshot::Sender<()>)>,
    /// When so many wait, those who have stopped are let go: the list is at most twice as long as it has to be.
    prune_at: usize,
}

impl Cell {
    /// An open receipt.
    pub(crate) fn open(id: CommitId, store: Weak<Shared>) -> Self {
        Self { id, store, state: Mutex::default() }
    }

    /// A receipt found again, of which something may have settled. `observed`: somebody has been told of its failure already.
    pub(crate) fn found(
        id: CommitId,
        store: Weak<Shared>,
        (leader, backend): (Option<Outcome>, Option<Outcome>),
        observed: bool,
    ) -> Self {
        Self { id, store, state: Mutex::new(State { leader, backend, observed, ..State::default() }) }
    }

    pub(crate) fn id(&self) -> CommitId {
        self.id
    }

    /// The outcome, if there is one. For somebody who acts on it: a failure is not handed out as unobserved after that.
    pub(crate) fn observe(&self, stage: Stage) -> Option<Outcome> {
        let (outcome, first) = {
            let mut state = lock(&self.state);
            (state.peek(stage), state.observe(stage))
        };
        self.tell_observed(first);
        outcome
    }

    /// The outcome, if there is one. For somebody who only looks.
    pub(crate) fn peek(&self, stage: Stage) -> Option<Outcome> {
        lock(&self.state).peek(stage)
    }

    /// The outcome, or a channel that tells when there is one.
    pub(crate) fn listen(&self, stage: Stage) -> Result<Outcome, oneshot::Receiver<()>> {
        let mut state = lock(&self.state);
        if let Some(outcome) = state.peek(stage) {
            let first = state.observe(stage);
            drop(state);
            self.tell_observed(first);
            return Ok(outcome);
        }
        if state.waiters.len() >= state.prune_at {
            state.waiters.retain(|(_, waiter)| !waiter.is_canceled());
            state.prune_at = 2 * state.waiters.len().max(4);
        }
        let (sender, receiver) = oneshot::channel();
        state.waiters.push((stage, sender));
        Err(receiver)
    }

    /// Settles a stage, once; answers who waits for it.
    pub(crate) fn settle(&self, stage: Stage, outcome: Outcome) -> Waiters {
        let mut state = lock(&self.state);
        let slot = match stage {
            Stage::Leader => &mut state.leader,
            Stage::Backend => &mut state.backend,
        };
        if slot.is_some() {
            return Waiters::default();
        }
        *slot = Some(outcome);
        let (woken, rest) = std::mem::take(&mut state.waiters).into_iter().partition(|(of, _)| *of == stage);
        state.waiters = rest;
        Waiters(Vec::into_iter(woken).map(|(_, waiter)| waiter).collect())
    }

    /// The store is closed: whoever waits is told so. A stage that has settled stays so.
    pub(crate) fn close(&self, error: SyncError) -> Waiters {
        let mut state = lock(&self.state);
        state.closed.get_or_insert(error);
        Waiters(std::mem::take(&mut state.waiters).into_iter().map(|(_, waiter)| waiter).collect())
    }

    fn tell_observed(&self, first: bool) {
        if let Some(shared) = self.store.upgrade().filter(|_| first) {
            shared.observed(self.id);
        }
    }

    pub(crate) fn store(&self) -> Option<Arc<Shared>> {
        self.store.upgrade()
    }

    pub(crate) fn waiting_for(&self, stage: Stage) -> WaitingFor {
        let status = self.store.upgrade().map(|shared| Box::new(shared.status()));
        WaitingFor { stage, status }
    }
}

impl State {
    fn peek(&self, stage: Stage) -> Option<Outcome> {
        let slot = match stage {
            Stage::Leader => &self.leader,
            Stage::Backend => &self.backend,
        };
        slot.clone().or_else(|| self.closed.clone().map(Err))
    }

    /// Whether this stage has failed, and nobody has been told before.
    fn observe(&mut self, stage: Stage) -> bool {
        let slot = match stage {
            Stage::Leader => &self.leader,
            Stage::Backend => &self.backend,
        };
        matches!(slot, Some(Err(_))) && !std::mem::replace(&mut self.observed, true)
    }
}

impl Drop for Cell {
    /// The last handle is gone: nothing of it stays behind.
    fn drop(&mut self) {
        if let Some(shared) = self.store.upgrade() {
            shared.forget_receipt(self.id);
        }
    }
}

impl Cell {
    /// Whether both stages have settled.
    pub(crate) fn is_settled(&self) -> bool {
        let state = lock(&self.state);
        state.leader.is_some() && state.backend.is_some()
    }

    /// The outcome of a leader stage that was reached.
    pub(crate) fn persisted() -> Outcome {
        Ok(Settled::Persisted)
    }
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod races;
