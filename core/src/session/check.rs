//! What holds of a session at any time.

use crate::ensure::ensure;
use crate::event::OwnEvent;
use crate::id::EffectId;

use super::take::FORGET_AT;
use super::{Phase, Session};

impl Session {
    /// What [`crate::Node::check`] asks for.
    pub(crate) fn check(&self, backlog: usize) -> Result<(), &'static str> {
        ensure!(self.waiting.len() <= backlog.max(1), "what waits to be taken is within its limit");
        self.check_pending()?;
        self.check_database()?;
        match self.phase {
            Phase::Ready | Phase::Preparing => self.check_free()?,
            Phase::Closed => self.check_closed()?,
            Phase::Lost(_) => return Err("a session whose database is lost is seeded anew"),
            Phase::Seeding(_) | Phase::Applying(_) => {}
        }
        ensure!(self.preparing.is_empty() || self.phase == Phase::Preparing, "a commit is applied between prepare and finish");
        ensure!(!self.is_open() || self.next_commit == self.ledger.last() + 1, "each commit has a receipt");
        self.ledger.check()
    }

    /// Own events that the leader has not stored.
    fn check_pending(&self) -> Result<(), &'static str> {
        ensure!(self.admitted <= self.pending.len(), "admitted events are among the session's pending ones");
        let bytes: usize = self.unsent().map(OwnEvent::held_bytes).sum();
        ensure!(bytes == self.unadmitted_bytes, "the bytes that are not admitted are counted right");
        let (mut synced, mut after, mut ordinal) = (0, 0, 0);
        for (index, own) in self.pending.iter().enumerate() {
            ensure!(own.id.session == self.id, "a session's events are its own");
            ensure!(own.id.ordinal > ordinal, "a session's events are in the order of their ordinals");
            ordinal = own.id.ordinal;
            if index < self.admitted {
                (synced, after) = if own.event.client_only { (synced, after + 1) } else { (synced + 1, 0) };
            }
        }
        ensure!(ordinal < self.next_event, "no event has the number of the next one");
        ensure!((synced, after) == (self.admitted_synced, self.admitted_after_synced), "admitted events are counted right");
        let whole = |index: usize| self.pending.get(index).is_none_or(|own| own.last);
        ensure!(self.admitted == 0 || whole(self.admitted - 1), "commits are admitted whole");
        ensure!(whole(self.pending.len().saturating_sub(1)), "commits are made whole");
        let unsent = self.admitted < self.pending.len();
        ensure!(unsent || !self.refused, "what was refused is still to be sent");
        ensure!(unsent || !self.again, "what is sent again is still to be sent");
        ensure!(!self.has_something_to_send(), "whatever may be sent is sent at once");
        Ok(())
    }

    /// The stack of units in the database, and what it is to become.
    fn check_database(&self) -> Result<(), &'static str> {
        ensure!(self.upstream_applied <= self.upstream_taken, "what the database has of the global order has been taken");
        ensure!(self.agreed <= self.depth, "what stands as it should is on the stack");
        let unapplied = self.settled + self.upstream.len().saturating_sub(self.agreed);
        ensure!(self.unapplied.len() == unapplied, "what the database has to be given of the leader's is at hand");
        ensure!(self.settled == 0 || self.agreed == 0, "what has settled comes below all that may be undone");
        let mut settled = self.unapplied.iter().take(self.settled);
        ensure!(settled.all(|unit| !unit.undoable && unit.commit.is_none()), "what has settled is applied for good");
        ensure!(self.unapplied.iter().skip(self.settled).all(|unit| unit.undoable), "what may be undone can be");
        ensure!(self.upstream.iter().zip(self.upstream.iter().skip(1)).all(|(a, b)| a < b), "upstream places ascend");
        let ascend = self.waiting.iter().zip(self.waiting.iter().skip(1)).all(|(a, b)| a.number < b.number);
        ensure!(ascend, "what waits to be taken is in the order in which it was stored");
        Ok(())
    }

    fn check_free(&self) -> Result<(), &'static str> {
        ensure!(self.agreed == self.depth && self.unapplied.is_empty(), "a free session has nothing left to do");
        ensure!(self.depth == self.upstream.len() + self.pending.len(), "the stack is what may be undone");
        ensure!(self.upstream_applied == self.upstream_taken, "the database of a free session has what was taken");
        ensure!(self.forget < FORGET_AT, "a free session's database has been told what to forget");
        let waits = self.held || self.phase == Phase::Preparing || self.waiting.is_empty();
        ensure!(waits, "a session takes what waits as soon as it is free");
        Ok(())
    }

    fn check_closed(&self) -> Result<(), &'static str> {
        ensure!(self.pending.is_empty(), "a closed session has sent everything");
        ensure!(self.waiting.is_empty() && self.upstream.is_empty(), "a closed session takes nothing");
        ensure!(self.unapplied.is_empty(), "a closed session has no database");
        ensure!(!self.refused, "a closed session waits for nothing before it sends");
        Ok(())
    }

    /// The effect whose answer is waited for, for [`crate::Node::check`].
    pub(crate) fn awaited(&self) -> Option<EffectId> {
        match self.phase {
            Phase::Seeding(id) | Phase::Applying(id) => Some(id),
            _ => None,
        }
    }
}
