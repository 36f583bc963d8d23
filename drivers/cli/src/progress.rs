//! A line on standard error that says how far something has come, on a terminal only.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often the line is drawn at most.
const EVERY: Duration = Duration::from_millis(100);

/// The line. Gone when it is dropped.
pub(crate) struct Progress {
    shown: bool,
    drawn: Option<Instant>,
}

impl Progress {
    /// A line, unless it would run into the results.
    pub(crate) fn new(json: bool) -> Self {
        let shown = io::stderr().is_terminal() && !(json && io::stdout().is_terminal());
        Self { shown, drawn: None }
    }

    /// Draws the line, if it is time.
    pub(crate) fn show(&mut self, text: impl FnOnce() -> String) {
        if self.shown && self.drawn.is_none_or(|drawn| drawn.elapsed() >= EVERY) {
            self.drawn = Some(Instant::now());
            let _ = write!(io::stderr().lock(), "\r\x1b[2K{}", text());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(io::stderr().lock(), "\r\x1b[2K");
        }
    }
}

/// A number with its thousands apart.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `1 commit`, `2 commits`.
pub(crate) fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", count(n), if n == 1 { "" } else { "s" })
}

/// How long something took, as precise as it is worth.
pub(crate) fn took(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 10.0 {
        format!("{ms:.2} ms")
    } else if ms < 1000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1 000", "1 234 567"]);
        assert_eq!([counted(1, "commit"), counted(0, "commit")], ["1 commit", "0 commits"]);
        assert_eq!([2, 20_000, 2_000_000].map(|us| took(Duration::from_micros(us))), ["0.00 ms", "20 ms", "2.00 s"]);
    }
}
