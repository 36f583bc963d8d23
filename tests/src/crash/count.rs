//! How much was tried.

use std::fmt;

/// Figures of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Moments at which a crash was tried.
    pub points: u64,
    /// Crashes: each moment as a kill, and with one tear or several.
    pub crashes: u64,
    /// Those of them that hit a recovery.
    pub double: u64,
    /// What they left, opened and judged: what left the same files after the same promises, once.
    pub judged: u64,
    /// Calls that could fail, for each kind of error.
    pub calls: u64,
    /// Runs in which a call failed.
    pub errors: u64,
    /// Acknowledged stages that were looked for afterwards.
    pub acknowledged: u64,
}

impl Count {
    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        self.points += other.points;
        self.crashes += other.crashes;
        self.double += other.double;
        self.judged += other.judged;
        self.calls += other.calls;
        self.errors += other.errors;
        self.acknowledged += other.acknowledged;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { points, crashes, double, judged, calls, errors, acknowledged } = self;
        write!(
            f,
            "{points} crash points, {crashes} crashes ({double} of them during the recovery from another) left {judged} different sets \
             of files to judge, {errors} runs with errors at {calls} calls, {acknowledged} acknowledged stages looked for"
        )
    }
}
