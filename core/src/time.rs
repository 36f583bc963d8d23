//! The machine's only notion of time: a number that the driver hands in.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment, in microseconds since an origin that the driver chooses and keeps.
///
/// The machine never reads a clock. A `now` that goes backwards is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub u64);

/// Written as a signed number of 128 bits, as nothing else is in a machine: a hasher can take moments from any other.
impl Hash for Time {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_i128(i128::from(self.0));
    }
}

impl Time {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// The moment `after` this one; stops at the largest representable moment.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        let later = Self(self.0.saturating_add(micros));
        debug_assert!(later >= self, "a deadline that wraps would be in the past (V4)");
        later
    }

    /// How long it is from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod hashed {
    use alloc::vec::Vec;

    use super::*;

    // Verifies: D1 (machines that wait until different moments have different hashes)
    #[test]
    fn a_moment_is_hashed_as_a_wide_signed_number() {
        struct Wide(Vec<i128>);
        impl Hasher for Wide {
            fn write(&mut self, bytes: &[u8]) {
                panic!("not a wide signed number: {bytes:?}");
            }
            fn write_i128(&mut self, number: i128) {
                self.0.push(number);
            }
            fn finish(&self) -> u64 {
                0
            }
        }
        let mut hasher = Wide(Vec::new());
        Time(7).hash(&mut hasher);
        assert_eq!(hasher.0, [7]);
    }
}
