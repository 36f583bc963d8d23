//! How much was tried.

use std::fmt;

/// Figures of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Moments at which a crash was tried.
    pub points: u64,
    /// What crashes left, opened and judged: each moment with one tear or several, equal ones once.
    pub crashes: u64,
    /// Those of them that hit a recovery.
    pub double: u64,
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
        self.errors += other.errors;
        self.acknowledged += other.acknowledged;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { points, crashes, double, errors, acknowledged } = self;
        write!(
            f,
            "{points} crash points, {crashes} crashes judged ({double} of them during the recovery from another), {errors} runs with \
             errors, {acknowledged} acknowledged stages looked for"
        )
    }
}
