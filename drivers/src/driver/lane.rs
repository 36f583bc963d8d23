//! A lane's queue: orders are carried out one by one, in the order given.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};

use crate::sync::{lock, wait_until};

/// Bounded by the machine: it never has more orders under way than its contract says.
pub(crate) struct Lane<T> {
    queue: Mutex<Queue<T>>,
    news: Condvar,
}

struct Queue<T> {
    orders: VecDeque<T>,
    closed: bool,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { queue: Mutex::new(Queue { orders: VecDeque::new(), closed: false }), news: Condvar::new() }
    }
}

impl<T> Lane<T> {
    pub(crate) fn put(&self, order: T) {
        lock(&self.queue).orders.push_back(order);
        self.news.notify_one();
    }

    /// The next order. Blocks until there is one; `None` when the lane is closed and empty.
    pub(crate) fn take(&self) -> Option<T> {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(order) = queue.orders.pop_front() {
                return Some(order);
            }
            if queue.closed {
                return None;
            }
            queue = wait_until(&self.news, queue, None);
        }
    }

    /// No order is waited for any more; those that are there are still carried out.
    pub(crate) fn close(&self) {
        lock(&self.queue).closed = true;
        self.news.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.queue).closed
    }
}
