//! The leader's lock: one writer a store, whatever the process.
//!
//! The lock is on a file of its own beside the store, so that readers, which take none, work beside a running application. It
//! goes with the process: what a killed one leaves behind is a file that nobody holds.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::syncing::Syncing;

/// Why the lock was not taken.
pub(crate) enum LockError {
    /// Somebody else holds it; their process id, if it could be read.
    Held(Option<u32>),
    /// The lock file can't be opened or locked.
    Io(io::Error),
}

/// Who has a store open for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Writer {
    /// The process, if it could be read.
    pub pid: Option<u32>,
}

/// How often a lock that is held is tried again, and after how long: [`writer`] has it for an instant when it asks.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(5);

/// What is in a lock file is shorter.
const WORD_MAX: u64 = 16 << 10;

/// Held for as long as this value lives.
#[derive(Debug)]
pub(crate) struct StoreLock {
    file: File,
}

impl StoreLock {
    /// Takes the lock of the store at `path`, or says who holds it, at once but for the time it takes to ask.
    pub(crate) fn take(path: &Path) -> Result<Self, LockError> {
        let mut file = owner_only(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(lock_path(path))
            .map_err(LockError::Io)?;
        let mut tries = TRIES;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // A reader that looks whether somebody works on the store holds the lock for a moment: nothing tells when it lets go.
                Err(TryLockError::WouldBlock) if tries > 1 => {
                    tries -= 1;
                    thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => return Err(LockError::Held(holder(&mut file))),
                Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
            }
        }
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = written {
            // The text only helps others to say who holds the lock; on a full disk the lock itself still works.
            tracing::debug!(%error, "the process id could not be written into the lock file");
        }
        Ok(Self { file })
    }

    /// Leaves word for those who look at the store from outside, as one line of JSON.
    ///
    /// # Errors
    ///
    /// If it can't be written; then there is none, or what was there before.
    pub(super) fn say(&mut self, syncing: &Syncing) -> io::Result<()> {
        let text = format!("{}\n{}\n", std::process::id(), serde_json::to_string(syncing)?);
        self.file.rewind()?;
        // The first line is what it was, and who reads meanwhile finds the rest to be no JSON.
        self.file.write_all(text.as_bytes())?;
        self.file.set_len(text.len() as u64)
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

/// Who holds the lock of the store at `path`; nobody, if it can't be looked at.
pub(super) fn writer(path: &Path) -> Option<Writer> {
    let mut file = File::open(lock_path(path)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(Writer { pid: holder(&mut file) }),
        Ok(()) => {
            // As when a store is closed: a child process that is just being started must not go on holding it.
            let _ = file.unlock();
            None
        }
        Err(TryLockError::Error(_)) => None,
    }
}

/// What the holder of the lock has said last; nothing if nobody holds it, or he has not said a word.
pub(super) fn syncing(path: &Path) -> Option<Syncing> {
    writer(path)?;
    let mut text = String::new();
    File::open(lock_path(path)).ok()?.take(WORD_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(text.split_once('\n')?.1).ok()
}

/// Where the lock of a store lies: beside the file itself, whichever link leads to it. SQLite's own files lie there too.
fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.canonicalize().unwrap_or_else(|_| path.to_owned()).into_os_string();
    name.push(".lock");
    PathBuf::from(name)
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(WORD_MAX).read_to_string(&mut text).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// Files of a store hold somebody's data: nobody else reads them.
pub(super) fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}
