//! How long ago something was.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long ago it was, to a second or so, for people.
pub(crate) struct Age(pub(crate) Option<SystemTime>);

impl Age {
    /// How long ago it was; `None` if that is not known. The clock may have been set back since.
    pub(crate) fn of(since: Option<SystemTime>) -> Option<Duration> {
        since.map(|since| since.elapsed().unwrap_or(Duration::ZERO))
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(age) = Self::of(self.0) else { return f.pad("?") };
        let text = match age.as_secs() {
            seconds @ 0..60 => format!("{seconds} s"),
            seconds @ 60..3_600 => format!("{} min", seconds / 60),
            seconds @ 3_600..172_800 => format!("{} h", seconds / 3_600),
            seconds => format!("{} d", seconds / 86_400),
        };
        f.pad(&text)
    }
}

/// Since 1970.
pub(crate) fn milliseconds(at: SystemTime) -> Option<u64> {
    u64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_well() {
        let age = |seconds| Age(Some(SystemTime::now() - Duration::from_secs(seconds))).to_string();
        assert_eq!([5, 119, 7_300, 400_000].map(age), ["5 s", "1 min", "2 h", "4 d"]);
        assert_eq!(Age(Some(SystemTime::now() + Duration::from_secs(50))).to_string(), "0 s");
        assert_eq!(Age(None).to_string(), "?");
    }
}
