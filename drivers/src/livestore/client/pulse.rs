//! Signs of life. A peer that says nothing for a while is pinged, and given as long to answer: with 10 seconds for
//! each, one that is dead is noticed within 20.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Pulse {
    /// How long a peer may be silent before it is pinged, and then to answer.
    every: Duration,
    ping_at: Instant,
    dead_at: Option<Instant>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing.
    None,
    /// A ping has to be sent.
    Ping,
    /// Nobody is there any more.
    Dead,
}

impl Pulse {
    pub(super) fn new(every: Duration, now: Instant) -> Self {
        Self { every, ping_at: now + every, dead_at: None }
    }

    /// The peer has said something.
    pub(super) fn heard(&mut self, now: Instant) {
        *self = Self::new(self.every, now);
    }

    /// Nobody was listening until now: what the peer has said meanwhile is still to be heard.
    pub(super) fn listen(&mut self, now: Instant) {
        if self.dead_at.is_some() {
            self.dead_at = Some(now + self.every);
        }
    }

    pub(super) fn tick(&mut self, now: Instant) -> Beat {
        match self.dead_at {
            Some(at) if at <= now => Beat::Dead,
            None if self.ping_at <= now => {
                self.dead_at = Some(now + self.every);
                Beat::Ping
            }
            _ => Beat::None,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.dead_at.unwrap_or(self.ping_at)
    }
}
