//! Checks a file against what must always hold: for tests, and for whoever doubts a file. Reads all of it.

use countersign_core::{Origin, Pos};
use rusqlite::{Connection, params};

use super::apply::UNKNOWN_EVENT;
use super::error::{Result, Trouble};
use super::eventlog::{Eventlog, int};
use super::ledger::Ledger;
use super::replay::PAGE;
use crate::state::{ApplyError, Guard, Schema, SchemaError, Tables};

#[cfg(test)]
impl super::Storage {
    /// What does not hold, in words; nothing if all is well. As [`super::Reader::check`].
    pub(crate) fn check(&mut self) -> std::result::Result<Vec<String>, countersign_core::StorageFailure> {
        let schema = self.schema.clone();
        self.read(|file| check(&file.conn, &mut file.log, &schema))
    }
}

/// What does not hold, in one view of the file.
pub(super) fn check(conn: &Connection, log: &mut Eventlog, schema: &Schema) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let ledger = Ledger::read(conn)?;
    integrity(conn, &mut wrong)?;
    let replayed = Replica::new(schema)?;
    walk(conn, log, &ledger, &replayed, &mut wrong)?;
    let (state, expected) = (replayed.tables.dump(conn)?, replayed.tables.dump(&replayed.conn)?);
    if state != expected {
        wrong.push(format!("the state is not what the log says (S1):\nstate:\n{state}\nreplayed:\n{expected}"));
    }
    Ok(wrong)
}

struct Replica {
    conn: Connection,
    tables: Tables,
}

impl Replica {
    fn new(schema: &Schema) -> Result<Self> {
        let mut conn = Connection::open_in_memory()?;
        let guard = Guard::install(&mut conn)?;
        let tables = Tables::create(&conn, schema, &guard).map_err(|error| match error {
            SchemaError::Trouble(failure) => Trouble(failure),
            error => Trouble::defect(error.to_string()),
        })?;
        conn.execute_batch("BEGIN")?;
        Ok(Self { conn, tables })
    }
}

fn integrity(conn: &Connection, wrong: &mut Vec<String>) -> Result<()> {
    let mut check = conn.prepare("PRAGMA integrity_check(10)")?;
    for line in check.query_map([], |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            wrong.push(format!("the file: {line}"));
        }
    }
    let orphans: i64 = conn.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
    if orphans > 0 {
        wrong.push(format!("{orphans} rows refer to rows that are not there"));
    }
    Ok(())
}

fn walk(conn: &Connection, log: &mut Eventlog, ledger: &Ledger, replayed: &Replica, wrong: &mut Vec<String>) -> Result<()> {
    let heads = &ledger.heads;
    let (mut before, mut newest) = (Pos::ROOT, ledger.forgotten);
    let (mut generation, mut settled_seen) = (0, heads.settled == Pos::ROOT);
    loop {
        let page = log.page(conn, Some(before), PAGE)?;
        if page.is_empty() {
            break;
        }
        for row in &page {
            let at = row.seq.pos;
            let client_only = at.is_client_only();
            let parent = if client_only { before } else { Pos::synced(before.global) };
            if row.parent != parent {
                wrong.push(format!("{at} says its parent is {}, but {parent} is (L1)", row.parent));
            }
            generation = generation.max(row.seq.generation);
            settled_seen |= at == heads.settled;
            match row.mark.filter(|&mark| mark > ledger.forgotten) {
                Some(mark) if at <= heads.settled => wrong.push(format!("{at} has settled, but can be undone (mark {mark})")),
                Some(mark) if mark <= newest => wrong.push(format!("{at} has mark {mark} after {newest}")),
                Some(mark) => newest = mark,
                None => {}
            }
            let is_guarded = matches!(row.origin, Origin::Own { guard: Some(_), .. });
            if is_guarded && !client_only && at.global <= heads.upstream {
                wrong.push(format!("{at} is confirmed and has a guard, which nobody will ask"));
            }
            if row.skip.is_none() {
                match replayed.tables.apply(&replayed.conn, &row.event, None) {
                    Ok(()) => {}
                    Err(ApplyError::Trouble(failure)) => return Err(Trouble(failure)),
                    Err(error) => wrong.push(format!("{at} has no skip, but does not apply: {error:?} (S1)")),
                }
            } else if row.skip.as_deref() == Some(UNKNOWN_EVENT) {
                match replayed.tables.apply(&replayed.conn, &row.event, None) {
                    Err(ApplyError::UnknownEvent) => {}
                    other => wrong.push(format!("{at} is skipped as unknown, but is known: {other:?}")),
                }
            }
            before = at;
        }
    }
    if newest > ledger.mark {
        wrong.push(format!("mark {newest} is above the newest, {}", ledger.mark));
    }
    if heads.upstream > before.global {
        wrong.push(format!("upstream e{} is beyond the log's end, {before} (L1)", heads.upstream));
    }
    if !settled_seen && heads.settled != Pos::synced(heads.upstream) {
        wrong.push(format!("nothing stands at settled, {} (L3)", heads.settled));
    }
    if heads.settled < Pos::synced(heads.upstream) {
        wrong.push(format!("settled {} is before upstream e{} (L3)", heads.settled, heads.upstream));
    }
    if generation > heads.generation {
        wrong.push(format!("an entry has generation {generation}, above the heads' {} (L2)", heads.generation));
    }
    undo_rows(conn, ledger, wrong)
}

/// Whatever can be undone was recorded for an entry that is pending.
fn undo_rows(conn: &Connection, ledger: &Ledger, wrong: &mut Vec<String>) -> Result<()> {
    let mut tables =
        conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'countersign\\_undo\\_%' ESCAPE '\\'")?;
    let settled = ledger.heads.settled;
    for table in tables.query_map([], |row| row.get::<_, String>(0))? {
        let table = table?;
        let stray: i64 = conn.query_row(
            &format!(
                "SELECT count(*) FROM \"{}\" WHERE mark <= ?1 OR mark NOT IN
                 (SELECT mark FROM countersign_eventlog WHERE (global, client) > (?2, ?3) AND mark IS NOT NULL)",
                table.replace('"', "\"\"")
            ),
            params![ledger.forgotten, int(settled.global)?, settled.client],
            |row| row.get(0),
        )?;
        if stray > 0 {
            wrong.push(format!("{stray} rows of {table} are for nothing that is pending"));
        }
    }
    Ok(())
}
