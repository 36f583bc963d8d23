//! Carries out the machine's transactions: one [`Txn`] is one SQLite transaction, all or nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use countersign_core::{
    Entry, Materialised, Otherwise, Poison, Portion, Pos, Skip, Standing, StorageClass, StorageFailure, Time, Txn,
};
use rusqlite::{CachedStatement, Connection};

use super::apply::{self, Care, Halt, Judged, UNKNOWN_EVENT};
use super::error::{Result, Trouble, failure};
use super::eventlog::{self, Eventlog};
use super::fault::{Point, fault};
use super::ledger::Ledger;
use super::replay::replay;
use super::{OpenFile, Storage, Unsettled, find, guards, quarantine, skips, times};
use crate::mutant::StorageMutant;
use crate::state::{Class, Kept, Tables, classify, trouble};

impl Storage {
    /// Carries out one transaction, to the durability that the store was opened with. Never unwinds.
    pub(crate) fn materialise(&mut self, txn: &Txn) -> Materialised {
        catch_unwind(AssertUnwindSafe(|| self.carry_out(txn))).unwrap_or_else(|_| {
            // Nobody knows how far it came: the next attempt opens the file again and looks.
            self.file = None;
            self.unsettled.get_or_insert(Unsettled { number: txn.number, skipped: Vec::new() });
            Materialised::UnknownOutcome(failure(StorageClass::Other, "a defect in storage: the transaction panicked"))
        })
    }

    fn carry_out(&mut self, txn: &Txn) -> Materialised {
        let asked_again = match &self.unsettled {
            // What was queued behind it: tried now, it could leave two outcomes unknown, or hide the first one's.
            Some(unsettled) if unsettled.number != txn.number => return Materialised::Stale,
            unsettled => unsettled.is_some(),
        };
        if let Err(failure) = self.in_place().and_then(|()| self.file().map(drop)) {
            return if asked_again { Materialised::UnknownOutcome(failure) } else { Materialised::Failed(failure) };
        }
        if let Some(outcome) = self.settle() {
            return outcome;
        }
        let now = self.clock.now();
        let mut care = Care::default();
        let skipped = loop {
            let attempt = match self.file() {
                Ok(file) => file.write(txn, &care, now),
                Err(failure) => return Materialised::Failed(failure),
            };
            let halt = match attempt {
                Ok(skipped) => break skipped,
                Err(halt) => halt,
            };
            let failure = match &halt {
                Halt::Trouble(Trouble(failure)) => failure.clone(),
                _ => failure(StorageClass::Other, ""),
            };
            self.back_out(&failure);
            match care.learn(halt) {
                Ok(()) => {}
                Err(Halt::Stale) => return Materialised::Stale,
                Err(Halt::Refused(refused)) => return Materialised::RolledBack { refused },
                Err(Halt::Trouble(Trouble(failure))) => return Materialised::Failed(failure),
                Err(halt @ (Halt::Careful | Halt::Ended(..))) => {
                    return Materialised::Failed(super::error::failure(StorageClass::Other, &format!("a defect: {halt:?}")));
                }
            }
        };
        self.commit(txn, skipped)
    }

    fn commit(&mut self, txn: &Txn, skipped: Vec<Skip>) -> Materialised {
        let committed = match self.file() {
            Ok(file) => commit(&file.conn),
            Err(failure) => return Materialised::Failed(failure),
        };
        let Err(error) = committed else {
            return match self.in_place() {
                Ok(()) => Materialised::Committed { skipped },
                Err(failure) => Materialised::UnknownOutcome(failure),
            };
        };
        let failure = trouble(&error);
        if matches!(classify(&error), Class::Poison | Class::Trouble(StorageClass::Busy)) {
            // Said before anything was written.
            self.back_out(&failure);
            return Materialised::Failed(failure);
        }
        tracing::warn!(error = %failure.message, number = txn.number, "a COMMIT has failed: opening the file again to see");
        self.file = None;
        self.unsettled = Some(Unsettled { number: txn.number, skipped });
        if let Err(failure) = self.file() {
            return Materialised::UnknownOutcome(failure);
        }
        self.settle().unwrap_or(Materialised::Failed(failure))
    }

    /// Whether the file is still the one that others will find.
    fn in_place(&self) -> std::result::Result<(), StorageFailure> {
        self.stay_in_place().map_err(|error| failure(StorageClass::Corrupt, &error.to_string()))
    }

    /// Finds out what became of a transaction of unknown outcome. Nothing, if there is none or the file is without it.
    fn settle(&mut self) -> Option<Materialised> {
        let unsettled = self.unsettled.take()?;
        let look = |conn: &Connection| -> Result<bool> {
            if Ledger::read(conn)?.number != unsettled.number {
                return Ok(false);
            }
            checkpoint(conn)?;
            Ok(true)
        };
        let looked = match self.file() {
            Ok(file) => look(&file.conn),
            Err(failure) => Err(Trouble(failure)),
        };
        match looked {
            Ok(true) => Some(Materialised::Committed { skipped: unsettled.skipped }),
            Ok(false) => None,
            Err(Trouble(failure)) => {
                self.back_out(&failure);
                self.unsettled = Some(unsettled);
                Some(Materialised::UnknownOutcome(failure))
            }
        }
    }

    /// Leaves nothing of a failed transaction behind. After trouble that a connection may remember, the next one is a new one.
    pub(super) fn back_out(&mut self, failure: &StorageFailure) {
        let Some(file) = &mut self.file else { return };
        file.log.forget();
        let rolled_back = file.conn.is_autocommit() || file.conn.execute_batch("ROLLBACK").is_ok();
        if !rolled_back || matches!(failure.class, StorageClass::Io | StorageClass::Corrupt | StorageClass::Memory) {
            self.file = None;
        }
    }
}

/// The COMMIT.
pub(super) fn commit(conn: &Connection) -> rusqlite::Result<()> {
    fault(Point::BeforeCommit)?;
    conn.prepare_cached("COMMIT")?.execute([])?;
    fault(Point::AfterCommit)
}

/// Moves everything from the write-ahead log into the database and syncs both, or fails.
fn checkpoint(conn: &Connection) -> Result<()> {
    fault(Point::Checkpoint)?;
    let (busy, log, moved): (i64, i64, i64) =
        conn.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    if busy == 0 && log == moved {
        Ok(())
    } else {
        Err(Trouble(failure(StorageClass::Busy, "a reader keeps the write-ahead log from being moved into the database")))
    }
}

impl OpenFile {
    /// Everything but the COMMIT.
    fn write(&mut self, txn: &Txn, care: &Care, now: Time) -> std::result::Result<Vec<Skip>, Halt> {
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut ledger = Ledger::read(&self.conn)?;
        if ledger.number.checked_add(1) != Some(txn.number) {
            return Err(Halt::Stale);
        }
        if txn.wipe {
            self.wipe(&mut ledger)?;
        }
        if let Some(to) = txn.undo_to {
            self.undo(&mut ledger, to, care)?;
        }
        for quarantined in &txn.failed {
            quarantine::put(&self.conn, quarantined, now)?;
        }
        if txn.wipe {
            quarantine::forget_backend(&self.conn)?;
        }
        for &id in &txn.release {
            quarantine::release(&self.conn, id)?;
        }
        let skipped = self.append(&mut ledger, txn, care)?;
        let settled = std::mem::replace(&mut ledger.heads, txn.heads.clone()).settled;
        self.forget(&mut ledger, settled)?;
        self.note_times(txn, now)?;
        guards::forget(&self.conn, &txn.heads)?;
        for &(session, mark) in &txn.marks {
            find::set_mark(&self.conn, session, mark, self.local)?;
        }
        ledger.number = txn.number;
        if StorageMutant::HeadInSecondTransaction.is_in() {
            self.conn.execute_batch("COMMIT; BEGIN IMMEDIATE")?;
        }
        ledger.write(&self.conn)?;
        Ok(skipped)
    }

    /// Notes since when what is new has been waiting, and lets go of what no longer does. Before the marks are set: they say what is new.
    fn note_times(&mut self, txn: &Txn, now: Time) -> Result<()> {
        let waits = |session| {
            let of_session = |entry: &Entry| entry.own_id().is_some_and(|id| id.session == session);
            txn.append.iter().any(|entry| entry.standing == Standing::Pending && of_session(entry))
        };
        for &(session, _) in txn.marks.iter().filter(|&&(session, _)| waits(session)) {
            times::note(&self.conn, session, find::mark(&self.conn, session)?, now)?;
        }
        if txn.wipe || !txn.append.iter().any(|entry| entry.standing == Standing::Pending) {
            let oldest = self.log.page(&self.conn, Some(txn.heads.settled), 1)?;
            let oldest = oldest.into_iter().next().and_then(|row| row.into_entry(&txn.heads).commit_id());
            times::forget(&self.conn, oldest)?;
        }
        Ok(())
    }

    fn wipe(&mut self, ledger: &mut Ledger) -> Result<()> {
        eventlog::delete_after(&self.conn, Pos::ROOT)?;
        self.tables.clear(&self.conn)?;
        find::forget_all(&self.conn)?;
        ledger.heads = countersign_core::Heads::default();
        ledger.forgotten = ledger.mark;
        Ok(())
    }

    /// Undoes and removes everything after a place. Where undo doesn't reach that far - the log was local, and got a backend
    /// later - the state is built anew up to there.
    fn undo(&mut self, ledger: &mut Ledger, to: Pos, care: &Care) -> std::result::Result<(), Halt> {
        let Some(first) = eventlog::first_mark_after(&self.conn, to)? else { return Ok(()) };
        match first.filter(|&mark| mark > ledger.forgotten) {
            Some(first) => {
                self.tables.undo_after(&self.conn, first - 1)?;
                eventlog::delete_after(&self.conn, to)?;
            }
            None => {
                eventlog::delete_after(&self.conn, to)?;
                self.tables.clear(&self.conn)?;
                ledger.forgotten = ledger.mark;
                replay(&self.conn, &self.tables, &mut self.log, ledger, care, false, &mut |_| {})?;
            }
        }
        Ok(())
    }

    /// Appends and applies. Collects all own commits that can't be applied, each judged with those left out; one is enough for
    /// the transaction to fail.
    fn append(&mut self, ledger: &mut Ledger, txn: &Txn, care: &Care) -> std::result::Result<Vec<Skip>, Halt> {
        let Self { conn, tables, log, .. } = self;
        let kept = Kept::on(conn);
        let mut into = Appending { kept, tables, log, insert: eventlog::insertion(conn)?, ledger, care, skipped: Vec::new() };
        let mut refused = Vec::new();
        for portion in txn.portions() {
            if care.savepoints {
                apply::savepoint(conn)?;
            }
            let poison = into.portion(portion, refused.is_empty())?;
            if care.savepoints {
                match poison {
                    None => apply::keep(conn)?,
                    Some(_) => apply::drop_since(conn)?,
                }
            }
            match (poison, portion.otherwise) {
                (Some(poison), Otherwise::Refused(commit)) => refused.push((commit, poison)),
                (Some(poison), Otherwise::Held) => into.leave_out(portion.entries, &poison, true)?,
                (Some(poison), Otherwise::Skipped) => into.leave_out(portion.entries, &poison, false)?,
                (None, _) => {}
            }
        }
        if refused.is_empty() { Ok(into.skipped) } else { Err(Halt::Refused(refused)) }
    }

    /// Lets go of the undo of what has settled.
    fn forget(&mut self, ledger: &mut Ledger, before: Pos) -> Result<()> {
        let settled = ledger.heads.settled;
        if ledger.mark > ledger.forgotten && settled > before {
            let newest = eventlog::newest_mark(&self.conn, before, settled)?;
            if let Some(newest) = newest.filter(|&newest| newest > ledger.forgotten) {
                self.tables.forget_through(&self.conn, newest)?;
                ledger.forgotten = newest;
            }
        }
        Ok(())
    }
}

/// Entries being appended and applied, in one transaction.
struct Appending<'a> {
    kept: Kept<'a>,
    tables: &'a Tables,
    log: &'a mut Eventlog,
    insert: CachedStatement<'a>,
    ledger: &'a mut Ledger,
    care: &'a Care,
    skipped: Vec<Skip>,
}

impl Appending<'_> {
    /// What is judged together. Answers why it can't be applied: then what it did has to be undone. Judged whether it is stored or not.
    fn portion(&mut self, portion: Portion<'_>, store: bool) -> std::result::Result<Option<Poison>, Halt> {
        let (conn, care) = (self.kept.conn(), self.care);
        // What the backend has is not judged by its guard.
        let guarded = portion.otherwise != Otherwise::Skipped;
        if let Some(guard) = portion.entries.iter().find_map(Entry::own_guard).filter(|_| guarded)
            && let Some(poison) = apply::holds(conn, self.tables, guard)?
        {
            return Ok(Some(poison));
        }
        let skipped = self.skipped.len();
        for entry in portion.entries {
            let at = entry.seq.pos;
            let mark = self.mark(entry);
            let skip: Option<Arc<str>> = match apply::apply(&mut self.kept, self.tables, care, at, &entry.event, mark)? {
                Judged::Applied => None,
                Judged::Unknown => Some(Arc::from(UNKNOWN_EVENT)),
                Judged::Poisoned(_) if !care.savepoints => return Err(Halt::Careful),
                Judged::Poisoned(poison) => {
                    self.skipped.truncate(skipped);
                    return Ok(Some(poison));
                }
            };
            if store {
                self.store(entry, mark, skip, false)?;
            }
        }
        Ok(None)
    }

    /// What can't be applied and stays in the log all the same.
    fn leave_out(&mut self, entries: &[Entry], poison: &Poison, held: bool) -> Result<()> {
        for entry in entries {
            let mark = self.mark(entry);
            self.store(entry, mark, Some(apply::reason(poison)), held)?;
        }
        Ok(())
    }

    /// The mark that what an entry does can be undone by, if it may have to be.
    fn mark(&mut self, entry: &Entry) -> Option<i64> {
        (entry.standing == Standing::Pending).then(|| {
            self.ledger.mark += 1;
            self.ledger.mark
        })
    }

    fn store(&mut self, entry: &Entry, mark: Option<i64>, skip: Option<Arc<str>>, held: bool) -> Result<()> {
        let (conn, at) = (self.kept.conn(), entry.seq.pos);
        self.log.insert(conn, &mut self.insert, entry, mark)?;
        if let Some(reason) = skip {
            skips::set(conn, at, Some(&reason), held)?;
            self.skipped.push(Skip { at, reason });
        }
        Ok(())
    }
}
