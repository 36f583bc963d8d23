//! Signs of life. A peer that says nothing for [`EVERY`] is pinged, and given as long to answer: one that is dead is noticed
//! within 20 seconds.

use std::time::{Duration, Instant};

/// How long a peer may be silent before it is pinged, and then to answer.
pub(super) const EVERY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Pulse {
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
    pub(super) fn new(now: Instant) -> Self {
        Self { ping_at: now + EVERY, dead_at: None }
    }

    /// The peer has said something.
    pub(super) fn heard(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// Nobody was listening until now: what the peer has said meanwhile is still to be heard.
    pub(super) fn listen(&mut self, now: Instant) {
        if self.dead_at.is_some() {
            self.dead_at = Some(now + EVERY);
        }
    }

    pub(super) fn tick(&mut self, now: Instant) -> Beat {
        match self.dead_at {
            Some(at) if at <= now => Beat::Dead,
            None if self.ping_at <= now => {
                self.dead_at = Some(now + EVERY);
                Beat::Ping
            }
            _ => Beat::None,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.dead_at.unwrap_or(self.ping_at)
    }
}
