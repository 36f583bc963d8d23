//! The machine and what hangs on it, under one lock.

use std::collections::VecDeque;
use std::sync::Arc;

use countersign_core::{BackendDiffers, Effect, EffectId, Notice, Output, Resolution, Stage, Txn};
use futures_channel::oneshot;

use super::{SessionCell, Shared, Timer, push, storage};
use crate::receipt::{Goals, LogName, Table, Waiters};
use crate::record::Machine;

/// The machine, and who waits for what.
pub(crate) struct Hub {
    pub(crate) node: Machine,
    pub(crate) receipts: Table,
    /// Points that somebody waits for.
    pub(crate) goals: Goals,
    /// Who wants to be told of the next turn.
    pub(crate) listeners: Vec<oneshot::Sender<()>>,
    /// The log that confirmations are about, once known.
    log: Option<Arc<LogName>>,
    pub(crate) counts: Counts,
    pub(crate) timer: Arc<Timer>,
    /// Transactions that storage has been given and has not answered, in order.
    pub(crate) storing: VecDeque<(EffectId, Arc<Txn>)>,
    /// No more commits are taken.
    pub(crate) closing: bool,
    /// Every wait has been ended: nothing that comes now would be told to anybody.
    pub(crate) ended: bool,
}

/// What has settled since the store was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) confirmed: u64,
    pub(crate) failed: u64,
}

impl Hub {
    pub(crate) fn new(node: Machine, timer: Arc<Timer>) -> Self {
        Self {
            node,
            receipts: Table::default(),
            goals: Goals::default(),
            listeners: Vec::new(),
            log: None,
            counts: Counts::default(),
            timer,
            storing: VecDeque::new(),
            closing: false,
            ended: false,
        }
    }

    /// Moves everything that the machine says to where it belongs, before its lock is let go: so no two threads can swap them.
    /// Answers the sessions that have something to do.
    pub(super) fn drain(&mut self, shared: &Shared, woken: &mut Waiters) -> Vec<Arc<SessionCell>> {
        let mut due: Vec<Arc<SessionCell>> = Vec::new();
        loop {
            match self.node.poll() {
                Output::Effect { id, effect } => match effect {
                    Effect::Materialise(txn) => {
                        self.storing.push_back((id, Arc::clone(&txn)));
                        shared.storage.put(storage::Job::Materialise(id, txn));
                    }
                    Effect::Snapshot { session } => shared.storage.put(storage::Job::Snapshot(id, session)),
                    Effect::Session { session, txn } => {
                        if let Some(cell) = shared.session(session) {
                            cell.put(super::session::Due::Run(id, txn));
                            due.push(cell);
                        }
                    }
                    Effect::Push(push) => shared.push.put(push::Job { id, push }),
                    Effect::Pull(pull) => shared.pull.put(id, pull),
                    Effect::Abandon { pull } => shared.pull.abandon(pull),
                    unknown => tracing::error!(?unknown, "an effect that this driver does not know"),
                },
                Output::Resolve(resolution) => {
                    self.count(&resolution);
                    self.goals.resolved(&resolution);
                    self.learn_log(&shared.store_id);
                    self.receipts.resolve(resolution, self.log.as_ref(), woken);
                }
                Output::Notify(notice) => tell(&notice),
                Output::Idle { deadline } => {
                    let node = &self.node;
                    self.receipts.sweep(|session| node.knows(session));
                    self.timer.set(deadline.map(|(at, _)| at));
                    shared.turns.tell();
                    self.goals.look(&self.node, woken);
                    woken.add(Waiters::of(std::mem::take(&mut self.listeners)));
                    return due;
                }
                unknown => tracing::error!(?unknown, "an output that this driver does not know"),
            }
        }
    }

    /// Tells when the machine has taken another turn, or the store is closed.
    pub(super) fn next_turn(&mut self) -> oneshot::Receiver<()> {
        self.listeners.retain(|listener| !listener.is_canceled());
        let (sender, receiver) = oneshot::channel();
        if !self.ended {
            self.listeners.push(sender);
        }
        receiver
    }

    /// A backend that is forgotten in the same turn is still the one that has confirmed what is told in it.
    fn learn_log(&mut self, store_id: &Arc<str>) {
        let Some(backend) = self.node.backend() else { return };
        if self.log.as_ref().is_none_or(|log| log.backend != *backend) {
            self.log = Some(Arc::new(LogName { store_id: Arc::clone(store_id), backend: Arc::clone(backend) }));
        }
    }

    fn count(&mut self, resolution: &Resolution) {
        match resolution {
            Resolution::Confirmed { commits, .. } => self.counts.confirmed += commits.len() as u64,
            Resolution::Failed { stage: Stage::Backend, .. } => self.counts.failed += 1,
            _ => {}
        }
    }
}

/// Notices go to the log, each as loud as it matters.
fn tell(notice: &Notice) {
    match notice {
        Notice::Quarantined { commit, error } => tracing::error!(%commit, %error, "commit in quarantine"),
        Notice::Stuck { commit, message } => tracing::error!(%commit, %message, "the backend keeps refusing a commit"),
        Notice::BackendIdMismatch { expected, received } => tracing::error!("{}", BackendDiffers { expected, received }),
        Notice::BackendLogBroken { at } => tracing::error!(at, "the backend's log has a gap"),
        Notice::StorageTrouble(failure) => tracing::error!(class = ?failure.class, message = %failure.message, "storage"),
        Notice::NeedsAuth { message } => tracing::warn!(%message, "the backend wants other credentials"),
        Notice::Unreachable { message } => tracing::warn!(%message, "the backend is not reached"),
        Notice::Skipped(skipped) => {
            for skip in skipped {
                tracing::warn!(at = %skip.at, reason = %skip.reason, "event without effect");
            }
        }
        Notice::EchoDiffers { commit, at } => tracing::warn!(%commit, %at, "an own event came back changed"),
        Notice::Reseeding { session, message } => tracing::warn!(%session, %message, "session seeded anew"),
        other => tracing::info!(notice = ?other, "sync"),
    }
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod races;
