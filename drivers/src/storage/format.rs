//! The layout of a store's file: who made it, in which version, and the tables beside the state.
//!
//! `application_id` says that a file is a store of ours, `user_version` in which format. A reader refuses a newer one.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::mutant::StorageMutant;

use super::Durability;

/// `CSGN`, in the header of every store.
pub(super) const APPLICATION_ID: i32 = 0x4353_474E;
/// The format that this version writes, and the newest it reads.
pub(super) const FORMAT: i32 = 1;
/// How long a statement waits for somebody else's lock on the file. Only foreign tools hold one: readers don't block a writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// The tables of the store itself.
///
/// What can be derived is not stored: an entry is client-only if its place has a client part, own if it counts rebases, and how
/// firmly it stands follows from the heads. `parent` is the global number of the parent of a synced entry where it isn't the
/// one before it. `mark` is the unit of undo of an entry that was pending when it was applied. What few entries have is in tables of its
/// own, by their places: a row of the log is looked for twice as fast with no more than 13 columns, as SQLite compares its key then.
/// `guard` is what has to hold for the commit that the entry begins, while the entry may still move; `reason`, why the entry has no
/// effect on the state. `local` says that a session's commits were made without a backend.
const TABLES: &str = "
CREATE TABLE countersign_identity (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    client TEXT NOT NULL,
    schema_version INTEGER,
    schema_hash TEXT
) STRICT;
CREATE TABLE countersign_heads (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL,
    upstream INTEGER NOT NULL,
    upstream_parent INTEGER NOT NULL,
    acknowledged INTEGER NOT NULL DEFAULT 0,
    own_after INTEGER NOT NULL DEFAULT 0,
    settled_global INTEGER NOT NULL,
    settled_client INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    backend TEXT,
    mark INTEGER NOT NULL,
    forgotten INTEGER NOT NULL
) STRICT;
CREATE TABLE countersign_names (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE countersign_authors (
    id INTEGER PRIMARY KEY,
    client TEXT NOT NULL,
    session TEXT NOT NULL,
    UNIQUE (client, session)
) STRICT;
CREATE TABLE countersign_eventlog (
    global INTEGER NOT NULL,
    client INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    parent INTEGER,
    author INTEGER NOT NULL,
    ordinal INTEGER,
    commit_ordinal INTEGER,
    last INTEGER,
    rebases INTEGER,
    name INTEGER NOT NULL,
    args TEXT NOT NULL,
    mark INTEGER,
    PRIMARY KEY (global, client)
) STRICT, WITHOUT ROWID;
CREATE INDEX countersign_own ON countersign_eventlog (author, commit_ordinal) WHERE rebases IS NOT NULL;
CREATE TABLE countersign_guards (
    global INTEGER NOT NULL,
    client INTEGER NOT NULL,
    guard TEXT NOT NULL,
    PRIMARY KEY (global, client)
) STRICT, WITHOUT ROWID;
CREATE TABLE countersign_skips (
    global INTEGER NOT NULL,
    client INTEGER NOT NULL,
    reason TEXT NOT NULL,
    held INTEGER NOT NULL,
    PRIMARY KEY (global, client)
) STRICT, WITHOUT ROWID;
CREATE TABLE countersign_sessions (
    session TEXT PRIMARY KEY,
    mark INTEGER NOT NULL,
    wiped INTEGER NOT NULL DEFAULT 0,
    local INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE countersign_times (
    session TEXT NOT NULL,
    commit_ordinal INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (session, commit_ordinal)
) STRICT, WITHOUT ROWID;
CREATE TABLE countersign_quarantine (
    id INTEGER PRIMARY KEY,
    session TEXT NOT NULL,
    commit_ordinal INTEGER NOT NULL,
    error TEXT NOT NULL,
    persisted INTEGER NOT NULL,
    forgotten INTEGER NOT NULL DEFAULT 0,
    acknowledged INTEGER NOT NULL DEFAULT 0,
    discarded INTEGER NOT NULL DEFAULT 0,
    retried TEXT,
    at INTEGER,
    UNIQUE (session, commit_ordinal)
) STRICT;
CREATE TABLE countersign_quarantine_events (
    session TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    commit_ordinal INTEGER NOT NULL,
    last INTEGER NOT NULL,
    name TEXT NOT NULL,
    args TEXT NOT NULL,
    client_only INTEGER NOT NULL,
    guard TEXT,
    PRIMARY KEY (session, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX countersign_quarantine_commit ON countersign_quarantine_events (session, commit_ordinal);
CREATE TABLE countersign_settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO countersign_heads (id, number, upstream, upstream_parent, settled_global, settled_client, generation, mark, forgotten)
VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0);
";

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing in it yet.
    Empty,
    /// A store of this format.
    Store,
    /// A store of a newer format.
    Newer(i32),
    /// A database, but not a store.
    Foreign,
}

/// Reads what the file says about itself. A file that is no database fails with `NOTADB`, a truncated one with `CORRUPT`.
pub(super) fn identify(conn: &Connection) -> rusqlite::Result<Kind> {
    let objects: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let application: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let format: i32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(match (application, format) {
        (APPLICATION_ID, FORMAT) => Kind::Store,
        (APPLICATION_ID, newer) if newer > FORMAT => Kind::Newer(newer),
        (0, 0) if objects == 0 => Kind::Empty,
        _ => Kind::Foreign,
    })
}

/// Makes an empty file a store, in one transaction.
pub(super) fn create(conn: &mut Connection, client: &str, settings: &[(&str, &str)]) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    tx.execute_batch(TABLES)?;
    tx.execute("INSERT INTO countersign_identity (id, client) VALUES (1, ?1)", [client])?;
    for (key, value) in settings {
        tx.execute("INSERT INTO countersign_settings (key, value) VALUES (?1, ?2)", [key, value])?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", FORMAT)?;
    tx.commit()
}

/// Opens the file for writing, as it is.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    Ok(conn)
}

/// Sets everything that durability rests on; nothing is left to defaults. What state rests on, its guard sets. Not before the file is known to be ours, since the
/// journal mode is written into it.
pub(super) fn configure(conn: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
        let message = format!("the file system does not support write-ahead logging (journal mode {mode})");
        return Err(rusqlite::Error::SqliteFailure(code, Some(message)));
    }
    let synchronous = match durability {
        Durability::Power => "FULL",
        Durability::Process => "NORMAL",
    };
    let synchronous = if StorageMutant::SynchronousOff.is_in() { "OFF" } else { synchronous };
    conn.pragma_update(None, "synchronous", synchronous)?;
    if cfg!(target_vendor = "apple") {
        // Without it, fsync on Apple's systems does not reach the medium.
        conn.pragma_update(None, "fullfsync", durability == Durability::Power)?;
        conn.pragma_update(None, "checkpoint_fullfsync", true)?;
    }
    conn.pragma_update(None, "trusted_schema", false)?;
    // A rebuild writes one large transaction: the log file goes back to this size afterwards.
    conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
    conn.pragma_update(None, "cache_size", -16_000)?;
    Ok(())
}

/// Sets how large the file may grow, in bytes. One that is larger already can't grow.
pub(super) fn limit_size(conn: &Connection, bytes: Option<u64>) -> rusqlite::Result<()> {
    let Some(bytes) = bytes else { return Ok(()) };
    let page: i64 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
    // At least one: 0 would ask for the limit, and set none.
    conn.pragma_update_and_check(None, "max_page_count", pages.max(1), |_| Ok(()))
}

/// Opens the file for reading only, beside whoever writes it.
pub(super) fn connect_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.pragma_update(None, "query_only", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    Ok(conn)
}
