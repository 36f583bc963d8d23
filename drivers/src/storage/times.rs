//! Since when commits have been stored, coarsely: for the ages of those that wait for the backend, over restarts.
//!
//! A row says that the session's commits from this one on were stored at that time or later. One row stands for what came within a
//! second, so a busy store writes few; and rows go when what they are about no longer waits.

use std::collections::BTreeMap;

use countersign_core::{CommitId, Entry, SessionId, Time};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::Result;
use super::eventlog::{int, nat};

/// What one row stands for, in microseconds.
const GRAIN: u64 = 1_000_000;

/// The session's commits up to `before` were stored earlier; those after it are stored now.
pub(super) fn note(conn: &Connection, session: SessionId, before: u64, now: Time) -> Result<()> {
    conn.prepare_cached(
        "INSERT OR IGNORE INTO countersign_times (session, commit_ordinal, at) SELECT ?1, ?2, ?3
         WHERE ?4 >= coalesce((SELECT at FROM countersign_times WHERE session = ?1 ORDER BY commit_ordinal DESC LIMIT 1), 0)",
    )?
    .execute(params![session.to_string(), int(before)? + 1, int(now.0)?, int(now.0.saturating_sub(GRAIN))?])?;
    Ok(())
}

/// Lets go of what is about commits that no longer wait, if the oldest that does is this one.
pub(super) fn forget(conn: &Connection, oldest: Option<CommitId>) -> Result<()> {
    let Some(oldest) = oldest else {
        conn.prepare_cached("DELETE FROM countersign_times")?.execute([])?;
        return Ok(());
    };
    if let Some(since) = since(conn, oldest)? {
        // Another session's row may stand for a commit that came up to a grain later than the row says.
        let before = int(since.0.saturating_sub(2 * GRAIN))?;
        conn.prepare_cached("DELETE FROM countersign_times WHERE at < ?1")?.execute([before])?;
    }
    Ok(())
}

/// Since when these have been stored: from which of them on, by index, no earlier than when.
pub(super) fn of_all(conn: &Connection, pending: &[Entry]) -> Result<Vec<(usize, Time)>> {
    let mut times: BTreeMap<(String, i64), i64> = BTreeMap::new();
    let mut select = conn.prepare_cached("SELECT session, commit_ordinal, at FROM countersign_times")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        times.insert((row.get(0)?, row.get(1)?), row.get(2)?);
    }
    let mut since: Vec<(usize, Time)> = Vec::new();
    let mut last = None;
    for (index, commit) in pending.iter().enumerate().filter_map(|(index, entry)| Some((index, entry.commit_id()?))) {
        if times.is_empty() || last.replace(commit) == Some(commit) {
            continue;
        }
        let session = commit.session.to_string();
        let (from, to) = ((session.clone(), 0), (session, int(commit.ordinal)?));
        let Some((_, &at)) = times.range(from..=to).next_back() else { continue };
        let at = Time(nat(at)?);
        if since.last().is_none_or(|&(_, before)| at > before) {
            since.push((index, at));
        }
    }
    Ok(since)
}

/// Since when the commit has been stored, at the earliest; `None` if it is not known.
pub(super) fn since(conn: &Connection, commit: CommitId) -> Result<Option<Time>> {
    let mut select = conn.prepare_cached(
        "SELECT at FROM countersign_times WHERE session = ?1 AND commit_ordinal <= ?2 ORDER BY commit_ordinal DESC LIMIT 1",
    )?;
    let at: Option<i64> =
        select.query_row(params![commit.session.to_string(), int(commit.ordinal)?], |row| row.get(0)).optional()?;
    Ok(at.map(nat).transpose()?.map(Time))
}
