//! Waiting longer after each failure, with jitter from a seed: the machine has no other randomness.

use core::time::Duration;

use crate::time::Time;

/// `SplitMix64`: small, fast, and good enough to keep clients from retrying in step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Jitter(pub(crate) u64);

impl Jitter {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// One thing that is tried again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Backoff {
    /// Failures since it last worked.
    pub(crate) attempt: u32,
    /// When to try again; not set if nothing has to be waited for.
    pub(crate) at: Option<Time>,
}

impl Backoff {
    /// It failed: waits `min`, doubled with each failure up to `max`, then up to a quarter less.
    pub(crate) fn fail(&mut self, now: Time, min: Duration, max: Duration, jitter: &mut Jitter) {
        let doubled = min.saturating_mul(1 << self.attempt.min(20)).min(max);
        let micros = u64::try_from(doubled.as_micros()).unwrap_or(u64::MAX);
        let less = jitter.next() % (micros / 4 + 1);
        self.attempt = self.attempt.saturating_add(1);
        debug_assert!(less <= micros / 4 && doubled <= max, "jitter only shortens, and no wait is longer than the longest");
        self.at = Some(now.after(Duration::from_micros(micros - less)));
        debug_assert!(self.is_sound());
    }

    /// Whether it can be in this state: only what has failed waits.
    pub(crate) fn is_sound(&self) -> bool {
        self.at.is_none() || self.attempt > 0
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Whether it may be tried now. Then there is nothing to wait for any more: what else is in the way has no time, and a
    /// deadline in the past would keep the driver spinning.
    pub(crate) fn try_now(&mut self, now: Time) -> bool {
        self.at.take_if(|at| *at <= now);
        debug_assert!(self.at.is_none_or(|at| at > now), "a deadline in the past would keep the driver spinning (V4)");
        self.at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_jitter_only_shortens() {
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(30));
        let mut backoff = Backoff::default();
        let mut jitter = Jitter(1);
        for expected in [1, 2, 4, 8, 16, 30, 30] {
            backoff.fail(Time::ZERO, min, max, &mut jitter);
            let wait = backoff.at.map_or(0, |at| at.0);
            assert!(wait <= expected * 1_000_000 && wait >= expected * 750_000, "{wait} for {expected} s");
        }
        backoff.reset();
        assert!(backoff.try_now(Time::ZERO));
    }

    // Verifies: V4
    #[test]
    fn a_wait_that_is_over_is_no_deadline_any_more() {
        let mut backoff = Backoff::default();
        backoff.fail(Time::ZERO, Duration::from_secs(1), Duration::from_secs(30), &mut Jitter(1));
        assert!(!backoff.try_now(Time(700_000)) && backoff.at.is_some());
        assert!(backoff.try_now(Time(1_000_000)) && backoff.at.is_none());
        assert_eq!(backoff.attempt, 1, "the next failure waits longer");
    }
}
