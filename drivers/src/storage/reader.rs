//! Reads a store's file, beside a running application or alone. Takes no lock, changes nothing.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_core::{ClientId, CommitId, Entry, Heads, Pos, Seq, Standing};
use rusqlite::Connection;
use serde_json::Value;

use super::error::{OpenError, ReadError, Result};
use super::eventlog::{self, Eventlog, nat};
use super::find::{self, Found};
use super::format::{self, FORMAT, Kind};
use super::ledger::Ledger;
use super::lock::{self, Writer};
use super::open::{identify, read_client};
use super::quarantine::{self, QuarantineRow};
use super::replay::PAGE;
use super::rows::{Rows, each_row};
use super::settings::{self, Settings};
use super::skips;
use super::syncing::Syncing;
use crate::state::{Guard, Schema};

/// A store's file, opened for reading only. Each call sees one transaction's state, the newest that is committed.
pub struct Reader {
    path: PathBuf,
    conn: Connection,
    guard: Guard,
    log: Eventlog,
}

/// Where a store stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The client that the file belongs to.
    pub client: ClientId,
    /// The file's format.
    pub format: i32,
    /// The version of the schema that the state was built by; nothing before the first opening.
    pub schema_version: Option<u32>,
    /// How many transactions there have been.
    pub transactions: u64,
    /// Confirmed up to where, pending from where, and the backend.
    pub heads: Heads,
    /// The last place in the log.
    pub head: Seq,
    /// Entries of the log. Counting reads all of it.
    pub entries: u64,
    /// Entries that still move: those for the backend, and client-only ones behind them.
    pub pending: u64,
    /// Entries without effect on the state.
    pub skipped: u64,
    /// Commits that are or were in quarantine.
    pub quarantined: u64,
    /// Those of them that nobody has acknowledged.
    pub unacknowledged: u64,
    /// Settings, by key.
    pub settings: Vec<(String, String)>,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRow {
    /// The entry.
    pub entry: Entry,
    /// How firmly it stands.
    pub state: LogState,
    /// Why it has no effect on the state, if so.
    pub skip: Option<Arc<str>>,
}

/// How firmly an entry stands, in words for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogState {
    /// In the global order.
    Confirmed,
    /// Waiting for the backend.
    Pending,
    /// Never leaves this client.
    Local,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl From<Standing> for LogState {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Confirmed => Self::Confirmed,
            Standing::Pending => Self::Pending,
            Standing::Local => Self::Local,
        }
    }
}

impl Reader {
    /// Opens a store for reading.
    ///
    /// # Errors
    /// If there is none, if it is of a newer format or something else, or can't be read.
    pub fn open(path: &Path) -> std::result::Result<Self, OpenError> {
        Self::open_file(path).map_err(OpenError::for_reading)
    }

    fn open_file(path: &Path) -> std::result::Result<Self, OpenError> {
        match path.metadata() {
            Ok(found) if found.is_dir() => {
                return Err(OpenError::NotAStore { path: path.to_owned(), message: Arc::from("a folder") });
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(OpenError::Missing { path: path.to_owned() });
            }
            Err(error) => return Err(OpenError::io(path, &error)),
        }
        let mut conn = format::connect_read_only(path).map_err(|error| OpenError::sqlite(path, &error))?;
        if identify(path, &conn)? == Kind::Empty {
            return Err(OpenError::NotAStore { path: path.to_owned(), message: Arc::from("an empty file") });
        }
        let client = read_client(&conn).map_err(|trouble| OpenError::trouble(path, trouble))?;
        let guard = Guard::install(&mut conn).map_err(|error| OpenError::sqlite(path, &error))?;
        Ok(Self { path: path.to_owned(), conn, guard, log: Eventlog::new(client) })
    }

    /// Where the file lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the store stands. Reads the whole log, to count.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn status(&mut self) -> std::result::Result<Status, ReadError> {
        self.view(|conn, log| {
            let ledger = Ledger::read(conn)?;
            let settled = ledger.heads.settled;
            let pending: i64 = conn.query_row(
                "SELECT count(*) FROM countersign_eventlog WHERE (global, client) > (?1, ?2)",
                rusqlite::params![eventlog::int(settled.global)?, settled.client],
                |row| row.get(0),
            )?;
            let (quarantined, unacknowledged) = quarantine::counts(conn)?;
            Ok(Status {
                client: read_client(conn)?,
                format: FORMAT,
                schema_version: conn
                    .query_row("SELECT schema_version FROM countersign_identity WHERE id = 1", [], |row| row.get(0))?,
                transactions: ledger.number,
                head: log.last(conn)?.map_or(Seq::ROOT, |row| row.seq),
                heads: ledger.heads,
                entries: eventlog::count(conn)?,
                pending: nat(pending)?,
                skipped: skips::count(conn)?,
                quarantined,
                unacknowledged,
                settings: settings::all(conn)?,
            })
        })
    }

    /// The entries after a place, in order, `limit` at most. What is pending may be renumbered between two calls; to see the whole
    /// log as it was at one moment, use [`Self::each`].
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn log(&mut self, after: Pos, limit: usize) -> std::result::Result<Vec<LogRow>, ReadError> {
        self.view(|conn, log| {
            let heads = Ledger::read(conn)?.heads;
            Ok(log.page(conn, Some(after), limit)?.into_iter().map(|row| log_row(row, &heads)).collect())
        })
    }

    /// Hands out all entries after a place, in order, as they were at one moment, until told to stop. In pages: bounded memory.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn each(&mut self, after: Pos, mut take: impl FnMut(LogRow) -> ControlFlow<()>) -> std::result::Result<(), ReadError> {
        self.view(|conn, log| {
            let heads = Ledger::read(conn)?.heads;
            let mut after = after;
            loop {
                let page = log.page(conn, Some(after), PAGE)?;
                let Some(last) = page.last() else { return Ok(()) };
                after = last.seq.pos;
                for row in page {
                    if take(log_row(row, &heads)).is_break() {
                        return Ok(());
                    }
                }
            }
        })
    }

    /// Looks a commit up.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn find(&mut self, commit: CommitId) -> std::result::Result<Found, ReadError> {
        self.view(|conn, log| find::find(conn, log, commit))
    }

    /// Everything in quarantine, oldest first.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn quarantine(&mut self) -> std::result::Result<Vec<QuarantineRow>, ReadError> {
        self.view(|conn, _| quarantine::list(conn))
    }

    /// The client that the file belongs to.
    #[must_use]
    pub fn client(&self) -> &ClientId {
        self.log.client()
    }

    /// Who has the store open for work just now.
    #[must_use]
    pub fn writer(&self) -> Option<Writer> {
        lock::writer(&self.path)
    }

    /// How the syncing of the store stands, as the process has said that has it open for work; nothing if nobody has, or it has not
    /// heard of the backend yet.
    #[must_use]
    pub fn syncing(&self) -> Option<Syncing> {
        lock::syncing(&self.path)
    }

    /// What [`crate::Store::init`] has remembered; `None` if the store was made by a program that opens it without.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn settings(&mut self) -> std::result::Result<Option<Settings>, ReadError> {
        self.view(|conn, _| settings::read(conn))
    }

    /// Checks the file against what must always hold; answers what does not, in words, and nothing if all is well. Reads all of it.
    ///
    /// - SQLite finds no damage.
    /// - The log is a chain, ascending, and the heads are in it.
    /// - Only what is pending can be undone.
    /// - The state equals a replay of the log by `schema`, which has to be the one that the store was last opened with.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn check(&mut self, schema: &Schema) -> std::result::Result<Vec<String>, ReadError> {
        self.view(|conn, log| super::check::check(conn, log, schema))
    }

    /// A setting.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn setting(&mut self, key: &str) -> std::result::Result<Option<String>, ReadError> {
        self.view(|conn, _| settings::get(conn, key))
    }

    /// Runs a query on the state tables. Integers and reals become numbers, text becomes text, NULL null, a blob the text of
    /// its SQL literal (`x'00ff'`), and a real that JSON has no number for its name (`Infinity`).
    ///
    /// # Errors
    /// If SQLite doesn't take it, or it would do more than read.
    pub fn query(&mut self, sql: &str) -> std::result::Result<Rows, ReadError> {
        let mut found = Rows::default();
        found.columns = self.query_each(sql, |_, values| {
            found.rows.push(values);
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// As [`Self::query`], one row at a time, with the columns' names, until told to stop. Answers the columns' names.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn query_each(
        &mut self,
        sql: &str,
        take: impl FnMut(&[String], Vec<Value>) -> ControlFlow<()>,
    ) -> std::result::Result<Vec<String>, ReadError> {
        let Self { conn, guard, .. } = self;
        let entered = guard.enter_query();
        let columns = each_row(conn, sql, take);
        drop(entered);
        match (columns, guard.take_denied()) {
            (Err(_), Some(action)) => Err(ReadError::NotReadOnly { action }),
            (columns, _) => columns,
        }
    }

    pub(super) fn view<T>(
        &mut self,
        read: impl FnOnce(&Connection, &mut Eventlog) -> Result<T>,
    ) -> std::result::Result<T, ReadError> {
        let view = self.conn.unchecked_transaction()?;
        let value = read(&view, &mut self.log)?;
        view.commit()?;
        Ok(value)
    }
}

fn log_row(row: eventlog::Row, heads: &Heads) -> LogRow {
    let skip = row.skip.clone();
    let entry = row.into_entry(heads);
    LogRow { state: entry.standing.into(), entry, skip }
}
