//! What storage can meet: while a store is opened ([`OpenError`]), read ([`ReadError`]), and at work ([`Trouble`]).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_core::{StorageClass, StorageFailure};

use super::format::FORMAT;
use crate::state::{SchemaError, trouble};

/// Why a store was not opened. Nothing in it has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no file.
    #[error("{}: there is no store here: check the path, or make one first", .path.display())]
    Missing {
        /// The store.
        path: PathBuf,
    },
    /// There is one already.
    #[error("{}: there is a file here already, and it is left as it is: choose another path, or move it away", .path.display())]
    Exists {
        /// The store.
        path: PathBuf,
    },
    /// The file, or the folder it is in, can't be written.
    #[error("{}: can't be written ({message}): check the permissions of the file and of its folder, and that the disk is not read-only",
        .path.display())]
    NotWritable {
        /// What can't be written.
        path: PathBuf,
        /// What the system said.
        message: Arc<str>,
    },
    /// The file can't be opened to be read.
    #[error("{}: can't be opened for reading ({message}): check the permissions of the file. In a folder that can't be written a store is \
             read only while a program has it open, since SQLite keeps files beside it: else copy the store, and its `-wal` file if there \
             is one, to where you may write", .path.display())]
    NotReadable {
        /// What can't be read.
        path: PathBuf,
        /// What the system said.
        message: Arc<str>,
    },
    /// Another handle, of this or another process, has the store open for writing.
    #[error("{}: in use by {}: close the store there first; reading works beside it", .path.display(),
        .holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    Locked {
        /// The store.
        path: PathBuf,
        /// The process that holds it, if it could be read.
        holder: Option<u32>,
    },
    /// The file has several names.
    #[error("{}: the file has {names} names (hard links), and what SQLite keeps beside it goes by one: two programs that use different \
             names would damage it. Remove the other names, or copy the file under this one", .path.display())]
    ManyNames {
        /// The store.
        path: PathBuf,
        /// How many.
        names: u64,
    },
    /// A newer version has written the file.
    #[error("{}: written in format {found}, this version reads up to {}: update this program", .path.display(), FORMAT)]
    NewerFormat {
        /// The store.
        path: PathBuf,
        /// The file's format.
        found: i32,
    },
    /// The file is something else.
    #[error("{}: not a store of Countersign ({message}): check the path; the file is left as it is", .path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        message: Arc<str>,
    },
    /// The file is damaged.
    #[error("{}: the file is damaged ({message}): restore it from a backup; what was confirmed can be pulled again into a new store",
        .path.display())]
    Corrupt {
        /// The store.
        path: PathBuf,
        /// What was met.
        message: Arc<str>,
    },
    /// The schema can't be used.
    #[error("{}: {error}", .path.display())]
    Schema {
        /// The store.
        path: PathBuf,
        /// What is wrong with it.
        error: SchemaError,
    },
    /// The disk, the memory or the system is in trouble.
    #[error("{}: {}", .path.display(), .failure.message)]
    Storage {
        /// The store.
        path: PathBuf,
        /// What was met; its message says what to do where that is known.
        failure: StorageFailure,
    },
    /// No schema was given.
    #[error("{}: no schema was given: call `schema` with one before opening", .path.display())]
    NoSchema {
        /// The store.
        path: PathBuf,
    },
    /// The backend can't serve this store at all.
    #[error("the backend can't be used: {message}")]
    Backend {
        /// What it said.
        message: String,
    },
    /// The system gives no thread, or no random bytes.
    #[error("the system is out of resources: {message}")]
    System {
        /// What it said.
        message: String,
    },
    /// The first session could not be opened.
    #[error("{}: {message}", .path.display())]
    Session {
        /// The store.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

impl OpenError {
    pub(super) fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, message: Arc::from(error.to_string()) }
            }
            io::ErrorKind::IsADirectory => Self::NotAStore { path, message: Arc::from("a folder") },
            io::ErrorKind::AlreadyExists => Self::Exists { path },
            io::ErrorKind::NotFound => {
                let message = format!("the folder does not exist ({error}): make it first");
                Self::Storage { path, failure: failure(StorageClass::Io, &message) }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let message = format!("the disk is full ({error}): free some space");
                Self::Storage { path, failure: failure(StorageClass::Full, &message) }
            }
            _ => Self::Storage { path, failure: failure(StorageClass::Io, &error.to_string()) },
        }
    }

    /// Met by who only wants to read.
    pub(super) fn for_reading(self) -> Self {
        match self {
            Self::NotWritable { path, message } => Self::NotReadable { path, message },
            other => other,
        }
    }

    pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let path = path.to_owned();
        let message = Arc::from(error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotAStore { path, message: Arc::from("no SQLite database") },
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { path, message },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::NotWritable { path, message }
            }
            _ => Self::Storage { path, failure: trouble(error) },
        }
    }

    pub(super) fn trouble(path: &Path, trouble: Trouble) -> Self {
        let Trouble(failure) = trouble;
        let path = path.to_owned();
        match failure.class {
            StorageClass::Corrupt => Self::Corrupt { path, message: failure.message },
            _ => Self::Storage { path, failure },
        }
    }

    pub(super) fn schema(path: &Path, error: SchemaError) -> Self {
        match error {
            SchemaError::Trouble(failure) => Self::trouble(path, Trouble(failure)),
            error => Self::Schema { path: path.to_owned(), error },
        }
    }
}

/// Why a store was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The query would do more than read.
    #[error("only queries that read are allowed here, this one wanted to {action}: commit an event to change the state")]
    NotReadOnly {
        /// What it wanted.
        action: String,
    },
    /// SQLite does not take the query.
    #[error("{message}")]
    Sql {
        /// What SQLite said.
        message: Arc<str>,
    },
    /// The file can't be read.
    #[error("{}", .0.message)]
    Storage(StorageFailure),
}

impl From<Trouble> for ReadError {
    fn from(Trouble(failure): Trouble) -> Self {
        Self::Storage(failure)
    }
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Trouble::from(error).into()
    }
}

/// What storage's own statements met: never the fault of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble(pub(crate) StorageFailure);

pub(super) type Result<T> = std::result::Result<T, Trouble>;

impl Trouble {
    /// The file does not hold what it has to.
    pub(super) fn damaged(message: String) -> Self {
        Self(failure(StorageClass::Corrupt, &message))
    }

    /// What was asked for can't be stored; nobody should have asked.
    pub(super) fn defect(message: String) -> Self {
        Self(failure(StorageClass::Other, &message))
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self(trouble(&error))
    }
}

impl From<StorageFailure> for Trouble {
    fn from(failure: StorageFailure) -> Self {
        Self(failure)
    }
}

pub(super) fn failure(class: StorageClass, message: &str) -> StorageFailure {
    StorageFailure { class, message: Arc::from(message) }
}
