//! The pull lane: asks for one page at a time, on a thread of its own or as a task. A pull that is no longer wanted is interrupted.

use std::sync::Arc;
use std::task::Waker;
#[cfg(feature = "smol")]
use std::task::{Context, Poll};
use std::time::Instant;

use countersign_core::{BackendFailure, EffectId, Input, Page, Pull};

use super::Shared;
use super::credentials::Credentials;
use super::lane::Next;
use super::push::guarded;
#[cfg(feature = "smol")]
use super::smol::{before, guarded_task};
#[cfg(feature = "smol")]
use crate::backend::AsyncPullLane;
#[cfg(feature = "smol")]
use crate::backend::interrupted;
use crate::backend::{Interrupter, PullLane, is_interruption};
use crate::sync::{Condvar, Mutex, lock, wait_until};

/// The pull that is wanted. There is never more than one.
#[derive(Default)]
pub(crate) struct PullLaneQueue {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    wanted: Option<(EffectId, Pull)>,
    running: Option<EffectId>,
    /// Set by an interruption, until a pull has ended by it: the pull that it was meant for may have ended by itself.
    interrupted: bool,
    interrupter: Option<Interrupter>,
    closed: bool,
    /// The task that pulls, if it is a task.
    task: Option<Waker>,
}

impl PullLaneQueue {
    pub(crate) fn put(&self, id: EffectId, pull: Pull) {
        let mut state = lock(&self.state);
        state.wanted = Some((id, pull));
        self.tell(&mut state);
    }

    /// Ends a pull that nobody wants any more.
    pub(crate) fn abandon(&self, id: EffectId) {
        let mut state = lock(&self.state);
        if state.wanted.as_ref().is_some_and(|(wanted, _)| *wanted == id) {
            state.wanted = None;
        }
        if state.running == Some(id) {
            state.interrupt();
            self.tell(&mut state);
        }
    }

    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.interrupt();
        self.tell(&mut state);
    }

    fn tell(&self, state: &mut State) {
        self.news.notify_all();
        if let Some(task) = state.task.take() {
            task.wake();
        }
    }

    /// The next pull that is wanted. Blocks until there is one, the deadline has passed, or the lane is closed.
    fn next(&self, deadline: Option<Instant>) -> Next<(EffectId, Pull)> {
        let mut state = lock(&self.state);
        loop {
            if let Some(next) = state.next() {
                return next;
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Next::Late;
            }
            state = wait_until(&self.news, state, deadline);
        }
    }

    /// The next pull, for a task, which is woken when there is one. Never [`Next::Late`].
    #[cfg(feature = "smol")]
    fn poll_next(&self, task: &Waker) -> Poll<Next<(EffectId, Pull)>> {
        let mut state = lock(&self.state);
        let next = state.next();
        if next.is_none() {
            state.task = Some(task.clone());
        }
        next.map_or(Poll::Pending, Poll::Ready)
    }

    /// Ready once nobody wants this pull any more; the task is woken then.
    #[cfg(feature = "smol")]
    fn poll_unwanted(&self, id: EffectId, task: &Waker) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.running != Some(id) {
            return Poll::Ready(());
        }
        state.task = Some(task.clone());
        Poll::Pending
    }

    /// Whether a pull has failed only by an interruption that was meant for the one before it. Another failure is its own: the one before it
    /// may have been ended by its interruption all the same.
    fn was_spared(&self, id: EffectId, result: &Result<Page, BackendFailure>) -> bool {
        let mut state = lock(&self.state);
        if !result.as_ref().is_err_and(is_interruption) || state.closed || !state.interrupted {
            return false;
        }
        state.interrupted = false;
        state.running == Some(id)
    }
}

impl State {
    /// What there is to do; nothing if it has to be waited for.
    fn next(&mut self) -> Option<Next<(EffectId, Pull)>> {
        self.running = None;
        if self.closed {
            return Some(Next::Closed);
        }
        let (id, pull) = self.wanted.take()?;
        self.running = Some(id);
        Some(Next::Order((id, pull)))
    }

    fn interrupt(&mut self) {
        self.running = None;
        if let Some(interrupter) = &self.interrupter {
            self.interrupted = true;
            interrupter.interrupt();
        }
    }
}

/// Pulls until the lane is closed.
pub(crate) fn run(shared: &Arc<Shared>, mut lane: Box<dyn PullLane>) {
    lock(&shared.pull.state).interrupter = Some(lane.interrupter());
    let mut credentials = Credentials::default();
    loop {
        match shared.pull.next(credentials.due()) {
            Next::Order((id, pull)) => {
                let mut ask = || guarded("pull", false, || lane.pull(&pull));
                let mut result = ask();
                while shared.pull.was_spared(id, &result) {
                    result = ask();
                }
                credentials.heard(&result);
                shared.feed_and_say(answer(id, result));
            }
            Next::Late => {
                if credentials.ask(|| lane.has_new_credentials()) {
                    shared.feed_and_say(Input::Authenticated);
                }
            }
            Next::Closed => return,
        }
    }
}

/// As [`run`], as a task: an interruption drops the pull.
#[cfg(feature = "smol")]
pub(crate) async fn run_task(shared: Arc<Shared>, mut lane: Box<dyn AsyncPullLane>) {
    let mut credentials = Credentials::default();
    loop {
        let next = before(credentials.due(), |task| shared.pull.poll_next(task.waker())).await;
        match next.unwrap_or(Next::Late) {
            Next::Order((id, pull)) => {
                let unwanted = |task: &mut Context<'_>| shared.pull.poll_unwanted(id, task.waker());
                let pulled = guarded_task("pull", false, || lane.pull(&pull), unwanted).await;
                let result = pulled.unwrap_or_else(|| Err(interrupted()));
                credentials.heard(&result);
                shared.feed_and_say(answer(id, result));
            }
            Next::Late => {
                if credentials.ask(|| lane.has_new_credentials()) {
                    shared.feed_and_say(Input::Authenticated);
                }
            }
            Next::Closed => return,
        }
    }
}

fn answer(id: EffectId, pulled: Result<Page, BackendFailure>) -> Input {
    match pulled {
        Ok(page) => Input::Pulled { id, page },
        Err(failure) => Input::PullFailed { id, failure },
    }
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod races;
