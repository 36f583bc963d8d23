//! Guards as they are stored: JSON text with a name and arguments. Few entries have one, so they have a table of their own.

use std::sync::Arc;

use countersign_core::{Guard, Heads, Pos};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{Result, Trouble};
use super::eventlog::int;

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    name: String,
    #[serde(borrow)]
    args: &'a RawValue,
}

/// Stores what has to hold for the commit that the entry at this place begins.
pub(super) fn put(conn: &Connection, pos: Pos, guard: &Guard) -> Result<()> {
    conn.prepare_cached("INSERT INTO countersign_guards (global, client, guard) VALUES (?1, ?2, ?3)")?.execute(params![
        int(pos.global)?,
        pos.client,
        encode(guard)?
    ])?;
    Ok(())
}

/// Forgets the guards of what does not move any more.
pub(super) fn forget(conn: &Connection, heads: &Heads) -> Result<()> {
    let mut delete = conn
        .prepare_cached("DELETE FROM countersign_guards WHERE (global, client) <= (?1, ?2) AND (global <= ?3 OR client > 0)")?;
    delete.execute(params![int(heads.settled.global)?, heads.settled.client, int(heads.upstream)?])?;
    Ok(())
}

/// The guard as text.
pub(super) fn encode(guard: &Guard) -> Result<String> {
    let args: &RawValue = serde_json::from_str(&guard.args).map_err(|error| Trouble::defect(error.to_string()))?;
    serde_json::to_string(&Stored { name: guard.name.to_string(), args }).map_err(|error| Trouble::defect(error.to_string()))
}

/// The guard in a column of this row.
pub(super) fn read(row: &rusqlite::Row<'_>, column: usize) -> Result<Option<Arc<Guard>>> {
    let text: Option<String> = row.get(column)?;
    let decode = |text: String| {
        let Stored { name, args } =
            serde_json::from_str(&text).map_err(|error| Trouble::damaged(format!("a stored guard can't be read: {error}")))?;
        Ok(Arc::new(Guard { name: Arc::from(name), args: Arc::from(args.get()) }))
    };
    text.map(decode).transpose()
}
