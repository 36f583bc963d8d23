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
mod guards;
mod ledger;
mod lock;
mod materialise;
mod open;
mod pending;
mod quarantine;
mod reader;
mod rebuild;
mod replay;
mod rows;
mod settings;
mod skips;
mod snapshot;
mod syncing;
#[cfg(test)]
mod tests;
mod times;

use std::path::PathBuf;

use countersign_core::{BackendId, Certainty, ClientId, CommitId, Skip, StorageClass, StorageFailure};
use rusqlite::Connection;

pub use error::{OpenError, ReadError};
pub use find::Found;
pub use lock::Writer;
pub(crate) use open::{OpenReport, Options};
pub use pending::PendingCommit;
pub use quarantine::QuarantineRow;
pub use reader::{LogRow, LogState, Reader, Status};
pub use rows::Rows;
pub use settings::{Settings, TokenPlace};
pub(crate) use syncing::ANOTHER_BACKEND;
pub use syncing::Syncing;

use crate::clock::Clock;
use crate::mark::Mark;
use crate::state::{Schema, Tables};
use error::{Result, Trouble};
use eventlog::Eventlog;
#[cfg(feature = "server")]
pub(crate) use lock::LockError;
pub(crate) use lock::StoreLock;

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
    clock: Clock,
    /// Whether there is no backend: nothing has to be undone then.
    local: bool,
    /// Nothing after trouble that a new connection may cure.
    file: Option<OpenFile>,
    unsettled: Option<Unsettled>,
    /// Which file it is.
    mark: Mark,
    /// Declared last: let go after the file is closed.
    lock: StoreLock,
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
    /// Whether there is no backend.
    local: bool,
}

impl Storage {
    /// Leaves word of the store's syncing for those who look from outside.
    pub(crate) fn say(&mut self, syncing: &Syncing) {
        if let Err(error) = self.lock.say(syncing) {
            // It only helps others to know; on a full disk everything else still works.
            tracing::debug!(%error, "the state of syncing could not be written into the lock file");
        }
    }

    /// Looks a commit up.
    #[cfg(test)]
    pub(crate) fn find(&mut self, commit: CommitId) -> std::result::Result<Found, StorageFailure> {
        self.find_with_backend(commit).map(|(found, _)| found)
    }

    /// Looks a commit up, and which backend the log is synced with.
    pub(crate) fn find_with_backend(
        &mut self,
        commit: CommitId,
    ) -> std::result::Result<(Found, Option<BackendId>), StorageFailure> {
        self.read(|file| {
            let found = find::find(&file.conn, &mut file.log, commit)?;
            Ok((found, ledger::Ledger::read(&file.conn)?.heads.backend))
        })
    }

    /// Everything in quarantine, oldest first.
    pub(crate) fn quarantine(&mut self) -> std::result::Result<Vec<QuarantineRow>, StorageFailure> {
        self.read(|file| quarantine::list(&file.conn))
    }

    /// Notes that somebody has seen why the commit failed. Says whether it is in quarantine.
    pub(crate) fn acknowledge(&mut self, commit: CommitId) -> std::result::Result<bool, StorageFailure> {
        self.write_one(|file| quarantine::acknowledge(&file.conn, commit))
    }

    /// Lets go of the events of a commit in quarantine.
    pub(crate) fn discard(&mut self, commit: CommitId, certainty: Certainty) -> std::result::Result<(), StorageFailure> {
        self.write_one(|file| quarantine::discard(&file.conn, commit, certainty))
    }

    /// Notes that the events of a commit in quarantine are going to be committed again, as this one.
    pub(crate) fn set_retried(&mut self, commit: CommitId, again: CommitId) -> std::result::Result<(), StorageFailure> {
        self.write_one(|file| quarantine::set_retried(&file.conn, commit, again))
    }

    /// How many entries have no effect on the state.
    pub(crate) fn skipped(&mut self) -> std::result::Result<u64, StorageFailure> {
        self.read(|file| skips::count(&file.conn))
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

    /// Writes something that is no business of the machine's. Not while it is unknown whether a transaction of the machine's was
    /// committed: what is written then could hide that.
    fn write_one<T>(&mut self, write: impl FnOnce(&mut OpenFile) -> Result<T>) -> std::result::Result<T, StorageFailure> {
        if self.unsettled.is_some() {
            let message = "what became of the last transaction has to be found out first: try again in a moment";
            return Err(error::failure(StorageClass::Busy, message));
        }
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
