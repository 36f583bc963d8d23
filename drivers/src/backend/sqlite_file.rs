//! The file of an embedded backend: created, recognised, opened. Promises never to change a file that is something else.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::error::BackendOpenError;
use crate::mark::Mark;

/// "CSbk": a SQLite file with this application id is the log of a backend.
const APPLICATION_ID: i64 = 0x4353_626b;
/// The format of the tables below.
const FORMAT: i64 = 2;
/// How long to wait for another connection that writes. Writers hold the file for one fsync each; a push that has waited this
/// long is better tried again later than kept in its lane.
const BUSY: Duration = Duration::from_secs(5);
/// As long as nanoid's default, which LiveStore's servers use: 126 random bits.
const IDENTITY_CHARS: usize = 21;
const IDENTITY_ALPHABET: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

const TABLES: &str = "
    CREATE TABLE backend (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        identity TEXT NOT NULL
    ) STRICT;
    CREATE TABLE eventlog (
        seq INTEGER PRIMARY KEY CHECK (seq > 0),
        parent INTEGER NOT NULL CHECK (parent = seq - 1),
        client TEXT NOT NULL,
        session TEXT NOT NULL,
        name TEXT NOT NULL,
        args TEXT NOT NULL,
        ordinal INTEGER,
        commit_ordinal INTEGER,
        last INTEGER,
        created_at TEXT,
        void INTEGER NOT NULL DEFAULT 0,
        CHECK ((ordinal IS NULL) = (commit_ordinal IS NULL) AND (ordinal IS NULL) = (last IS NULL))
    ) STRICT;
";
/// From format 1 to 2.
const UPGRADE: &str = "
    ALTER TABLE eventlog ADD COLUMN created_at TEXT;
    ALTER TABLE eventlog ADD COLUMN void INTEGER NOT NULL DEFAULT 0;
";

/// What opening a file may do to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Create it if it is not there.
    Create,
    /// Write to it, but leave it missing if it is missing.
    Write,
    /// Leave it as it is.
    Read,
}

/// A file with a log in it, open.
pub(crate) struct SqliteFile {
    /// The connection, set up.
    pub(crate) connection: Connection,
    /// Where the file is, links resolved.
    pub(crate) path: Arc<Path>,
    /// Which file it is.
    mark: Mark,
}

impl SqliteFile {
    /// Opens the file, and creates it if the mode says so.
    pub(crate) fn open(path: &Path, mode: Mode) -> Result<Self, BackendOpenError> {
        if mode == Mode::Create {
            create(path)?;
        }
        let path: Arc<Path> = std::fs::canonicalize(path).map_err(|error| missing(path, &error))?.into();
        let mut connection = connect(&path, mode)?;
        let failed = |doing| {
            let path = path.clone();
            move |error: rusqlite::Error| cant_open(&path, doing, &error)
        };
        // In a transaction, so that what is seen is of one moment: another process may be creating the log right now.
        let recognised = recognise(&*connection.transaction().map_err(failed("read its header"))?, &path)?;
        if mode != Mode::Read {
            use_wal(&connection, &path)?;
            // FULL: an acknowledged push survives power loss. The two others make it so on Apple's systems too.
            let durable = "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON";
            connection.execute_batch(durable).map_err(failed("make writes durable"))?;
            // After a crash SQLite also finds what was written and not yet synced. Before anybody is told of it, it has to be.
            let synced = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            synced.map_err(failed("sync what a crash has left"))?;
        }
        match (recognised, mode) {
            (Some(FORMAT), _) => {}
            (None, Mode::Read) => {
                return Err(BackendOpenError::NotALog { path: path.to_path_buf(), what: "an empty file" });
            }
            (Some(found), Mode::Read) => {
                return Err(BackendOpenError::Older { path: path.to_path_buf(), found, needed: FORMAT });
            }
            _ => set_up(&mut connection, &path)?,
        }
        let mark = Mark::of(&path).map_err(|error| missing(&path, &error))?;
        Ok(Self { connection, path, mark })
    }

    /// Whether the file at the path is still the one that is open. What is written to a file without a name is lost.
    pub(crate) fn is_in_place(&self) -> bool {
        self.mark.is_at(&self.path)
    }
}

/// A fresh identity for a log.
pub(crate) fn draw_identity(path: &Path) -> Result<String, BackendOpenError> {
    let mut random = [0_u8; IDENTITY_CHARS];
    let none = |error: getrandom::Error| BackendOpenError::NoRandomness { path: path.into(), message: error.to_string().into() };
    getrandom::fill(&mut random).map_err(none)?;
    Ok(random.iter().map(|byte| char::from(IDENTITY_ALPHABET[usize::from(byte & 63)])).collect())
}

/// Creates an empty file that only this user may read, if there is none. SQLite gives its side files the same rights.
fn create(path: &Path) -> Result<(), BackendOpenError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(BackendOpenError::Create { path: path.into(), message: error.to_string().into() }),
    }
}

fn missing(path: &Path, error: &std::io::Error) -> BackendOpenError {
    match error.kind() {
        std::io::ErrorKind::NotFound => BackendOpenError::Missing { path: path.into() },
        _ => BackendOpenError::Unusable { path: path.into(), message: error.to_string().into() },
    }
}

fn connect(path: &Path, mode: Mode) -> Result<Connection, BackendOpenError> {
    let access = if mode == Mode::Read { OpenFlags::SQLITE_OPEN_READ_ONLY } else { OpenFlags::SQLITE_OPEN_READ_WRITE };
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| cant_open(path, "open it", &error))?;
    connection.busy_timeout(BUSY).map_err(|error| cant_open(path, "set a time limit", &error))?;
    // SQLite opens a file that may only be read without a word, and would fail at the first push.
    let read_only = connection.is_readonly("main").map_err(|error| cant_open(path, "look at its rights", &error))?;
    if read_only && mode != Mode::Read {
        return Err(BackendOpenError::NotWritable { path: path.into() });
    }
    Ok(connection)
}

/// The format of the log in the file; none if it is empty. Anything else is an error. To be asked within a transaction.
fn recognise(connection: &Connection, path: &Path) -> Result<Option<i64>, BackendOpenError> {
    let look = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let looked = || -> rusqlite::Result<_> {
        Ok((look("PRAGMA application_id")?, look("PRAGMA user_version")?, look("SELECT count(*) FROM sqlite_schema")?))
    };
    let path = || PathBuf::from(path);
    match looked().map_err(|error| cant_open(&path(), "read its header", &error))? {
        (APPLICATION_ID, found @ 1..=FORMAT, _) => Ok(Some(found)),
        (APPLICATION_ID, found, _) if found > FORMAT => Err(BackendOpenError::Newer { path: path(), found, supported: FORMAT }),
        (APPLICATION_ID, found, _) => {
            Err(BackendOpenError::Damaged { path: path(), message: format!("there is no format {found}").into() })
        }
        (0, 0, 0) => Ok(None),
        _ => Err(BackendOpenError::NotALog { path: path(), what: "another application's database" }),
    }
}

/// Creates the tables and draws the identity, or brings older tables up to date, unless another process was faster.
fn set_up(connection: &mut Connection, path: &Path) -> Result<(), BackendOpenError> {
    let failed = |error: rusqlite::Error| cant_open(path, "create the log", &error);
    let identity = draw_identity(path)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    match recognise(&transaction, path)? {
        Some(FORMAT) => return Ok(()),
        Some(_) => transaction.execute_batch(UPGRADE).map_err(failed)?,
        None => {
            transaction.execute_batch(TABLES).map_err(failed)?;
            transaction.execute("INSERT INTO backend (only, identity) VALUES (1, ?1)", [&identity]).map_err(failed)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        }
    }
    transaction.pragma_update(None, "user_version", FORMAT).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    tracing::info!(path = %path.display(), "the log of a backend is set up");
    Ok(())
}

/// The change to WAL needs the file for a moment, and SQLite does not wait for it as it waits for a lock. Later openings find
/// it done.
fn use_wal(connection: &Connection, path: &Path) -> Result<(), BackendOpenError> {
    let deadline = Instant::now() + BUSY;
    loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(BackendOpenError::NoWal { path: path.into(), mode: mode.into() }),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < deadline => {
                // SQLite tells nobody when a lock is let go.
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(cant_open(path, "switch it to a write-ahead log", &error)),
        }
    }
}

fn cant_open(path: &Path, doing: &'static str, error: &rusqlite::Error) -> BackendOpenError {
    let message = || error.to_string().into();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            BackendOpenError::NotALog { path: path.into(), what: "a file of another kind, or overwritten" }
        }
        Some(ErrorCode::DatabaseCorrupt) => BackendOpenError::Damaged { path: path.into(), message: message() },
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            BackendOpenError::Unusable { path: path.into(), message: message() }
        }
        Some(ErrorCode::ReadOnly) => BackendOpenError::NotWritable { path: path.into() },
        _ => BackendOpenError::failed(path, doing, error, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(error: BackendOpenError, parts: &[&str]) {
        let text = error.to_string();
        for part in parts {
            assert!(text.contains(part), "{text} does not say {part}");
        }
    }

    fn open_error(path: &Path, mode: Mode) -> BackendOpenError {
        SqliteFile::open(path, mode).err().expect("it must not open")
    }

    #[test]
    fn a_log_is_created_once_and_only_for_its_user() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.db");
        let identity = |file: &SqliteFile| -> String {
            file.connection.query_row("SELECT identity FROM backend", [], |row| row.get(0)).unwrap()
        };
        let first = SqliteFile::open(&path, Mode::Create).unwrap();
        let second = SqliteFile::open(&path, Mode::Create).unwrap();
        assert_eq!(identity(&first).len(), IDENTITY_CHARS);
        assert_eq!(identity(&first), identity(&second));
        assert_ne!(draw_identity(&path).unwrap(), draw_identity(&path).unwrap());
        let pragma = |name: &str| -> String {
            let read = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
            format!("{:?}", first.connection.query_row(&format!("PRAGMA {name}"), [], read).unwrap())
        };
        assert_eq!((pragma("synchronous"), pragma("journal_mode")), ("Integer(2)".into(), "Text(\"wal\")".into()));
        #[cfg(unix)]
        for name in ["log.db", "log.db-wal", "log.db-shm"] {
            use std::os::unix::fs::PermissionsExt;
            let rights = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
            assert_eq!(rights, 0o600, "{name}");
        }
    }

    #[test]
    fn many_create_one_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.db");
        let open = || {
            let file = SqliteFile::open(&path, Mode::Create).unwrap();
            file.connection.query_row("SELECT identity FROM backend", [], |row| row.get::<_, String>(0)).unwrap()
        };
        let identities = std::thread::scope(|scope| {
            let opens: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            opens.into_iter().map(|open| open.join().unwrap()).collect::<std::collections::BTreeSet<_>>()
        });
        assert_eq!(identities.len(), 1);
    }

    #[test]
    fn what_is_no_log_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let garbage = dir.path().join("garbage.db");
        let content = "this is a letter, not a log\n".repeat(100);
        std::fs::write(&garbage, &content).unwrap();
        let error = open_error(&garbage, Mode::Create);
        assert!(matches!(error, BackendOpenError::NotALog { .. }), "{error}");
        path_of(error, &["garbage.db", "left as it is", "choose another path"]);
        assert_eq!(std::fs::read_to_string(&garbage).unwrap(), content);

        let theirs = dir.path().join("theirs.db");
        Connection::open(&theirs).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        let before = std::fs::read(&theirs).unwrap();
        path_of(open_error(&theirs, Mode::Create), &["theirs.db", "another application's database"]);
        assert_eq!(std::fs::read(&theirs).unwrap(), before);
    }

    #[test]
    fn another_format_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.db");
        let file = SqliteFile::open(&path, Mode::Create).unwrap();
        file.connection.pragma_update(None, "user_version", FORMAT + 1).unwrap();
        let error = open_error(&path, Mode::Create);
        assert!(matches!(error, BackendOpenError::Newer { found: 3, supported: 2, .. }), "{error}");
        path_of(error, &["log.db", "format 3", "use a newer version"]);
        file.connection.pragma_update(None, "user_version", 0).unwrap();
        path_of(open_error(&path, Mode::Write), &["damaged", "restore it from a backup"]);
    }

    #[test]
    fn an_older_format_is_brought_up_to_date_by_the_first_who_may_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.db");
        let old = SqliteFile::open(&path, Mode::Create).unwrap().connection;
        let downgrade = "INSERT INTO eventlog VALUES (1, 0, 'c', 's', 'v1.Noted', 'null', NULL, NULL, NULL, NULL, 0);
            ALTER TABLE eventlog DROP COLUMN created_at; ALTER TABLE eventlog DROP COLUMN void; PRAGMA user_version = 1";
        old.execute_batch(downgrade).unwrap();
        path_of(open_error(&path, Mode::Read), &["log.db", "format 1", "open it once"]);
        let upgraded = SqliteFile::open(&path, Mode::Write).unwrap().connection;
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, bool>(2)?));
        let found = upgraded.query_row("SELECT seq, created_at, void FROM eventlog", [], row).unwrap();
        assert_eq!(found, (1, None, false));
        assert!(SqliteFile::open(&path, Mode::Read).is_ok());
    }

    #[test]
    fn a_place_that_takes_no_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        path_of(open_error(&dir.path().join("no/log.db"), Mode::Create), &["no/log.db", "directory has to exist"]);
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = open_error(&file.join("log.db"), Mode::Create);
        assert!(matches!(error, BackendOpenError::Create { .. }), "{error}");
        path_of(open_error(dir.path(), Mode::Create), &["can't open", "has to be a file"]);
        for mode in [Mode::Write, Mode::Read] {
            assert!(matches!(open_error(&dir.path().join("none.db"), mode), BackendOpenError::Missing { .. }));
        }
        assert!(!dir.path().join("none.db").exists());
    }

    #[test]
    fn a_file_that_was_replaced_is_not_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.db");
        let file = SqliteFile::open(&path, Mode::Create).unwrap();
        assert!(file.is_in_place());
        std::fs::rename(&path, dir.path().join("elsewhere.db")).unwrap();
        assert!(!file.is_in_place());
        std::fs::write(&path, "").unwrap();
        assert!(!file.is_in_place());
    }
}
