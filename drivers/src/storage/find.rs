//! Finds a commit again by its identity, whenever it was made.

use countersign_core::{CommitId, Entry, SessionId, Standing};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::Result;
use super::eventlog::{Eventlog, int, nat};
use super::ledger::Ledger;
use super::quarantine::{self, QuarantineRow};

/// What the file knows about a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// It stands in the log: it was persisted (`leader_sync` is Ok).
    InLog {
        /// Its entries, in order; each says where and how firmly it stands.
        entries: Vec<Entry>,
        /// Whether the backend has every synced entry, by its acknowledgement or by a pull. So it is for a commit that has none.
        accepted: bool,
        /// Whether it was made while the store had no backend: that stage does not apply to it, whatever becomes of its events later.
        local: bool,
        /// What its receipt settled with, and those of its events that left the log, if a part of it is or was in quarantine.
        quarantined: Option<QuarantineRow>,
    },
    /// It left the log, or was never in it.
    Quarantined(QuarantineRow),
    /// It was decided and has no event: an empty commit.
    DecidedWithoutEvents,
    /// It was decided before the history was forgotten, by the policy `reset`; more is not known.
    Forgotten,
    /// This file has never heard of it.
    Unknown,
}

impl Found {
    /// Whether every synced event of the commit has its place in the global order. Not so for a commit that has none.
    #[must_use]
    pub fn confirmed(&self) -> bool {
        let Self::InLog { entries, accepted, quarantined, .. } = self else { return false };
        let synced = entries.iter().any(|entry| !entry.event.client_only && entry.standing != Standing::Local);
        let rest = quarantined.iter().flat_map(|row| &row.quarantined.events).any(|own| !own.event.client_only);
        !rest && synced && *accepted
    }
}

/// Looks a commit up.
pub(super) fn find(conn: &Connection, log: &mut Eventlog, commit: CommitId) -> Result<Found> {
    let heads = Ledger::read(conn)?.heads;
    let rows = log.of_commit(conn, commit)?;
    let quarantined = quarantine::find(conn, commit)?;
    if !rows.is_empty() {
        let entries: Vec<Entry> = rows.into_iter().map(|row| row.into_entry(&heads)).collect();
        let local = is_local(conn, commit.session)?;
        // What was pending when the store was opened without its backend stands as if it never were to leave.
        let pending = |entry: &Entry| entry.standing == Standing::Pending || (entry.standing == Standing::Local && !local);
        let waits = |entry: &Entry| pending(entry) && !entry.event.client_only && !entry.is_accepted(&heads);
        let accepted = !entries.iter().any(waits);
        return Ok(Found::InLog { entries, accepted, local, quarantined });
    }
    if let Some(row) = quarantined {
        return Ok(Found::Quarantined(row));
    }
    let marks = conn
        .prepare_cached("SELECT mark, wiped FROM countersign_sessions WHERE session = ?1")?
        .query_row([commit.session.to_string()], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    let Some((mark, wiped)) = marks else { return Ok(Found::Unknown) };
    Ok(if commit.ordinal <= nat(wiped)? && commit.ordinal > 0 {
        Found::Forgotten
    } else if commit.ordinal <= nat(mark)? && commit.ordinal > 0 {
        Found::DecidedWithoutEvents
    } else {
        Found::Unknown
    })
}

/// Up to where every commit of the session has been decided.
pub(super) fn mark(conn: &Connection, session: SessionId) -> Result<u64> {
    let mut select = conn.prepare_cached("SELECT mark FROM countersign_sessions WHERE session = ?1")?;
    select.query_row([session.to_string()], |row| row.get(0)).optional()?.map_or(Ok(0), nat)
}

/// Whether the session's commits were made without a backend. A session is never used again, so all of them were or none.
pub(super) fn is_local(conn: &Connection, session: SessionId) -> Result<bool> {
    let mut select = conn.prepare_cached("SELECT local FROM countersign_sessions WHERE session = ?1")?;
    Ok(select.query_row([session.to_string()], |row| row.get(0)).optional()?.unwrap_or(false))
}

/// Notes that every commit of the session up to here has been decided; `local` if there is no backend.
pub(super) fn set_mark(conn: &Connection, session: SessionId, mark: u64, local: bool) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO countersign_sessions (session, mark, local) VALUES (?1, ?2, ?3)
         ON CONFLICT (session) DO UPDATE SET mark = max(mark, excluded.mark)",
    )?
    .execute(params![session.to_string(), int(mark)?, local])?;
    Ok(())
}

/// Notes that what was decided up to now can no longer be looked up.
pub(super) fn forget_all(conn: &Connection) -> Result<()> {
    conn.execute("UPDATE countersign_sessions SET wiped = mark", [])?;
    Ok(())
}
