//! Settings: what a program that is given nothing but a path has to know of a store, remembered in its file.
//!
//! The store itself reads none of it: whoever opens it decides.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

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
    /// Where the token for the backend is; the token itself is never remembered.
    pub token: Option<TokenPlace>,
    /// Which of the backend's logs is meant.
    pub store_id: String,
    /// Which crash an acknowledged commit survives.
    pub durability: Durability,
}

/// Where a token is. Written as `file:PATH` or `env:VARIABLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenPlace {
    /// In this file; a relative path starts at the store's folder.
    File(PathBuf),
    /// In this variable of the environment.
    Env(String),
}

impl TokenPlace {
    fn parse(text: &str) -> Option<Self> {
        let file = text.strip_prefix("file:").map(|path| Self::File(PathBuf::from(path)));
        file.or_else(|| text.strip_prefix("env:").map(|variable| Self::Env(variable.to_owned())))
    }
}

impl fmt::Display for TokenPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(variable) => write!(f, "env:{variable}"),
        }
    }
}

const SCHEMA: &str = "schema";
const BACKEND: &str = "backend";
const TOKEN: &str = "token";
const STORE_ID: &str = "store_id";
const DURABILITY: &str = "durability";

impl Settings {
    /// A local store with this schema, everything else as [`crate::Store::open`] has it.
    pub fn new(schema: impl Into<String>) -> Self {
        let (store_id, durability) = ("main".to_owned(), Durability::default());
        Self { schema: schema.into(), backend: None, token: None, store_id, durability }
    }

    pub(crate) fn pairs(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        let mut pairs: Vec<(_, Cow<'_, str>)> = vec![
            (SCHEMA, (&*self.schema).into()),
            (STORE_ID, (&*self.store_id).into()),
            (DURABILITY, self.durability.name().into()),
        ];
        pairs.extend(self.backend.as_deref().map(|backend| (BACKEND, backend.into())));
        pairs.extend(self.token.as_ref().map(|token| (TOKEN, token.to_string().into())));
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
    let token = get(conn, TOKEN)?.map(|place| {
        // Not what it is: whoever wrote it may have put the token there.
        TokenPlace::parse(&place).ok_or_else(|| {
            Trouble(failure(StorageClass::Other, "the store's token is in a place unknown here: update this program"))
        })
    });
    Ok(Some(Settings { schema, backend: get(conn, BACKEND)?, token: token.transpose()?, store_id, durability }))
}

pub(super) fn write(conn: &Connection, settings: &Settings) -> Result<()> {
    set(conn, BACKEND, None)?;
    set(conn, TOKEN, None)?;
    settings.pairs().into_iter().try_for_each(|(key, value)| set(conn, key, Some(&value)))
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
