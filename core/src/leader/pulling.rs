//! What is known of the pull stream, and what was asked for and is not answered.

mod check;

use crate::backoff::Backoff;
use crate::event::PulledEvent;
use crate::id::EffectId;
use crate::time::Time;
use crate::waiting::LastError;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pulling {
    pub(super) outstanding: Option<Outstanding>,
    /// Whether the next pull opens a new stream.
    pub(super) fresh: bool,
    /// Whether everything that the backend had is here, as far as is known.
    pub(super) caught_up: bool,
    /// Whether that has been so at any time since the machine started.
    pub(super) caught_up_once: bool,
    /// Whether the last page said that more follows at once.
    pub(super) more: bool,
    /// Counts the streams, and how far the one that runs has to reach: what had been acknowledged before it was begun.
    pub(super) stream: u64,
    pub(super) promised: u64,
    /// When it was begun.
    pub(super) begun: Time,
    /// Where a stream has ended short of that, and until when nothing is made of it: one after that shows whether it is lost.
    pub(super) ended_short_at: Option<(u64, Time)>,
    pub(super) retry: Backoff,
    /// The last confirmed event, as the backend sends it.
    pub(super) anchor: Option<PulledEvent>,
    /// A gap that a new stream has shown again: the last event before it.
    pub(super) broken_at: Option<u64>,
    pub(super) last_error: Option<LastError>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outstanding {
    pub(super) effect: EffectId,
    pub(super) fresh: bool,
}

impl Pulling {
    pub(super) fn new(anchor: Option<PulledEvent>) -> Self {
        Self {
            outstanding: None,
            fresh: true,
            caught_up: false,
            caught_up_once: false,
            more: false,
            stream: 0,
            promised: 0,
            begun: Time::ZERO,
            ended_short_at: None,
            retry: Backoff::default(),
            anchor,
            broken_at: None,
            last_error: None,
        }
    }

    pub(super) fn caught_up(&self) -> bool {
        self.caught_up
    }

    /// The stream that runs, counted.
    pub(super) fn stream(&self) -> u64 {
        self.stream
    }

    /// What is known of the backend is out of date: asks anew, however long the pull under way would wait.
    pub(super) fn look_again(&mut self) {
        self.caught_up = false;
        self.fresh = true;
    }

    /// Starts over with a backend that nothing is known of.
    pub(super) fn forget(&mut self) {
        let outstanding = self.outstanding.take();
        *self = Self { outstanding, ..Self::new(None) };
    }
}
