//! Opening a store: lock, format, settings of the connection, schema.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Arc;

use countersign_core::{Boot, ClientId, Pos, StorageFailure};
use rusqlite::{Connection, TransactionBehavior, params};

use super::boot;
use super::error::{OpenError, Result, Trouble, failure};
use super::eventlog::{Eventlog, int};
use super::fault::{Point, fault};
use super::format::{self, Kind};
use super::ledger::Ledger;
use super::lock::{LockError, StoreLock, owner_only};
use super::rebuild::{Rebuilt, rebuild};
use super::settings::{self, Settings};
use super::{Durability, OpenFile, Progress, Storage};
use crate::clock::Clock;
use crate::mark::Mark;
use crate::state::{Guard, Schema, Tables};

/// What is wrong with a file that another one is in the place of, or none.
const MOVED: &str = "the store's file was moved, deleted or replaced while the store was open: close the store, which hands back what is \
                     not stored for sure, put the file back into its place, and open it again";

/// How to open a store.
pub(crate) struct Options {
    /// Tables, events and materialisers.
    pub(crate) schema: Schema,
    /// What an acknowledged commit survives.
    pub(crate) durability: Durability,
    /// Whether there is a sync backend. A log that was local until now becomes pending with one.
    pub(crate) backend: bool,
    /// How large the file may grow, in bytes; beyond that the disk counts as full.
    pub(crate) size_limit: Option<u64>,
    /// The client of a new file; drawn at random if not given. A file that exists keeps its own.
    pub(crate) client: Option<ClientId>,
    /// What time it is, for the ages of what waits.
    pub(crate) clock: Clock,
    /// Told how far the state has been built anew, if it has to be.
    pub(crate) progress: Option<Box<dyn FnMut(Progress)>>,
}

/// What opening a store has done beside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenReport {
    /// Whether the file is new.
    pub(crate) created: bool,
    /// The state was built anew, since the schema is another one.
    pub(crate) rebuilt: Option<Rebuilt>,
}

impl Storage {
    /// Makes a store that is not there yet, with these settings and without state: the first opening adds that.
    ///
    /// # Errors
    /// [`OpenError::Exists`] if there is a file already, which is left as it is.
    pub(crate) fn init(
        path: &Path,
        settings: &[(&str, &str)],
        client: Option<ClientId>,
    ) -> std::result::Result<ClientId, OpenError> {
        // Asked before the lock is taken too: what is not ours is left without even a lock file beside it.
        if path.try_exists().map_err(|error| OpenError::io(path, &error))? {
            return Err(OpenError::Exists { path: path.to_owned() });
        }
        let _lock = take_lock(path)?;
        create_file(path)?;
        make(path, settings, client).inspect_err(|_| remove_file(path))
    }

    /// Changes the settings of a store that nobody has open for work.
    ///
    /// # Errors
    /// As [`OpenError`] says; nothing has changed then.
    pub(crate) fn set_settings(path: &Path, settings: &Settings) -> std::result::Result<(), OpenError> {
        if !path.try_exists().map_err(|error| OpenError::io(path, &error))? {
            return Err(OpenError::Missing { path: path.to_owned() });
        }
        let _lock = take_lock(path)?;
        let mut conn = connect(path)?;
        if identify(path, &conn)? == Kind::Empty {
            return Err(OpenError::NotAStore { path: path.to_owned(), message: Arc::from("an empty file") });
        }
        format::configure(&conn, Durability::Power).map_err(|error| OpenError::sqlite(path, &error))?;
        let mut change = || {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            settings::write(&tx, settings)?;
            Ok(tx.commit()?)
        };
        change().map_err(|trouble: Trouble| OpenError::trouble(path, trouble))
    }

    /// Opens a store for work, and makes it if there is none. Nothing else can open it for work meanwhile.
    ///
    /// # Errors
    /// As [`OpenError`] says; the file is then as it was.
    pub(crate) fn open(path: &Path, options: Options) -> std::result::Result<(Self, Boot, OpenReport), OpenError> {
        let lock = take_lock(path)?;
        match create_file(path) {
            Ok(()) => Self::open_locked(path, options, lock).inspect_err(|_| remove_file(path)),
            Err(OpenError::Exists { .. }) => Self::open_locked(path, options, lock),
            Err(error) => Err(error),
        }
    }

    fn open_locked(path: &Path, options: Options, lock: StoreLock) -> std::result::Result<(Self, Boot, OpenReport), OpenError> {
        let Options { schema, durability, backend, size_limit, client, clock, mut progress } = options;
        let sqlite = |error| OpenError::sqlite(path, &error);
        let trouble = |trouble| OpenError::trouble(path, trouble);
        let mut conn = connect(path)?;
        let created = identify(path, &conn)? == Kind::Empty;
        if created {
            format::configure(&conn, durability).map_err(sqlite)?;
            let client = client.map_or_else(|| draw_client(path), Ok)?;
            format::create(&mut conn, &client, &[]).map_err(sqlite)?;
        } else {
            format::configure(&conn, durability).map_err(sqlite)?;
            if durability == Durability::Power {
                sync_what_is_there(&mut conn).map_err(sqlite)?;
            }
        }
        format::limit_size(&conn, size_limit).map_err(sqlite)?;
        let guard = Guard::install(&mut conn).map_err(sqlite)?;
        let client = read_client(&conn).map_err(trouble)?;
        let mut log = Eventlog::new(Arc::clone(&client));
        let mut report = OpenReport { created, rebuilt: None };
        let tables = if stored_schema(&conn).map_err(trouble)?.as_deref() == Some(&*hash_text(&schema)) {
            Tables::open(&conn, &schema, &guard).map_err(|error| OpenError::schema(path, error))?
        } else {
            let mut progress = |at| progress.as_mut().map_or((), |told| told(at));
            let (tables, rebuilt) = rebuild(path, &conn, &mut log, &schema, &guard, &mut progress)?;
            report.rebuilt = rebuilt;
            tables
        };
        if backend {
            reopen_local(&mut conn, &mut log).map_err(trouble)?;
        }
        let tables = recording(&conn, tables, !backend).map_err(sqlite)?;
        let boot = boot::boot(&conn, &mut log, &client).map_err(trouble)?;
        let mark = Mark::of(path).map_err(|error| OpenError::io(path, &error))?;
        let storage = Self {
            path: path.to_owned(),
            durability,
            size_limit,
            schema,
            client,
            clock,
            local: !backend,
            file: Some(OpenFile { conn, tables, log, local: !backend }),
            unsettled: None,
            mark,
            lock,
        };
        Ok((storage, boot, report))
    }

    /// The file, opened again if trouble has closed it.
    pub(super) fn file(&mut self) -> std::result::Result<&mut OpenFile, StorageFailure> {
        if self.file.is_none() {
            self.file = Some(self.reopen().map_err(|error| match error {
                OpenError::Storage { failure, .. } => failure,
                OpenError::Corrupt { .. } | OpenError::NotAStore { .. } | OpenError::NewerFormat { .. } => {
                    failure(countersign_core::StorageClass::Corrupt, &error.to_string())
                }
                error => failure(countersign_core::StorageClass::Io, &error.to_string()),
            })?);
        }
        // Set a line above, if it was not there.
        self.file.as_mut().ok_or_else(|| failure(countersign_core::StorageClass::Other, "the store's file is not open"))
    }

    /// What is stored in a file that is no longer at its path is found by nobody.
    pub(super) fn stay_in_place(&self) -> std::result::Result<(), OpenError> {
        if self.mark.is_at(&self.path) {
            return Ok(());
        }
        Err(OpenError::Corrupt { path: self.path.clone(), message: Arc::from(MOVED) })
    }

    fn reopen(&self) -> std::result::Result<OpenFile, OpenError> {
        let path = &*self.path;
        fault(Point::Reopen).map_err(|error| OpenError::sqlite(path, &error))?;
        self.stay_in_place()?;
        let mut conn = connect(path)?;
        if identify(path, &conn)? != Kind::Store {
            return Err(OpenError::Corrupt { path: path.to_owned(), message: Arc::from(MOVED) });
        }
        format::configure(&conn, self.durability).map_err(|error| OpenError::sqlite(path, &error))?;
        format::limit_size(&conn, self.size_limit).map_err(|error| OpenError::sqlite(path, &error))?;
        let guard = Guard::install(&mut conn).map_err(|error| OpenError::sqlite(path, &error))?;
        let log = Eventlog::new(Arc::clone(&self.client));
        let tables = Tables::open(&conn, &self.schema, &guard).map_err(|error| OpenError::schema(path, error))?;
        let tables = recording(&conn, tables, self.local).map_err(|error| OpenError::sqlite(path, &error))?;
        Ok(OpenFile { conn, tables, log, local: self.local })
    }
}

/// Without a backend nothing has to be undone in the file. What was pending when it was opened, and is not going to be, keeps what is
/// recorded of it until that is forgotten.
fn recording(conn: &Connection, mut tables: Tables, local: bool) -> rusqlite::Result<Tables> {
    if local {
        tables.record_nothing(conn)?;
    }
    Ok(tables)
}

fn take_lock(path: &Path) -> std::result::Result<StoreLock, OpenError> {
    StoreLock::take(path).map_err(|error| match error {
        LockError::Held(holder) => OpenError::Locked { path: path.to_owned(), holder },
        LockError::Io(error) => OpenError::io(path, &error),
    })
}

/// Makes an empty file that only its owner reads. SQLite gives the files beside it the same permissions.
fn create_file(path: &Path) -> std::result::Result<(), OpenError> {
    owner_only(OpenOptions::new().read(true).write(true).create_new(true))
        .open(path)
        .map(drop)
        .map_err(|error| OpenError::io(path, &error))
}

/// Takes away a file that was made a moment ago and holds nothing: left there, it would stand in the way of the next try.
fn remove_file(path: &Path) {
    for suffix in ["-wal", "-shm", ""] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        if let Err(error) = std::fs::remove_file(&name) {
            tracing::debug!(%error, path = %Path::new(&name).display(), "not removed");
        }
    }
}

fn make(path: &Path, settings: &[(&str, &str)], client: Option<ClientId>) -> std::result::Result<ClientId, OpenError> {
    let client = client.map_or_else(|| draw_client(path), Ok)?;
    let mut conn = connect(path)?;
    let sqlite = |error| OpenError::sqlite(path, &error);
    format::configure(&conn, Durability::Power).map_err(sqlite)?;
    format::create(&mut conn, &client, settings).map_err(sqlite)?;
    Ok(client)
}

fn connect(path: &Path) -> std::result::Result<Connection, OpenError> {
    // Never opened beside SQLite: closing it would take away the locks that another connection of this process has on it.
    match path.metadata() {
        Ok(found) if found.is_dir() => {
            return Err(OpenError::NotAStore { path: path.to_owned(), message: Arc::from("a folder") });
        }
        Ok(found) => one_name(path, &found)?,
        Err(error) => return Err(OpenError::io(path, &error)),
    }
    let conn = format::connect(path).map_err(|error| OpenError::sqlite(path, &error))?;
    // SQLite falls back to reading only, without a word, where it can't write.
    match conn.is_readonly("main") {
        Ok(false) => Ok(conn),
        Ok(true) => Err(OpenError::NotWritable { path: path.to_owned(), message: Arc::from("it may only be read") }),
        Err(error) => Err(OpenError::sqlite(path, &error)),
    }
}

/// Two hard links have two write-ahead logs and two locks, and none knows of the other.
#[cfg(unix)]
fn one_name(path: &Path, found: &std::fs::Metadata) -> std::result::Result<(), OpenError> {
    match std::os::unix::fs::MetadataExt::nlink(found) {
        0 | 1 => Ok(()),
        names => Err(OpenError::ManyNames { path: path.to_owned(), names }),
    }
}

#[cfg(not(unix))]
fn one_name(_path: &Path, _found: &std::fs::Metadata) -> std::result::Result<(), OpenError> {
    Ok(())
}

/// What the file is, where that is one that can be opened.
pub(super) fn identify(path: &Path, conn: &Connection) -> std::result::Result<Kind, OpenError> {
    let kind = format::identify(conn).map_err(|error| OpenError::sqlite(path, &error))?;
    match kind {
        Kind::Empty | Kind::Store => Ok(kind),
        Kind::Newer(found) => Err(OpenError::NewerFormat { path: path.to_owned(), found }),
        Kind::Foreign => {
            Err(OpenError::NotAStore { path: path.to_owned(), message: Arc::from("a database of another application") })
        }
    }
}

/// Letters and digits that are hard to mistake, 50 bits: short enough to read out, long enough to be one's own.
fn draw_client(path: &Path) -> std::result::Result<ClientId, OpenError> {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).map_err(|error| OpenError::io(path, &io::Error::other(error.to_string())))?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect::<String>().into())
}

pub(super) fn read_client(conn: &Connection) -> Result<ClientId> {
    let client: String = conn.query_row("SELECT client FROM countersign_identity WHERE id = 1", [], |row| row.get(0))?;
    Ok(Arc::from(client))
}

pub(super) fn stored_schema(conn: &Connection) -> Result<Option<String>> {
    Ok(conn.query_row("SELECT schema_hash FROM countersign_identity WHERE id = 1", [], |row| row.get(0))?)
}

pub(super) fn hash_text(schema: &Schema) -> String {
    format!("{:016x}", schema.hash())
}

/// After a crash SQLite also finds transactions that were written and not yet synced. Before anybody is told of them, they have to be:
/// a loss of power could still take them.
fn sync_what_is_there(conn: &mut Connection) -> rusqlite::Result<()> {
    let (busy, log, moved): (i64, i64, i64) =
        conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    if busy == 0 && log == moved {
        return Ok(());
    }
    // A reader is in the way. The sync of a transaction covers all before it. This one changes nothing, but has something to write: a row
    // that is set to what it is would not be.
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute("UPDATE countersign_heads SET number = number + 1", [])?;
    tx.execute("UPDATE countersign_heads SET number = number - 1", [])?;
    tx.commit()
}

/// A log that was local becomes pending when there is a backend: from the first own synced event on.
fn reopen_local(conn: &mut Connection, log: &mut Eventlog) -> Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut ledger = Ledger::read(&tx)?;
    let upstream = ledger.heads.upstream;
    let local: bool = tx.query_row(
        "SELECT EXISTS (SELECT 1 FROM countersign_eventlog WHERE global > ?1 AND (global, client) <= (?2, ?3))",
        params![int(upstream)?, int(ledger.heads.settled.global)?, ledger.heads.settled.client],
        |row| row.get(0),
    )?;
    if local {
        let before = log.last_until(&tx, Pos { global: upstream, client: u32::MAX })?;
        ledger.heads.settled = before.map_or(Pos::synced(upstream), |row| row.seq.pos);
        ledger.write(&tx)?;
    }
    Ok(tx.commit()?)
}
