//! What can be wrong with the file of an embedded backend.

use std::path::PathBuf;
use std::sync::Arc;

use countersign_core::BackendFailure;

/// The file of an embedded backend can't be opened or used. Each says which file, what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendOpenError {
    /// The file does not exist and can't be created.
    #[error("can't create the backend's file {}: {message}; the directory has to exist and be writable", .path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        message: Arc<str>,
    },
    /// There is no file, and none was to be created.
    #[error(
        "there is no backend at {}; if it was moved, move it back, else open the backend anew there, which creates another one",
        .path.display()
    )]
    Missing {
        /// Where it was expected.
        path: PathBuf,
    },
    /// Another file, or none, has taken the place of the one that was open.
    #[error(
        "the backend's file {} was moved, deleted or replaced while it was in use; what was written last may be missing; \
         put it back, or carry on with what is there now",
        .path.display()
    )]
    Moved {
        /// Where it was.
        path: PathBuf,
    },
    /// The file can't be read at all.
    #[error("can't open the backend's file {}: {message}; it has to be a file that this user may read and write", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        message: Arc<str>,
    },
    /// The file may be read only.
    #[error("the backend's file {} is not writable; let this user write the file and its directory", .path.display())]
    NotWritable {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else. It was left as it is.
    #[error("{} is not a backend's log but {what}; it was left as it is, choose another path", .path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The file was written by a newer version. It was left as it is.
    #[error(
        "the backend's file {} has format {found}, and this version knows formats up to {supported}; use a newer version",
        .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that is known.
        supported: i64,
    },
    /// The file was written by an older version, and may only be read here. It was left as it is.
    #[error(
        "the backend's file {} has format {found}, and only formats from {needed} on can be read without writing; let a store that \
         uses it, or a server, open it once, which brings it up to date",
        .path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The oldest format that can be read as it is.
        needed: i64,
    },
    /// The file is damaged.
    #[error("the backend's file {} is damaged: {message}; restore it from a backup, or open the backend at another path", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: Arc<str>,
    },
    /// The file system can't be used by several connections at once.
    #[error(
        "the backend's file {} can't use a write-ahead log (SQLite stays in mode {mode}); put it on a local file system",
        .path.display()
    )]
    NoWal {
        /// The file.
        path: PathBuf,
        /// The journal mode that SQLite chose instead.
        mode: Arc<str>,
    },
    /// The system gave no random bytes for an identity.
    #[error("can't draw an identity for the backend at {}: {message}; try again", .path.display())]
    NoRandomness {
        /// The file.
        path: PathBuf,
        /// What the system said.
        message: Arc<str>,
    },
    /// SQLite failed at something.
    #[error(
        "the backend's file {}: could not {doing}: {message}; {advice}{}",
        .path.display(),
        if *.maybe_done { "; it may have been done all the same" } else { "" }
    )]
    Failed {
        /// The file.
        path: PathBuf,
        /// At what.
        doing: &'static str,
        /// What SQLite said.
        message: Arc<str>,
        /// What to do.
        advice: &'static str,
        /// Whether it may have been done all the same.
        maybe_done: bool,
    },
}

impl BackendOpenError {
    /// From what SQLite said, when it was asked to do something with this file.
    pub(crate) fn failed(path: impl Into<PathBuf>, doing: &'static str, error: &rusqlite::Error, maybe_done: bool) -> Self {
        Self::Failed { path: path.into(), doing, message: error.to_string().into(), advice: advice(error), maybe_done }
    }
}

impl From<BackendOpenError> for BackendFailure {
    /// Whatever is wrong with the file can be put right from outside: it counts as out of reach, and is tried again.
    fn from(error: BackendOpenError) -> Self {
        let maybe_applied = matches!(error, BackendOpenError::Moved { .. } | BackendOpenError::Failed { maybe_done: true, .. });
        Self::Unreachable { message: error.to_string().into(), maybe_applied }
    }
}

fn advice(error: &rusqlite::Error) -> &'static str {
    use rusqlite::ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(Code::DiskFull) => "free some space on the disk",
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => "another process is writing for too long; wait for it, or end it",
        Some(Code::ReadOnly | Code::PermissionDenied | Code::CannotOpen) => "let this user write the file and its directory",
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => "the file is damaged; restore it from a backup",
        Some(Code::OutOfMemory) => "free some memory",
        _ => "check the disk",
    }
}
