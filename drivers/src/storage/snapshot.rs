//! Seeds a session's database from the file.

use countersign_core::{Seed, Seq, StorageFailure};

use super::boot::rows_after;
use super::error::Trouble;
use super::ledger::Ledger;
use super::{OpenFile, Storage};
use crate::session::SessionDb;
use crate::state::SchemaError;

impl Storage {
    /// A session's database with the state of the file, and one unit for each pending entry, all at one transaction number.
    ///
    /// What was local before a backend was attached can't be undone by its session either: the units have negative marks, the
    /// session fails when it has to undo one, and is seeded anew from the state that the leader has built.
    pub(crate) fn snapshot(&mut self) -> Result<(SessionDb, Seed), StorageFailure> {
        let schema = self.schema.clone();
        self.read(|file| {
            let OpenFile { conn, log, .. } = file;
            let Ledger { number, heads, forgotten, .. } = Ledger::read(conn)?;
            let head = log.last(conn)?.map_or(Seq::ROOT, |row| row.seq);
            let rows = rows_after(conn, log, heads.settled)?;
            let marks =
                (1..).zip(rows.iter().rev()).map(|(back, row)| row.mark.filter(|&mark| mark > forgotten).unwrap_or(-back));
            let marks: Vec<i64> = marks.collect();
            let session = SessionDb::seeded(&schema, conn, marks.into_iter().rev()).map_err(|error| match error {
                SchemaError::Trouble(failure) => Trouble(failure),
                error => Trouble::defect(error.to_string()),
            })?;
            let pending = rows.into_iter().map(|row| row.into_entry(&heads)).collect();
            Ok((session, Seed { number, head, pending }))
        })
    }
}
