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

/// SQLite's words, with the place in the statement where it stumbled.
pub(super) fn say(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, sql, offset, .. } => {
            let start = usize::try_from(*offset).unwrap_or(0);
            let near: String = sql.get(start..).unwrap_or_default().chars().take_while(|char| *char != '\n').take(40).collect();
            if near.is_empty() { msg.clone() } else { format!("{msg}, at `{near}`") }
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constraint_is_poison_and_a_full_disk_is_not() {
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE t (a BLOB UNIQUE); PRAGMA max_page_count = 4; INSERT INTO t VALUES (1);").unwrap();
        let error = |sql| conn.execute_batch(sql).unwrap_err();
        assert_eq!(classify(&error("INSERT INTO t VALUES (1)")), Class::Poison);
        assert_eq!(classify(&error("INSERT INTO nowhere VALUES (1)")), Class::Poison);
        assert_eq!(classify(&error("INSERT INTO t VALUES (zeroblob(100000))")), Class::Trouble(StorageClass::Full));
        assert_eq!(say(&error("SELECT a FROM t WHERE b = 1")), "no such column: b, at `b = 1`");
    }

    #[test]
    fn a_file_that_is_no_database_is_corrupt_and_a_locked_one_is_busy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        std::fs::write(&path, [b'x'; 4096]).unwrap();
        let conn = rusqlite::Connection::open(&path).unwrap();
        let error = conn.execute_batch("SELECT * FROM sqlite_master").unwrap_err();
        assert_eq!(classify(&error), Class::Trouble(StorageClass::Corrupt));

        std::fs::write(&path, []).unwrap();
        let (one, two) = (rusqlite::Connection::open(&path).unwrap(), rusqlite::Connection::open(&path).unwrap());
        two.busy_timeout(std::time::Duration::ZERO).unwrap();
        one.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = two.execute_batch("BEGIN IMMEDIATE").unwrap_err();
        assert_eq!(trouble(&error).class, StorageClass::Busy);
    }
}
