//! Settings: what a command line remembers in the store. Keys and values are text, and nothing here reads them.

use rusqlite::{Connection, OptionalExtension as _};

use super::error::Result;

pub(super) fn get(conn: &Connection, key: &str) -> Result<Option<String>> {
    let mut select = conn.prepare_cached("SELECT value FROM countersign_settings WHERE key = ?1")?;
    Ok(select.query_row([key], |row| row.get(0)).optional()?)
}

pub(super) fn set(conn: &Connection, key: &str, value: Option<&str>) -> Result<()> {
    match value {
        Some(value) => conn
            .prepare_cached(
                "INSERT INTO countersign_settings (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
            )?
            .execute([key, value])?,
        None => conn.prepare_cached("DELETE FROM countersign_settings WHERE key = ?1")?.execute([key])?,
    };
    Ok(())
}

pub(super) fn all(conn: &Connection) -> Result<Vec<(String, String)>> {
    let mut select = conn.prepare_cached("SELECT key, value FROM countersign_settings ORDER BY key")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
