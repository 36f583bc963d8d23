//! What time it is, for a store: when to try again, when an outage counts as final, how old a commit is.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use countersign_core::Time;

use crate::driver::Timer;
use crate::testing::TestClock;

/// A store's clock, for [`crate::Opener::clock`]: the system's if none is given, or a [`TestClock`].
///
/// Waits with a deadline of the caller's own, such as [`crate::SyncStage::wait_timeout`], are always by the system's clock.
#[derive(Clone)]
pub struct Clock(Kind);

#[derive(Clone)]
enum Kind {
    System(Arc<Origin>),
    Test(TestClock),
}

/// Where the system's steady clock stood when its calendar said so: from there on only the steady one is asked.
struct Origin {
    instant: Instant,
    time: Time,
}

impl Clock {
    /// Microseconds since 1970. Never goes back while the store is open, whatever is done to the system's calendar.
    pub(crate) fn now(&self) -> Time {
        match &self.0 {
            Kind::System(origin) => origin.time.after(origin.instant.elapsed()),
            Kind::Test(clock) => clock.time(),
        }
    }

    /// Until when a thread has to sleep for it to be this late; `None` if time passes by being told to, which wakes the timer.
    pub(crate) fn instant(&self, at: Time) -> Option<Instant> {
        match &self.0 {
            Kind::System(origin) => Some(origin.instant + at.since(origin.time)),
            Kind::Test(_) => None,
        }
    }

    /// Has the timer look again whenever time was told to pass.
    pub(crate) fn keeps(&self, timer: Weak<Timer>) {
        if let Kind::Test(clock) = &self.0 {
            clock.add(timer);
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(Kind::System(Arc::new(Origin { instant: Instant::now(), time: Time::ZERO.after(since) })))
    }
}

impl From<TestClock> for Clock {
    fn from(clock: TestClock) -> Self {
        Self(Kind::Test(clock))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::System(_) => "Clock(system)",
            Kind::Test(_) => "Clock(test)",
        })
    }
}

/// A moment of the machine, as the rest of the world says it.
pub(crate) fn system_time(at: Time) -> SystemTime {
    UNIX_EPOCH + at.since(Time::ZERO)
}
