//! Entries of the log without effect on the state, and why. Few are, so they have a table of their own.

use std::collections::BTreeSet;

use countersign_core::Pos;
use rusqlite::{Connection, params};

use super::error::Result;
use super::eventlog::{int, nat};

/// Stores why the entry at this place has no effect, or that it has one. One that is held is judged once all of the backend's log is here.
pub(super) fn set(conn: &Connection, pos: Pos, reason: Option<&str>, held: bool) -> Result<()> {
    match reason {
        Some(reason) => conn
            .prepare_cached("INSERT OR REPLACE INTO countersign_skips (global, client, reason, held) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![int(pos.global)?, pos.client, reason, held])?,
        None => conn
            .prepare_cached("DELETE FROM countersign_skips WHERE global = ?1 AND client = ?2")?
            .execute(params![int(pos.global)?, pos.client])?,
    };
    Ok(())
}

/// The entries after this place that are held.
pub(super) fn held_after(conn: &Connection, settled: Pos) -> Result<BTreeSet<Pos>> {
    let mut held =
        conn.prepare_cached("SELECT global, client FROM countersign_skips WHERE held AND (global, client) > (?1, ?2)")?;
    let mut rows = held.query(params![int(settled.global)?, settled.client])?;
    let mut places = BTreeSet::new();
    while let Some(row) = rows.next()? {
        places.insert(Pos { global: nat(row.get(0)?)?, client: row.get(1)? });
    }
    Ok(places)
}

/// How many there are.
pub(super) fn count(conn: &Connection) -> Result<u64> {
    let mut count = conn.prepare_cached("SELECT count(*) FROM countersign_skips")?;
    nat(count.query_row([], |row| row.get(0))?)
}
