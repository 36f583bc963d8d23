//! Places where a test can make storage fail. Outside tests there is nothing here.

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// Before a COMMIT, which is then not carried out.
    BeforeCommit,
    /// After a COMMIT, whose success is then not heard of.
    AfterCommit,
    /// When the file is opened again.
    Reopen,
    /// When the write-ahead log is moved into the database.
    Checkpoint,
}

#[cfg(not(test))]
#[inline(always)]
pub(super) fn fault(_: Point) -> rusqlite::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) use armed::{arm, fault};

#[cfg(test)]
mod armed {
    use std::cell::RefCell;

    use super::Point;

    thread_local! {
        static ARMED: RefCell<Vec<Point>> = const { RefCell::new(Vec::new()) };
    }

    /// The next time that this thread comes to `point`, it fails: once for each call.
    pub(in super::super) fn arm(point: Point) {
        ARMED.with_borrow_mut(|armed| armed.push(point));
    }

    pub(in super::super) fn fault(point: Point) -> rusqlite::Result<()> {
        let due = ARMED.with_borrow_mut(|armed| armed.iter().position(|&at| at == point).map(|at| armed.remove(at)));
        match due {
            Some(_) => Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC), None)),
            None => Ok(()),
        }
    }
}
