//! Storage: the one SQLite file of a store, with eventlog, state, heads, identities, undo, quarantine and settings.
//!
//! - State equals the replayed eventlog, with the stored skips, at every commit point (S1): both are in one transaction.
//! - One order of the machine is one SQLite transaction, all or nothing, on top of the one before (S2).
//! - What is answered `Committed` survives what [`Durability`] says (R3).
//! - One writer a store, whatever the process; readers take no lock.

mod apply;
mod boot;
mod check;
mod error;
mod eventlog;
mod fault;
mod find;
mod format;
mod ledger;
mod lock;
mod materialise;
mod open;
mod quarantine;
mod reader;
mod replay;
mod settings;
mod snapshot;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use countersign_core::{ClientId, CommitId, Skip, StorageFailure};
use rusqlite::Connection;

pub use error::{OpenError, ReadError};
pub use find::Found;
pub use lock::Writer;
pub(crate) use open::{OpenReport, Options};
pub use quarantine::QuarantineRow;
pub use reader::{LogRow, LogState, Reader, Rows, Status};
pub use settings::{Settings, TokenPlace};

use crate::state::{Schema, Tables};
use error::{Result, Trouble};
use eventlog::Eventlog;
pub(crate) use lock::{LockError, StoreLock};

/// Which crash an acknowledged commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Loss of power: each transaction is synced to the medium before it is acknowledged.
    #[default]
    Power,
    /// The death of the process (`kill -9`): the operating system has it; a loss of power may take the newest transactions.
    Process,
}

impl Durability {
    /// In lower case: `power` or `process`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Process => "process",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Power, Self::Process].into_iter().find(|durability| durability.name() == name)
    }
}

/// How far the state has been built anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Events applied.
    pub done: u64,
    /// Events in the log.
    pub total: u64,
}

/// A store's file, opened for work. One for each file, on the storage lane.
pub(crate) struct Storage {
    path: PathBuf,
    durability: Durability,
    size_limit: Option<u64>,
    schema: Schema,
    client: ClientId,
    /// Nothing after trouble that a new connection may cure.
    file: Option<OpenFile>,
    unsettled: Option<Unsettled>,
    /// Declared last: let go after the file is closed.
    _lock: StoreLock,
}

/// A transaction of which nobody knows whether it was committed.
struct Unsettled {
    number: u64,
    skipped: Vec<Skip>,
}

/// A connection to the file, and what is known of it.
struct OpenFile {
    conn: Connection,
    tables: Tables,
    log: Eventlog,
}

impl Storage {
    /// Looks a commit up.
    pub(crate) fn find(&mut self, commit: CommitId) -> std::result::Result<Found, StorageFailure> {
        self.read(|file| find::find(&file.conn, &mut file.log, commit))
    }

    /// Everything in quarantine, oldest first.
    #[cfg(test)]
    pub(crate) fn quarantine(&mut self) -> std::result::Result<Vec<QuarantineRow>, StorageFailure> {
        self.read(|file| quarantine::list(&file.conn))
    }

    /// Notes that somebody has seen why the commit failed. Says whether it is in quarantine.
    #[cfg(test)]
    pub(crate) fn acknowledge(&mut self, commit: CommitId) -> std::result::Result<bool, StorageFailure> {
        self.write_one(|file| quarantine::acknowledge(&file.conn, commit))
    }

    /// A setting.
    #[cfg(test)]
    pub(crate) fn setting(&mut self, key: &str) -> std::result::Result<Option<String>, StorageFailure> {
        self.read(|file| settings::get(&file.conn, key))
    }

    /// Sets a setting, or removes it.
    #[cfg(test)]
    pub(crate) fn set_setting(&mut self, key: &str, value: Option<&str>) -> std::result::Result<(), StorageFailure> {
        self.write_one(|file| settings::set(&file.conn, key, value))
    }

    /// Reads in one view of the file.
    fn read<T>(&mut self, read: impl FnOnce(&mut OpenFile) -> Result<T>) -> std::result::Result<T, StorageFailure> {
        self.inside("BEGIN", read)
    }

    #[cfg(test)]
    fn write_one<T>(&mut self, write: impl FnOnce(&mut OpenFile) -> Result<T>) -> std::result::Result<T, StorageFailure> {
        self.inside("BEGIN IMMEDIATE", write)
    }

    fn inside<T>(
        &mut self,
        begin: &str,
        work: impl FnOnce(&mut OpenFile) -> Result<T>,
    ) -> std::result::Result<T, StorageFailure> {
        let file = self.file()?;
        let run = |file: &mut OpenFile| {
            file.conn.execute_batch(begin)?;
            let value = work(file)?;
            file.conn.execute_batch("COMMIT")?;
            Ok(value)
        };
        run(file).map_err(|Trouble(failure)| {
            self.back_out(&failure);
            failure
        })
    }
}
