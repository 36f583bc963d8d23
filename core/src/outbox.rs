//! Where decisions are put while an input is handled, for the driver to fetch afterwards.

use alloc::collections::VecDeque;

use crate::effect::{Effect, Notice, Output, Resolution};
use crate::id::EffectId;
use crate::tally::Tally;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Outbox {
    next: Tally,
    queue: VecDeque<Output>,
}

impl Outbox {
    pub(crate) fn effect(&mut self, effect: Effect) -> EffectId {
        self.next += 1;
        let id = EffectId(self.next.0);
        self.queue.push_back(Output::Effect { id, effect });
        id
    }

    /// Whether an effect of this identity has been ordered.
    pub(crate) fn has_ordered(&self, id: EffectId) -> bool {
        (1..=self.next.0).contains(&id.0)
    }

    pub(crate) fn resolve(&mut self, resolution: Resolution) {
        self.queue.push_back(Output::Resolve(resolution));
    }

    pub(crate) fn notify(&mut self, notice: Notice) {
        self.queue.push_back(Output::Notify(notice));
    }

    /// The wrong one.
    pub(crate) fn pop_newest(&mut self) -> Option<Output> {
        self.queue.pop_back()
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }
}
