//! What holds of pulling at any time.

use crate::ensure::ensure;
use crate::id::EffectId;

use super::super::tail::Tail;
use super::Pulling;

impl Pulling {
    /// What [`crate::Node::check`] asks for.
    pub(in super::super) fn check(&self, tail: &Tail) -> Result<(), &'static str> {
        ensure!(!self.caught_up || self.caught_up_once, "who is caught up has been so");
        ensure!(!self.caught_up || !self.fresh, "who has to ask anew is not caught up");
        ensure!(!self.caught_up || !self.more, "who knows of more is not caught up");
        let anchor = self.anchor.as_ref().map_or((0, 0), |anchor| (anchor.seq, anchor.parent));
        ensure!(anchor.0 == tail.upstream(), "the backend is recognised by the last confirmed event");
        ensure!(anchor.0 == 0 || anchor.1 == tail.upstream_parent(), "a stream starts before that event");
        ensure!(self.broken_at.is_none_or(|at| at == tail.upstream()), "the log is broken where the next event is missing");
        ensure!(self.broken_at.is_none() || self.fresh || self.outstanding.is_some(), "a broken log is asked for again");
        ensure!(self.ended_short_at.is_none_or(|(at, _)| at <= tail.upstream()), "a stream has ended at what was pulled");
        ensure!(self.promised <= tail.acknowledged(), "no more was promised than was acknowledged");
        ensure!(self.outstanding.is_some() || self.caught_up || self.fresh || self.more, "what is not known is asked for");
        ensure!(self.retry.is_sound(), "nothing waits that has not failed");
        Ok(())
    }

    pub(in super::super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    pub(in super::super) fn outstanding_id(&self) -> Option<EffectId> {
        self.outstanding.as_ref().map(|outstanding| outstanding.effect)
    }
}
