//! Exit statuses.

use std::process::ExitCode;

/// How a command ended. What is worse comes later, and wins where a command has met several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// 0: the awaited stage was reached, or does not apply.
    Reached,
    /// 3: still pending when the time was over. The commit goes on.
    Pending,
    /// 4: a stage has failed.
    Failed,
    /// 1: the machine's fault: I/O, a damaged file, a locked store.
    Machine,
    /// 2: bad usage, or bad input.
    Input,
}

impl Exit {
    pub(crate) fn status(self) -> u8 {
        match self {
            Self::Reached => 0,
            Self::Machine => 1,
            Self::Input => 2,
            Self::Pending => 3,
            Self::Failed => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}
