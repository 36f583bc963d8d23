//! Points that a store comes to: waited for like the stages of a receipt, and looked for after every turn of the machine.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use countersign_core::{CommitId, Node, Resolution, Stage, SyncError};
use futures_channel::oneshot;

use super::Waiters;
use super::wait::block_on;
use crate::sync::{Mutex, lock};

/// A point that a store comes to: `Ok` when it is there, or why it can't be.
///
/// Await it (`(&milestone).await`, or `milestone.await`), on any executor; or wait for it, on any thread. Every waiter sees the same.
/// Dropping a wait, or letting it time out, changes nothing; it does not keep the store open, and ends when the store is closed.
#[must_use = "nothing is waited for before it is awaited, or `wait` is called"]
pub struct Milestone<E> {
    goal: Arc<Goal<E>>,
}

/// Errors of milestones can say that a wait could never end.
pub trait Endless {
    /// The wait comes from inside a query or a materialiser, which would hold up what it waits for.
    fn inside() -> Self;
}

impl<E: Clone> Milestone<E> {
    fn new(goal: Arc<Goal<E>>) -> Self {
        Self { goal }
    }

    pub(crate) fn ended(answer: Result<(), E>) -> Self {
        Self::new(Goal::new(Some(answer)))
    }

    /// How it has ended; `None` if it has not.
    #[must_use]
    pub fn peek(&self) -> Option<Result<(), E>> {
        lock(&self.goal.state).answer.clone()
    }

    /// Blocks until the store has come there, or can't.
    ///
    /// # Errors
    ///
    /// Why it can't.
    pub fn wait(&self) -> Result<(), E>
    where
        E: Endless,
    {
        block_on(self.listen(), None).unwrap_or_else(|| Err(E::inside()))
    }

    /// Blocks until the store has come there or can't, or this long at most: `None` then.
    #[must_use = "it may have been reached, or never be, or neither yet"]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<(), E>> {
        block_on(self.listen(), Instant::now().checked_add(timeout))
    }

    fn listen(&self) -> MilestoneWait<E> {
        MilestoneWait { goal: Arc::clone(&self.goal), listening: None }
    }
}

impl<E> Clone for Milestone<E> {
    fn clone(&self) -> Self {
        Self { goal: Arc::clone(&self.goal) }
    }
}

impl<E: Clone> IntoFuture for Milestone<E> {
    type Output = Result<(), E>;
    type IntoFuture = MilestoneWait<E>;

    /// A future that ends when the store has come there, or can't. It is `'static`, and can be dropped at any time.
    fn into_future(self) -> MilestoneWait<E> {
        self.listen()
    }
}

impl<E: Clone> IntoFuture for &Milestone<E> {
    type Output = Result<(), E>;
    type IntoFuture = MilestoneWait<E>;

    /// As by value.
    fn into_future(self) -> MilestoneWait<E> {
        self.listen()
    }
}

impl<E: Clone + fmt::Debug> fmt::Debug for Milestone<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Milestone").field(&self.peek()).finish()
    }
}

/// A wait for a [`Milestone`]. Cancel safe: it can be dropped at any time, and nothing happens.
#[must_use = "a wait does nothing unless it is awaited"]
pub struct MilestoneWait<E> {
    goal: Arc<Goal<E>>,
    listening: Option<oneshot::Receiver<()>>,
}

impl<E: Clone> Future for MilestoneWait<E> {
    type Output = Result<(), E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), E>> {
        loop {
            if let Some(listening) = &mut self.listening
                && Pin::new(listening).poll(context).is_pending()
            {
                return Poll::Pending;
            }
            match self.goal.listen() {
                Ok(answer) => return Poll::Ready(answer),
                Err(listening) => self.listening = Some(listening),
            }
        }
    }
}

impl<E> fmt::Debug for MilestoneWait<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MilestoneWait").finish_non_exhaustive()
    }
}

/// The shared part of a milestone's handles.
pub(crate) struct Goal<E> {
    state: Mutex<State<E>>,
}

struct State<E> {
    answer: Option<Result<(), E>>,
    waiters: Vec<oneshot::Sender<()>>,
}

impl<E: Clone> Goal<E> {
    /// One that is not reached yet, or has its answer from the start.
    fn new(answer: Option<Result<(), E>>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { answer, waiters: Vec::new() }) })
    }

    fn listen(&self) -> Result<Result<(), E>, oneshot::Receiver<()>> {
        let mut state = lock(&self.state);
        if let Some(answer) = &state.answer {
            return Ok(answer.clone());
        }
        state.waiters.retain(|waiter| !waiter.is_canceled());
        let (sender, receiver) = oneshot::channel();
        state.waiters.push(sender);
        Err(receiver)
    }

    fn settle(&self, answer: Result<(), E>) -> Waiters {
        let mut state = lock(&self.state);
        state.answer.get_or_insert(answer);
        Waiters::of(std::mem::take(&mut state.waiters))
    }
}

/// What is found by looking.
pub(crate) enum Look<E> {
    NotYet,
    Answer(Result<(), E>),
}

/// What is looked for after every turn of the machine.
pub(crate) trait Watching: Send {
    type Error: Clone + Send;

    /// A stage of a commit has failed.
    fn failed(&mut self, commit: CommitId, stage: Stage, error: &SyncError) {
        let _ = (commit, stage, error);
    }

    fn look(&mut self, node: &Node) -> Look<Self::Error>;

    /// What those are told who wait when the store is closed, if it is not there by then.
    fn closed(&self) -> Self::Error;
}

/// Everything that is looked for. Holds no milestone alive.
#[derive(Default)]
pub(crate) struct Goals(Vec<Box<dyn Sought>>);

impl Goals {
    /// Looks for it from now on, unless it has its answer at once.
    pub(crate) fn seek<W: Watching + 'static>(&mut self, mut watching: W, node: &Node) -> Milestone<W::Error> {
        let goal = match watching.look(node) {
            Look::Answer(answer) => Goal::new(Some(answer)),
            Look::NotYet => {
                let goal = Goal::new(None);
                self.0.retain(|sought| sought.is_wanted());
                self.0.push(Box::new(Seeking { watching, goal: Arc::downgrade(&goal) }));
                goal
            }
        };
        Milestone::new(goal)
    }

    /// The machine has settled something.
    pub(crate) fn resolved(&mut self, resolution: &Resolution) {
        if let Resolution::Failed { commit, stage, error } = resolution {
            for sought in &mut self.0 {
                sought.failed(*commit, *stage, error);
            }
        }
    }

    /// The machine has taken a turn.
    pub(crate) fn look(&mut self, node: &Node, woken: &mut Waiters) {
        self.0.retain_mut(|sought| sought.is_wanted() && !sought.look(node, woken));
    }

    /// The store is closed.
    pub(crate) fn close(&mut self, node: &Node, woken: &mut Waiters) {
        for mut sought in std::mem::take(&mut self.0) {
            sought.close(node, woken);
        }
    }
}

struct Seeking<W: Watching> {
    watching: W,
    goal: Weak<Goal<W::Error>>,
}

trait Sought: Send {
    fn is_wanted(&self) -> bool;
    fn failed(&mut self, commit: CommitId, stage: Stage, error: &SyncError);
    fn look(&mut self, node: &Node, woken: &mut Waiters) -> bool;
    fn close(&mut self, node: &Node, woken: &mut Waiters);
}

impl<W: Watching> Sought for Seeking<W> {
    fn is_wanted(&self) -> bool {
        self.goal.strong_count() > 0
    }

    fn failed(&mut self, commit: CommitId, stage: Stage, error: &SyncError) {
        self.watching.failed(commit, stage, error);
    }

    fn look(&mut self, node: &Node, woken: &mut Waiters) -> bool {
        let Look::Answer(answer) = self.watching.look(node) else { return false };
        if let Some(goal) = self.goal.upgrade() {
            woken.add(goal.settle(answer));
        }
        true
    }

    fn close(&mut self, node: &Node, woken: &mut Waiters) {
        if !self.look(node, woken)
            && let Some(goal) = self.goal.upgrade()
        {
            woken.add(goal.settle(Err(self.watching.closed())));
        }
    }
}
