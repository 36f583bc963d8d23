//! Applies one entry, and judges it: done, unknown to the schema, or not applicable anywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::{CommitId, Event, Guard, Poison, Pos, StorageClass, StorageFailure};
use rusqlite::Connection;

use super::error::Trouble;
use crate::state::{ApplyError, Kept, Tables};

/// Why an entry without effect has none, if the schema does not know its name.
pub(super) const UNKNOWN_EVENT: &str = "unknown event";

/// How an entry was applied.
#[derive(Debug)]
pub(super) enum Judged {
    Applied,
    Unknown,
    Poisoned(Poison),
}

/// Why a transaction goes no further.
#[derive(Debug)]
pub(super) enum Halt {
    /// It stands on another transaction than the file's last.
    Stale,
    /// These commits can't be applied.
    Refused(Vec<(CommitId, Poison)>),
    /// Something can't be applied, and there is no savepoint to go back to: once more, with [`Care`].
    Careful,
    /// The event at this place has ended the transaction by itself (`OR ROLLBACK`): once more, without it.
    Ended(Pos, Poison),
    /// Storage is in trouble.
    Trouble(Trouble),
}

impl<E: Into<Trouble>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Trouble(error.into())
    }
}

/// How carefully a transaction is carried out. Nearly all go well without; a savepoint for each commit is only paid for in the
/// second attempt at one that doesn't.
#[derive(Debug, Default)]
pub(super) struct Care {
    pub(super) savepoints: bool,
    /// Events that end the transaction when they are applied.
    pub(super) barred: BTreeMap<Pos, Poison>,
}

impl Care {
    /// Takes the lesson of a failed attempt. Says whether another one is due.
    pub(super) fn learn(&mut self, halt: Halt) -> Result<(), Halt> {
        match halt {
            Halt::Careful if !self.savepoints => self.savepoints = true,
            Halt::Ended(at, poison) if !self.barred.contains_key(&at) => {
                self.savepoints = true;
                self.barred.insert(at, poison);
            }
            halt => return Err(halt),
        }
        Ok(())
    }
}

/// Applies one event. Deferred foreign keys have to hold after each event, not only after each commit: other clients don't learn
/// where a commit ends, and have to come to the same judgement.
pub(super) fn apply<'c>(
    kept: &mut Kept<'c>,
    tables: &'c Tables,
    care: &Care,
    at: Pos,
    event: &Event,
    mark: Option<i64>,
) -> Result<Judged, Halt> {
    if let Some(poison) = care.barred.get(&at) {
        return Ok(Judged::Poisoned(poison.clone()));
    }
    let conn = kept.conn();
    let applied = tables.apply_next(kept, event, mark).and_then(|()| tables.check_deferred(conn, &event.name));
    let ended = conn.is_autocommit();
    match applied {
        // The disk's or the memory's fault has a class of its own; what ends a transaction otherwise is the event.
        Err(ApplyError::Trouble(failure)) if !ended || failure.class != StorageClass::Other => {
            Err(Halt::Trouble(Trouble(failure)))
        }
        Err(ApplyError::Trouble(StorageFailure { message, .. })) => {
            Err(Halt::Ended(at, Poison::Materialise { event: Arc::clone(&event.name), message }))
        }
        Err(ApplyError::Poison(poison)) if ended => Err(Halt::Ended(at, poison)),
        Err(ApplyError::Poison(poison)) => Ok(Judged::Poisoned(poison)),
        Err(ApplyError::UnknownEvent) => Ok(Judged::Unknown),
        Ok(()) => Ok(Judged::Applied),
    }
}

/// Whether a commit's guard holds just now; why not, if it doesn't.
pub(super) fn holds(conn: &Connection, tables: &Tables, guard: &Guard) -> Result<Option<Poison>, Halt> {
    match tables.check_guard(conn, guard) {
        Ok(()) => Ok(None),
        Err(unmet) => unmet.poison(guard).map(Some).map_err(|failure| Halt::Trouble(Trouble(failure))),
    }
}

/// What a poisoned entry's skip says.
pub(super) fn reason(poison: &Poison) -> Arc<str> {
    match poison {
        Poison::Materialise { message, .. } => Arc::clone(message),
        Poison::Conflict { guard, message } => Arc::from(format!("guard {guard}: {message}")),
    }
}

/// A savepoint, where care is taken.
pub(super) fn savepoint(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached("SAVEPOINT countersign")?.execute([])?;
    Ok(())
}

/// Keeps what was done since the savepoint.
pub(super) fn keep(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached("RELEASE countersign")?.execute([])?;
    Ok(())
}

/// Drops what was done since the savepoint.
pub(super) fn drop_since(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached("ROLLBACK TO countersign")?.execute([])?;
    keep(conn)
}
