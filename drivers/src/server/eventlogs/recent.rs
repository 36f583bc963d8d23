//! The end of a log, in memory: what live pulls are about to want.

use std::collections::VecDeque;
use std::sync::Arc;

use super::item::Item;
use crate::livestore::protocol::MESSAGE_EVENTS;

/// Enough for those who are a moment behind; who is further behind reads from the log.
const ITEMS: usize = 1_000;
const BYTES: usize = 1 << 20;

/// Events without a gap, the newest last.
#[derive(Debug, Default)]
pub(super) struct Recent {
    items: VecDeque<Arc<Item>>,
    bytes: usize,
}

impl Recent {
    pub(super) fn push(&mut self, item: Arc<Item>) {
        if self.items.back().is_some_and(|last| last.seq + 1 != item.seq) {
            self.items.clear();
            self.bytes = 0;
        }
        self.bytes += item.bytes();
        self.items.push_back(item);
        while self.items.len() > ITEMS || (self.bytes > BYTES && self.items.len() > 1) {
            self.bytes -= self.items.pop_front().map_or(0, |oldest| oldest.bytes());
        }
    }

    /// What follows this position, as much as a message takes; nothing if some of it is no longer here.
    pub(super) fn after(&self, after: u64) -> Option<Vec<Arc<Item>>> {
        let first = self.items.front()?.seq;
        let skip = usize::try_from((after + 1).checked_sub(first)?).ok()?;
        Some(self.items.iter().skip(skip).take(MESSAGE_EVENTS).cloned().collect())
    }
}
