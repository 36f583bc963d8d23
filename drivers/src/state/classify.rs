//! What an error of SQLite means: the event's fault, or storage's.

use std::sync::Arc;

use countersign_core::{StorageClass, StorageFailure};
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The event's, its materialiser's or its SQL's: it fails again wherever it is tried.
    Poison,
    /// The disk's, the memory's, the file's: it may work later, or elsewhere.
    Trouble(StorageClass),
}

/// Tells the one from the other.
pub(crate) fn classify(error: &rusqlite::Error) -> Class {
    let Some(failure) = error.sqlite_error() else {
        return Class::Poison;
    };
    if failure.extended_code == ffi::SQLITE_IOERR_NOMEM {
        return Class::Trouble(StorageClass::Memory);
    }
    match failure.code {
        ErrorCode::DiskFull => Class::Trouble(StorageClass::Full),
        ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::ReadOnly
        | ErrorCode::PermissionDenied
        | ErrorCode::NoLargeFileSupport => Class::Trouble(StorageClass::Io),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            Class::Trouble(StorageClass::Busy)
        }
        ErrorCode::OutOfMemory => Class::Trouble(StorageClass::Memory),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Class::Trouble(StorageClass::Corrupt),
        ErrorCode::InternalMalfunction | ErrorCode::OperationInterrupted | ErrorCode::SchemaChanged | ErrorCode::ApiMisuse => {
            Class::Trouble(StorageClass::Other)
        }
        // Constraints, errors in SQL, denials, values too big or of the wrong type.
        _ => Class::Poison,
    }
}

/// The error as trouble, whatever it is: for statements that no event has written.
pub(crate) fn trouble(error: &rusqlite::Error) -> StorageFailure {
    let class = match classify(error) {
        Class::Trouble(class) => class,
        Class::Poison => StorageClass::Other,
    };
    StorageFailure { class, message: Arc::from(error.to_string()) }
}
