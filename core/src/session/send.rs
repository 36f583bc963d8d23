//! Sending the leader what was committed, one commit at a time and in order.

use crate::config::Config;
use crate::event::OwnEvent;
use crate::id::CommitId;
use crate::leader::{Arrival, Leader};
use crate::seq::Pos;

use super::Session;

impl Session {
    /// Sends the leader what it has not admitted, if any may be sent now. Answers how often the leader was ahead.
    pub(crate) fn send(&mut self, leader: &mut Leader, config: &Config) -> u64 {
        let mut ahead = 0;
        while let Some((commit, events)) = self.next_to_send() {
            let first = if events == 0 { None } else { self.place_to_send() };
            let range = self.admitted..self.admitted + events;
            debug_assert!(events == 0 || first.is_some_and(|first| first > self.head), "it comes behind what was taken (L1)");
            let arrival = Arrival { commit, events: &self.pending, range, first, again: self.again || !self.is_open() };
            match leader.admit(config, arrival) {
                Ok(()) => self.sent(events),
                Err(_) => {
                    debug_assert!(!self.again, "a session is refused once");
                    ahead += 1;
                    (self.refused, self.again) = (true, true);
                }
            }
        }
        ahead
    }

    /// Whether there is something to send, and nothing in the way.
    pub(crate) fn has_something_to_send(&self) -> bool {
        self.next_to_send().is_some()
    }

    /// The next commit that the leader has not admitted, if it may be sent now, and how many events it has.
    fn next_to_send(&self) -> Option<(CommitId, usize)> {
        let first = self.pending.get(self.admitted);
        // A commit without events has nothing to send, and yet has to be told of in its turn: the marks go in commit order.
        if let Some(ordinal) = self.ledger.next_empty().filter(|&ordinal| first.is_none_or(|own| ordinal < own.commit)) {
            return Some((CommitId { session: self.id, ordinal }, 0));
        }
        let first = first.filter(|_| !self.refused)?;
        let mut end = self.admitted + 1;
        debug_assert!(self.admitted == 0 || self.pending[self.admitted - 1].last, "commits are admitted whole");
        if !first.last {
            end += self.pending.range(end..).take_while(|own| own.commit == first.commit).count();
        }
        debug_assert!(self.pending[end - 1].last, "a commit is sent whole");
        Some((first.commit_id(), end - self.admitted))
    }

    /// Where the first event that is not admitted stands, as far as the session knows.
    fn place_to_send(&self) -> Option<Pos> {
        let own = self.pending.get(self.admitted)?;
        let before = match self.admitted_synced {
            0 => Pos { client: self.head.client + self.admitted_after_synced, ..self.head },
            synced => Pos { global: self.head.global + synced, client: self.admitted_after_synced },
        };
        Some(before.next(own.event.client_only))
    }

    fn count_admitted(&mut self, from: usize) {
        for index in from..self.admitted {
            if self.pending[index].event.client_only {
                self.admitted_after_synced += 1;
            } else {
                self.admitted_synced += 1;
                self.admitted_after_synced = 0;
            }
        }
    }

    /// After events have been taken from among them.
    pub(super) fn recount_admitted(&mut self) {
        self.unadmitted_bytes = self.unsent().map(OwnEvent::held_bytes).sum();
        (self.admitted_synced, self.admitted_after_synced) = (0, 0);
        self.count_admitted(0);
    }

    /// The first pending event is the leader's now.
    pub(super) fn pop_pending(&mut self) {
        let Some(first) = self.pending.pop_front() else { return };
        if self.admitted == 0 {
            debug_assert!(false, "the leader has stored only what it has admitted");
            return;
        }
        self.admitted -= 1;
        if !first.event.client_only {
            self.admitted_synced -= 1;
        } else if self.admitted_synced == 0 {
            self.admitted_after_synced -= 1;
        }
    }

    fn sent(&mut self, events: usize) {
        if events == 0 {
            self.ledger.sent_empty();
            return;
        }
        let from = self.admitted;
        self.admitted += events;
        debug_assert!(self.admitted <= self.pending.len());
        if self.admitted == self.pending.len() {
            self.unadmitted_bytes = 0;
        } else {
            let sent = self.pending.range(from..self.admitted);
            self.unadmitted_bytes -= sent.map(OwnEvent::held_bytes).sum::<usize>();
        }
        self.count_admitted(from);
        self.again = false;
        if !self.is_open() {
            self.let_go_of_admitted();
        }
    }

    /// Nobody is going to say any more that these are stored: a closed session takes nothing.
    pub(super) fn let_go_of_admitted(&mut self) {
        self.pending.drain(..self.admitted);
        self.admitted = 0;
        self.recount_admitted();
        debug_assert!((self.admitted_synced, self.admitted_after_synced) == (0, 0));
    }
}
