//! The leader's lock: one writer a store, whatever the process.
//!
//! The lock is on a file of its own beside the store, so that readers, which take none, work beside a running application. It
//! goes with the process: what a killed one leaves behind is a file that nobody holds.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

/// Why the lock was not taken.
pub(super) enum LockError {
    /// Somebody else holds it; their process id, if it could be read.
    Held(Option<u32>),
    /// The lock file can't be opened or locked.
    Io(io::Error),
}

/// Held for as long as this value lives.
#[derive(Debug)]
pub(super) struct StoreLock {
    file: File,
}

impl StoreLock {
    /// Takes the lock of the store at `path`, or says who holds it. Never waits.
    pub(super) fn take(path: &Path) -> Result<Self, LockError> {
        let mut file = owner_only(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(lock_path(path))
            .map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(holder(&mut file))),
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = written {
            // The text only helps others to say who holds the lock; on a full disk the lock itself still works.
            tracing::debug!(%error, "the process id could not be written into the lock file");
        }
        Ok(Self { file })
    }
}

impl Drop for StoreLock {
    /// Closing the file would not do: a child process that is just being started holds it too, until it runs its own program.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::debug!(%error, "the lock is let go with the file");
        }
    }
}

/// Where the lock of a store lies.
fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Files of a store hold somebody's data: nobody else reads them.
pub(super) fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}
