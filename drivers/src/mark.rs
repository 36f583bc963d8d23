//! Which file a path names. What is written to an open file that has lost its name is lost with it.

use std::io;
use std::path::Path;

/// A file's identity, where the system has one that is easily had. Asked for by name: to open a SQLite file a second time and to close it
/// again would take away the locks that this process has on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64, u64);

impl Mark {
    #[cfg(unix)]
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let file = std::fs::metadata(path)?;
        Ok(Self(file.dev(), file.ino()))
    }

    /// Elsewhere an open file can't be deleted or replaced.
    #[cfg(not(unix))]
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|_| Self(0, 0))
    }

    /// Whether the path still names this file.
    pub(crate) fn is_at(self, path: &Path) -> bool {
        Self::of(path).is_ok_and(|mark| mark == self)
    }
}
