//! What the machine starts from.

use std::sync::Arc;

use countersign_core::{Boot, ClientId, Entry, Heads, Pos};
use rusqlite::Connection;

use super::error::Result;
use super::eventlog::{Eventlog, Row};
use super::ledger::Ledger;
use super::quarantine;
use super::replay::PAGE;

/// Reads it, in one view of the file.
pub(super) fn boot(conn: &Connection, log: &mut Eventlog, client: &ClientId) -> Result<Boot> {
    let view = conn.unchecked_transaction()?;
    let Ledger { number, heads, .. } = Ledger::read(conn)?;
    let settled_head = log.last_until(conn, heads.settled)?.map_or(Pos::ROOT, |row| row.seq.pos);
    let anchor = log
        .last_until(conn, Pos::synced(heads.upstream))?
        .filter(|row| row.seq.pos == Pos::synced(heads.upstream) && heads.upstream > 0)
        .map(|row| row.into_entry(&heads));
    let pending = entries_after(conn, log, &heads, heads.settled)?;
    let uncertain = quarantine::uncertain(conn)?;
    view.commit()?;
    Ok(Boot { client: Arc::clone(client), number, heads, settled_head, anchor, pending, uncertain })
}

/// All entries after a place.
pub(super) fn entries_after(conn: &Connection, log: &mut Eventlog, heads: &Heads, after: Pos) -> Result<Vec<Entry>> {
    Ok(rows_after(conn, log, after)?.into_iter().map(|row| row.into_entry(heads)).collect())
}

/// All rows after a place.
pub(super) fn rows_after(conn: &Connection, log: &mut Eventlog, after: Pos) -> Result<Vec<Row>> {
    let mut after = after;
    let mut rows = Vec::new();
    loop {
        let page = log.page(conn, Some(after), PAGE)?;
        let Some(last) = page.last() else { return Ok(rows) };
        after = last.seq.pos;
        rows.extend(page);
    }
}
