//! Seeds a session's database from the file.

use countersign_core::{Seed, Seq, StorageFailure};

use super::boot::rows_after;
use super::error::Trouble;
use super::ledger::Ledger;
use super::{OpenFile, Storage};
use crate::session::SessionDb;
use crate::state::SchemaError;

/// The mark of a unit that can't be undone: real ones start at 1.
pub(crate) const NO_UNDO: i64 = 0;

impl Storage {
    /// A session's database with the state of the file, and one unit for each pending entry, all at one transaction number.
    ///
    /// A unit of a log that was local when a backend was attached has [`NO_UNDO`]: a session that has to undo it fails, and is
    /// seeded anew from the state that the leader has built.
    pub(crate) fn snapshot(&mut self) -> Result<(SessionDb, Seed), StorageFailure> {
        let schema = self.schema.clone();
        self.read(|file| {
            let OpenFile { conn, tables, log, .. } = file;
            let Ledger { number, heads, forgotten, .. } = Ledger::read(conn)?;
            let head = log.last(conn)?.map_or(Seq::ROOT, |row| row.seq);
            let rows = rows_after(conn, log, heads.settled)?;
            let marks = rows.iter().map(|row| row.mark.filter(|&mark| mark > forgotten).unwrap_or(NO_UNDO)).collect();
            let session = SessionDb::seeded(&schema, conn, tables, marks).map_err(|error| match error {
                SchemaError::Trouble(failure) => Trouble(failure),
                error => Trouble::defect(error.to_string()),
            })?;
            let pending = rows.into_iter().map(|row| row.into_entry(&heads)).collect();
            Ok((session, Seed { number, head, pending }))
        })
    }
}
