//! What goes wrong with an embedded backend because a test wants it to.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_core::{BackendFailure, OwnEvent, Page, Push};

/// Which events a rule is about.
pub(crate) type Matcher = Box<dyn Fn(&OwnEvent) -> bool + Send + Sync>;

/// The faults that are still to come.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Plan>);

#[derive(Default)]
struct Plan {
    failing_pushes: u32,
    lost_replies: u32,
    /// What is said to those whose credentials are not good.
    credentials_wanted: Option<Arc<str>>,
    rules: Vec<Arc<Rule>>,
    /// The place that pages leave out.
    gap: Option<u64>,
}

/// Which events are refused, and how.
struct Rule {
    matches: Matcher,
    is_forever: bool,
    message: Arc<str>,
}

impl Faults {
    pub(crate) fn fail_next_pushes(&self, pushes: u32) {
        self.lock().failing_pushes = pushes;
    }

    pub(crate) fn lose_next_replies(&self, replies: u32) {
        self.lock().lost_replies = replies;
    }

    pub(crate) fn refuse(&self, matches: Matcher, is_forever: bool, message: Arc<str>) {
        self.lock().rules.push(Arc::new(Rule { matches, is_forever, message }));
    }

    pub(crate) fn accept_all(&self) {
        self.lock().rules.clear();
    }

    pub(crate) fn leave_out(&self, gap: Option<u64>) {
        self.lock().gap = gap;
    }

    /// What becomes of a page that was read. Its last event stays: what nothing follows is no gap.
    pub(crate) fn page(&self, page: &mut Page) {
        let Some(gap) = self.lock().gap else { return };
        let end = page.events.last().map(|event| event.seq);
        page.events.retain(|event| event.seq != gap || end == Some(gap));
    }

    pub(crate) fn want_credentials(&self, message: Option<Arc<str>>) {
        self.lock().credentials_wanted = message;
    }

    /// Who asks is let in, or not.
    pub(crate) fn credentials(&self) -> Result<(), BackendFailure> {
        match self.lock().credentials_wanted.clone() {
            Some(message) => Err(BackendFailure::NeedsAuth { message }),
            None => Ok(()),
        }
    }

    /// What goes wrong before the backend has looked at the push.
    pub(crate) fn before(&self, push: &Push) -> Result<(), BackendFailure> {
        self.credentials()?;
        let rules = {
            let mut plan = self.lock();
            if take_one(&mut plan.failing_pushes) {
                return Err(unreachable("the push was made to fail before it was sent", false));
            }
            plan.rules.clone()
        };
        // Without the lock: a matcher is somebody else's code.
        let refused = |rule: &Rule| -> Vec<(u32, Arc<str>)> {
            let matching = (0_u32..).zip(&push.events).filter(|(_, event)| (rule.matches)(event));
            matching.map(|(i, _)| (i, rule.message.clone())).collect()
        };
        let mut forever: Vec<(u32, Arc<str>)> = Vec::new();
        for rule in rules {
            let refused = refused(&rule);
            if !rule.is_forever && !refused.is_empty() {
                return Err(BackendFailure::Unknown { message: rule.message.clone() });
            }
            forever.extend(refused);
        }
        forever.sort_by_key(|(i, _)| *i);
        forever.dedup_by_key(|(i, _)| *i);
        if forever.is_empty() { Ok(()) } else { Err(BackendFailure::Refused { events: forever }) }
    }

    /// What goes wrong after the backend has taken the push.
    pub(crate) fn after(&self) -> Result<(), BackendFailure> {
        if take_one(&mut self.lock().lost_replies) {
            return Err(unreachable("the push was taken, and its reply was made to get lost", true));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        // No user code runs under the lock, and each change is one assignment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.lock();
        f.debug_struct("Faults")
            .field("failing_pushes", &plan.failing_pushes)
            .field("lost_replies", &plan.lost_replies)
            .field("credentials_wanted", &plan.credentials_wanted)
            .field("rules", &plan.rules.len())
            .field("gap", &plan.gap)
            .finish()
    }
}

fn take_one(left: &mut u32) -> bool {
    let is_one = *left > 0;
    *left -= u32::from(is_one);
    is_one
}

fn unreachable(message: &str, maybe_applied: bool) -> BackendFailure {
    BackendFailure::Unreachable { message: message.into(), maybe_applied }
}
