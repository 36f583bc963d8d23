//! After a refusal for want of credentials: when to ask whether there are others.

use std::time::{Duration, Instant};

use countersign_core::BackendFailure;

/// The wait after the first question; doubled with each one that follows.
const MIN: Duration = Duration::from_millis(250);
const MAX: Duration = Duration::from_secs(8);

/// Asked at once, and then less and less often, until the backend takes them: whoever makes new ones each time is not asked all the time.
#[derive(Default)]
pub(super) struct Credentials {
    questions: u32,
    due: Option<Instant>,
}

impl Credentials {
    /// What the backend has answered.
    pub(super) fn heard<T>(&mut self, answer: &Result<T, BackendFailure>) {
        match answer {
            Err(BackendFailure::NeedsAuth { .. }) => {
                let wait = match self.questions {
                    0 => Duration::ZERO,
                    n => MIN.saturating_mul(1 << (n - 1).min(16)).min(MAX),
                };
                self.due = Some(Instant::now() + wait);
            }
            // Not reached: that says nothing of credentials.
            Err(BackendFailure::Unreachable { .. }) => self.due = None,
            _ => *self = Self::default(),
        }
    }

    /// When to ask.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Asks, if it is time. Whether there are others.
    pub(super) fn ask(&mut self, has_new: impl FnOnce() -> bool) -> bool {
        if self.due.is_none_or(|due| due > Instant::now()) {
            return false;
        }
        let found = has_new();
        self.questions = self.questions.saturating_add(1);
        let wait = MIN.saturating_mul(1 << (self.questions - 1).min(16)).min(MAX);
        self.due = (!found).then(|| Instant::now() + wait);
        found
    }
}

/// The earlier of two moments that may not come.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}
