//! Entries of the log without effect on the state, and why. Few are, so they have a table of their own.

use countersign_core::Pos;
use rusqlite::{Connection, params};

use super::error::Result;
use super::eventlog::{int, nat};

/// Stores why the entry at this place has no effect, or that it has one.
pub(super) fn set(conn: &Connection, pos: Pos, reason: Option<&str>) -> Result<()> {
    match reason {
        Some(reason) => conn
            .prepare_cached("INSERT OR REPLACE INTO countersign_skips (global, client, reason) VALUES (?1, ?2, ?3)")?
            .execute(params![int(pos.global)?, pos.client, reason])?,
        None => conn
            .prepare_cached("DELETE FROM countersign_skips WHERE global = ?1 AND client = ?2")?
            .execute(params![int(pos.global)?, pos.client])?,
    };
    Ok(())
}

/// Whether any entry after this place is without effect that the backend has not acknowledged.
pub(super) fn any_after(conn: &Connection, settled: Pos, acknowledged: u64) -> Result<bool> {
    let mut any = conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM countersign_skips WHERE (global, client) > (?1, ?2) AND (global > ?3 OR client > 0))",
    )?;
    Ok(any.query_row(params![int(settled.global)?, settled.client, int(acknowledged)?], |row| row.get(0))?)
}

/// How many there are.
pub(super) fn count(conn: &Connection) -> Result<u64> {
    let mut count = conn.prepare_cached("SELECT count(*) FROM countersign_skips")?;
    nat(count.query_row([], |row| row.get(0))?)
}
