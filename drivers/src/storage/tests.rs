//! Tests of storage as a whole.

use super::*;

/// Faults that tests put in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The COMMIT is carried out, and its success is not heard of.
    CommittedUnheard,
    /// The COMMIT fails, and so does nothing.
    NotCommitted,
    /// As `CommittedUnheard`, and then the file can't be opened.
    CommittedThenGone,
    /// The file can't be opened.
    Reopen,
}

fn io_error() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC), None)
}

/// The COMMIT, with the fault that is due.
pub(super) fn commit(fault: &mut Option<Fault>, conn: &Connection) -> rusqlite::Result<()> {
    match *fault {
        Some(Fault::CommittedUnheard) => *fault = None,
        Some(Fault::CommittedThenGone) => *fault = Some(Fault::Reopen),
        Some(Fault::NotCommitted) => {
            *fault = None;
            return Err(io_error());
        }
        Some(Fault::Reopen) | None => return super::materialise::commit(conn),
    }
    super::materialise::commit(conn)?;
    Err(io_error())
}

impl Storage {
    /// Fails once where this fault is due.
    pub(super) fn trip(&mut self, at: Fault) -> std::result::Result<(), StorageFailure> {
        if self.fault == Some(at) {
            self.fault = None;
            return Err(error::failure(countersign_core::StorageClass::Io, "a fault of the test"));
        }
        Ok(())
    }
}
