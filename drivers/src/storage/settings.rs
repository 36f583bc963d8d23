//! Settings: what a program that is given nothing but a path has to know of a store, remembered in its file.
//!
//! The store itself reads none of it: whoever opens it decides.

use countersign_core::StorageClass;
use rusqlite::{Connection, OptionalExtension as _};

use super::Durability;
use super::error::{Result, Trouble, failure};

/// What a program that is given nothing but a path has to know of a store: [`crate::Store::init`] writes it into the file,
/// [`crate::Reader::settings`] reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// The schema's text, for [`crate::Schema::from_toml`].
    pub schema: String,
    /// The backend's address, such as `embedded:backend.db`; a relative path starts at the store's folder. `None`: a local store.
    pub backend: Option<String>,
    /// Which of the backend's logs is meant.
    pub store_id: String,
    /// Which crash an acknowledged commit survives.
    pub durability: Durability,
}

const SCHEMA: &str = "schema";
const BACKEND: &str = "backend";
const STORE_ID: &str = "store_id";
const DURABILITY: &str = "durability";

impl Settings {
    /// A local store with this schema, everything else as [`crate::Store::open`] has it.
    pub fn new(schema: impl Into<String>) -> Self {
        Self { schema: schema.into(), backend: None, store_id: "main".to_owned(), durability: Durability::default() }
    }

    pub(crate) fn pairs(&self) -> Vec<(&'static str, &str)> {
        let mut pairs = vec![(SCHEMA, &*self.schema), (STORE_ID, &self.store_id), (DURABILITY, self.durability.name())];
        pairs.extend(self.backend.as_deref().map(|backend| (BACKEND, backend)));
        pairs
    }
}

/// The settings; `None` if the store was made by a program that needs none.
pub(super) fn read(conn: &Connection) -> Result<Option<Settings>> {
    let Some(schema) = get(conn, SCHEMA)? else { return Ok(None) };
    let durability = match get(conn, DURABILITY)? {
        None => Durability::default(),
        Some(name) => Durability::from_name(&name).ok_or_else(|| {
            Trouble(failure(StorageClass::Other, &format!("the store's durability is `{name}`: update this program")))
        })?,
    };
    let store_id = get(conn, STORE_ID)?.unwrap_or_else(|| "main".to_owned());
    Ok(Some(Settings { schema, backend: get(conn, BACKEND)?, store_id, durability }))
}

pub(super) fn write(conn: &Connection, settings: &Settings) -> Result<()> {
    set(conn, BACKEND, None)?;
    settings.pairs().into_iter().try_for_each(|(key, value)| set(conn, key, Some(value)))
}

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
