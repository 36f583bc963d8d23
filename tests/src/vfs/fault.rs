//! Which calls fail, and how.

use countersign::rusqlite::ffi;

/// What SQLite asks of a file system, as far as it can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is what it says")]
pub enum Call {
    Open,
    Delete,
    Access,
    Read,
    Write,
    Truncate,
    Sync,
    Size,
    MapShared,
}

/// What a failing call meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The disk answers with an error, whatever it is asked.
    Io,
    /// There is no room: only what needs some fails.
    Full,
}

/// For how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// For so many calls.
    Times(u32),
    /// Until [`super::Disk::heal`].
    UntilHealed,
}

/// A fault: from the call of this number on that it can hit, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The first call that fails.
    pub at: u64,
    /// What it meets.
    pub trouble: Trouble,
    /// How many of those after it do too.
    pub lasting: Lasting,
}

impl Trouble {
    /// Whether the call can meet it.
    pub(super) fn hits(self, call: Call) -> bool {
        match self {
            Self::Io => true,
            Self::Full => matches!(call, Call::Write | Call::MapShared),
        }
    }

    /// What SQLite is told.
    pub(super) fn code(self, call: Call) -> i32 {
        match (self, call) {
            (Self::Full, _) => ffi::SQLITE_FULL,
            (Self::Io, Call::Open) => ffi::SQLITE_CANTOPEN,
            (Self::Io, Call::Delete) => ffi::SQLITE_IOERR_DELETE,
            (Self::Io, Call::Access) => ffi::SQLITE_IOERR_ACCESS,
            (Self::Io, Call::Read) => ffi::SQLITE_IOERR_READ,
            (Self::Io, Call::Write) => ffi::SQLITE_IOERR_WRITE,
            (Self::Io, Call::Truncate) => ffi::SQLITE_IOERR_TRUNCATE,
            (Self::Io, Call::Sync) => ffi::SQLITE_IOERR_FSYNC,
            (Self::Io, Call::Size) => ffi::SQLITE_IOERR_FSTAT,
            (Self::Io, Call::MapShared) => ffi::SQLITE_IOERR_SHMMAP,
        }
    }
}
