//! Taking commits from sessions.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;

use crate::config::Config;
use crate::error::InvalidPush;
use crate::event::OwnEvent;
use crate::id::{CommitId, SessionId};
use crate::merge;
use crate::seq::Pos;
use crate::time::Time;

use super::Leader;
use super::persisting::Admission;

/// One commit on its way from a session to the leader.
#[derive(Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) commit: CommitId,
    /// Its events are these among the session's.
    pub(crate) events: &'a VecDeque<OwnEvent>,
    pub(crate) range: Range<usize>,
    /// The place that the session gave the first event.
    pub(crate) first: Option<Pos>,
    /// Whether the session has been refused once already. Then the commit is taken and renumbered here: another session that
    /// keeps committing must not be able to keep this one out for ever.
    pub(crate) again: bool,
}

impl Leader {
    /// Takes one commit. Persisting it comes later.
    ///
    /// # Errors
    ///
    /// `LeaderAhead`, if the session has not seen everything that is here; it then rebases and tries again.
    pub(crate) fn admit(&mut self, config: &Config, arrival: Arrival<'_>) -> Result<(), InvalidPush> {
        let head = self.tail.local_head();
        if let Some(first) = arrival.first
            && !arrival.again
        {
            let behind = |minimum_expected| InvalidPush::LeaderAhead { minimum_expected, provided: first };
            merge::admit(head, first).map_err(behind)?;
        }
        let commit = arrival.commit;
        let admitted = self.admitted.entry(commit.session).or_insert(0);
        debug_assert!(commit.ordinal > *admitted, "{commit} comes once, in order");
        *admitted = commit.ordinal;

        let events = arrival.range.len();
        let of_commit = arrival.events.range(arrival.range);
        debug_assert!(of_commit.clone().all(|own| own.commit_id() == commit), "one commit comes at a time");
        debug_assert!(of_commit.clone().next_back().is_none_or(|own| own.last), "a commit comes whole");
        debug_assert!(of_commit.clone().filter(|own| own.guard.is_some()).count() <= 1, "a commit has one guard");
        let closing = of_commit.clone().rposition(|own| !own.event.client_only);
        if let (Some(limit), Some(_)) = (config.pending_age, closing) {
            self.ages.admitted(self.tail.pending_end(), self.tail.acked(), self.now, limit);
        }
        let mut bytes = 0;
        for (index, own) in of_commit.enumerate() {
            let held = own.held_bytes();
            bytes += held;
            if self.tail.push_own(own.clone(), closing == Some(index), 0) {
                self.count_pending(own.event.client_only, held, 1);
            }
        }
        debug_assert!(self.tail.local_head() > head || events == 0, "what is admitted comes behind everything else (L1)");
        self.persisting.admit(Admission {
            commit,
            events,
            bytes,
            settled_end: self.tail.settled_end(),
            pending_end: self.tail.pending_end(),
            failed: None,
        });
        if config.backend && closing.is_some() {
            self.end_if_stopped(config, commit);
        }
        Ok(())
    }

    pub(crate) fn session_opened(&mut self, session: SessionId) {
        let earlier = self.admitted.insert(session, 0);
        debug_assert!(earlier.is_none(), "a session is opened once");
    }

    pub(crate) fn session_closed(&mut self, session: SessionId) {
        self.admitted.remove(&session);
        self.look_at_withdrawals();
    }

    /// The events of commits that are admitted and not stored.
    pub(crate) fn unstored_events(&self) -> Vec<OwnEvent> {
        let commits = self.persisting.unstored_commits();
        let mut events = self.tail.unstored_own();
        events.retain(|own| commits.contains(&own.commit_id()));
        debug_assert!(events.len() <= self.persisting.events, "no more than was admitted and is not stored");
        events
    }

    /// Since when the oldest event that the backend has not accepted has been pending; known only where that is limited.
    pub(crate) fn oldest_pending(&self) -> Option<Time> {
        let oldest = self.tail.acked();
        if oldest < self.tail.pending_end() { self.ages.since(oldest) } else { None }
    }

    /// How many events and bytes are pending, and how many are waiting for the disk.
    pub(crate) fn load(&self) -> Load {
        Load {
            pending_events: self.pending_synced,
            pending_client_only: self.pending_client_only,
            // What may yet be found at the backend is remembered, and so has to count.
            uncertain: self.uncertain.len(),
            pending_bytes: self.pending_bytes,
            unpersisted_events: self.persisting.events,
            unpersisted_bytes: self.persisting.bytes,
        }
    }
}

/// What is queued at the leader.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) pending_events: usize,
    pub(crate) pending_client_only: usize,
    pub(crate) uncertain: usize,
    pub(crate) pending_bytes: usize,
    pub(crate) unpersisted_events: usize,
    pub(crate) unpersisted_bytes: usize,
}
