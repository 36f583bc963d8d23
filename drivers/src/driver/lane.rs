//! A lane's queue: orders are carried out one by one, in the order given.

use std::collections::VecDeque;
#[cfg(feature = "smol")]
use std::task::Poll;
use std::task::Waker;
use std::time::Instant;

use crate::sync::{Condvar, Mutex, lock, wait_until};

/// Bounded by the machine: it never has more orders under way than its contract says.
pub(crate) struct Lane<T> {
    queue: Mutex<Queue<T>>,
    news: Condvar,
}

struct Queue<T> {
    orders: VecDeque<T>,
    closed: bool,
    /// The task that carries the orders out, if it is a task.
    task: Option<Waker>,
}

/// What there is to do in a lane.
pub(crate) enum Next<T> {
    /// This.
    Order(T),
    /// Nothing, until the deadline that was given.
    Late,
    /// Nothing any more.
    Closed,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { queue: Mutex::new(Queue { orders: VecDeque::new(), closed: false, task: None }), news: Condvar::new() }
    }
}

impl<T> Lane<T> {
    /// Queues an order. Once the lane is closed it is dropped: nobody would carry it out.
    pub(crate) fn put(&self, order: T) {
        let mut queue = lock(&self.queue);
        if !queue.closed {
            queue.orders.push_back(order);
            self.tell(&mut queue);
        }
    }

    /// The next order. Blocks until there is one, the deadline has passed, or the lane is closed.
    pub(crate) fn take(&self, deadline: Option<Instant>) -> Next<T> {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(order) = queue.orders.pop_front() {
                return Next::Order(order);
            }
            if queue.closed {
                return Next::Closed;
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Next::Late;
            }
            queue = wait_until(&self.news, queue, deadline);
        }
    }

    /// The lane ends after the order that is being carried out. Answers those that were still waiting.
    pub(crate) fn close(&self) -> VecDeque<T> {
        self.close_after(|_| false)
    }

    /// The lane ends after the order that is being carried out, and after those that were waiting and are still wanted. Answers the
    /// others.
    pub(crate) fn close_after(&self, wanted: impl Fn(&T) -> bool) -> VecDeque<T> {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        self.tell(&mut queue);
        let (wanted, dropped) = std::mem::take(&mut queue.orders).into_iter().partition(wanted);
        queue.orders = wanted;
        dropped
    }

    /// The next order, for a task, which is woken when there is one. Never [`Next::Late`].
    #[cfg(feature = "smol")]
    pub(crate) fn poll_take(&self, task: &Waker) -> Poll<Next<T>> {
        let mut queue = lock(&self.queue);
        if let Some(order) = queue.orders.pop_front() {
            return Poll::Ready(Next::Order(order));
        }
        if queue.closed {
            return Poll::Ready(Next::Closed);
        }
        queue.task = Some(task.clone());
        Poll::Pending
    }

    /// Ready once the lane is closed; the task is woken then.
    #[cfg(feature = "smol")]
    pub(crate) fn poll_closed(&self, task: &Waker) -> Poll<()> {
        let mut queue = lock(&self.queue);
        if queue.closed {
            return Poll::Ready(());
        }
        queue.task = Some(task.clone());
        Poll::Pending
    }

    /// There is one who carries orders out, a thread or a task.
    fn tell(&self, queue: &mut Queue<T>) {
        self.news.notify_all();
        if let Some(task) = queue.task.take() {
            task.wake();
        }
    }
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod races;
