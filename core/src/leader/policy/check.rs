//! What holds of policies at any time.

use crate::ensure::ensure;
use crate::time::Time;

use super::Policy;

impl Policy {
    /// What [`crate::Node::check`] asks for.
    pub(in super::super) fn check(&self, now: Time) -> Result<(), &'static str> {
        ensure!(self.outage.as_ref().is_none_or(|(since, _)| *since <= now), "no outage has lasted since a time to come");
        if let Some(looked) = &self.looked {
            ensure!(looked.pending.0 <= looked.pending.1, "what was looked at had a beginning and an end");
            ensure!(looked.durable <= looked.pending.1, "what was looked at was stored as far as it went");
        }
        Ok(())
    }
}
