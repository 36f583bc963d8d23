//! Quarantine: commits that left the log for good, with payload, cause and certainty. Nothing is ever dropped silently.
//!
//! A commit's row stays when its events leave (found confirmed after all), since its receipt stays as it settled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_core::{Certainty, CommitId, Event, EventId, OwnEvent, Quarantined, SessionId, SyncError};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::{Result, Trouble};
use super::eventlog::{int, nat};

/// A commit in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct QuarantineRow {
    /// The commit, its events that are still in quarantine, and how its backend stage failed. No events: all of them have been
    /// found confirmed after all.
    #[serde(flatten)]
    pub quarantined: Quarantined,
    /// Whether it had been stored before it failed: then its leader stage is Ok, else it failed as the backend stage did.
    pub persisted: bool,
    /// Whether somebody has seen it.
    pub acknowledged: bool,
}

/// Notes that a commit's receipt has failed, and puts its events into quarantine if they have left the log. What the receipt
/// settled with first stays: a commit that failed while it was queued may come into quarantine later. Comes before the transaction's
/// marks are set: those that stand say what had been stored.
pub(super) fn put(conn: &Connection, quarantined: &Quarantined) -> Result<()> {
    let session = quarantined.commit.session.to_string();
    let ordinal = int(quarantined.commit.ordinal)?;
    let error = serde_json::to_string(&quarantined.error).map_err(|error| Trouble::defect(error.to_string()))?;
    conn.prepare_cached(
        "INSERT INTO countersign_quarantine (session, commit_ordinal, error, persisted)
         VALUES (?1, ?2, ?3, EXISTS (SELECT 1 FROM countersign_sessions WHERE session = ?1 AND mark >= ?2))
         ON CONFLICT (session, commit_ordinal) DO UPDATE SET persisted = excluded.persisted, acknowledged = 0",
    )?
    .execute(params![session, ordinal, error])?;
    let mut insert = conn.prepare_cached(
        "INSERT INTO countersign_quarantine_events (session, ordinal, commit_ordinal, last, name, args, client_only)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (session, ordinal) DO NOTHING",
    )?;
    for own in &quarantined.events {
        let event = &own.event;
        insert.execute(params![
            own.id.session.to_string(),
            int(own.id.ordinal)?,
            int(own.commit)?,
            own.last,
            &*event.name,
            &*event.args,
            event.client_only
        ])?;
    }
    Ok(())
}

/// What is in quarantine now was meant for a backend that the store is leaving: the next one's events are others.
pub(super) fn forget_backend(conn: &Connection) -> Result<()> {
    conn.execute("UPDATE countersign_quarantine SET forgotten = 1", [])?;
    Ok(())
}

/// Takes one event out: it was found confirmed after all.
pub(super) fn release(conn: &Connection, id: EventId) -> Result<()> {
    conn.prepare_cached("DELETE FROM countersign_quarantine_events WHERE session = ?1 AND ordinal = ?2")?
        .execute(params![id.session.to_string(), int(id.ordinal)?])?;
    Ok(())
}

/// Everything, oldest first.
pub(super) fn list(conn: &Connection) -> Result<Vec<QuarantineRow>> {
    let mut events: BTreeMap<CommitId, Vec<OwnEvent>> = BTreeMap::new();
    let mut select = conn.prepare_cached(
        "SELECT session, ordinal, commit_ordinal, last, name, args, client_only FROM countersign_quarantine_events
         ORDER BY session, ordinal",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let own = own_event(row)?;
        events.entry(own.commit_id()).or_default().push(own);
    }
    let mut select = conn.prepare_cached(
        "SELECT session, commit_ordinal, error, persisted, acknowledged FROM countersign_quarantine ORDER BY id",
    )?;
    let mut rows = select.query([])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        let commit = CommitId { session: session(&row.get::<_, String>(0)?)?, ordinal: nat(row.get(1)?)? };
        let error = decode(&row.get::<_, String>(2)?)?;
        let events = events.remove(&commit).unwrap_or_default();
        list.push(QuarantineRow {
            quarantined: Quarantined { commit, events, error },
            persisted: row.get(3)?,
            acknowledged: row.get(4)?,
        });
    }
    Ok(list)
}

/// Those that the backend may still turn out to hold, oldest first.
pub(super) fn uncertain(conn: &Connection) -> Result<Vec<Quarantined>> {
    let mut select = conn.prepare_cached("SELECT session, commit_ordinal FROM countersign_quarantine WHERE forgotten = 1")?;
    let mut rows = select.query([])?;
    let mut forgotten = BTreeSet::new();
    while let Some(row) = rows.next()? {
        forgotten.insert(CommitId { session: session(&row.get::<_, String>(0)?)?, ordinal: nat(row.get(1)?)? });
    }
    let list = list(conn)?.into_iter().map(|row| row.quarantined);
    let may_be_there =
        |q: &Quarantined| !q.events.is_empty() && q.error.certainty() == Certainty::Unknown && !forgotten.contains(&q.commit);
    Ok(list.filter(may_be_there).collect())
}

/// The commits whose receipts have failed.
pub(super) fn settled(conn: &Connection) -> Result<BTreeSet<CommitId>> {
    let mut select = conn.prepare_cached("SELECT session, commit_ordinal FROM countersign_quarantine")?;
    let mut rows = select.query([])?;
    let mut settled = BTreeSet::new();
    while let Some(row) = rows.next()? {
        settled.insert(CommitId { session: session(&row.get::<_, String>(0)?)?, ordinal: nat(row.get(1)?)? });
    }
    Ok(settled)
}

/// One commit.
pub(super) fn find(conn: &Connection, commit: CommitId) -> Result<Option<QuarantineRow>> {
    let key = params![commit.session.to_string(), int(commit.ordinal)?];
    let found = conn
        .prepare_cached(
            "SELECT error, persisted, acknowledged FROM countersign_quarantine WHERE session = ?1 AND commit_ordinal = ?2",
        )?
        .query_row(key, |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((error, persisted, acknowledged)) = found else { return Ok(None) };
    let mut select = conn.prepare_cached(
        "SELECT session, ordinal, commit_ordinal, last, name, args, client_only FROM countersign_quarantine_events
         WHERE session = ?1 AND commit_ordinal = ?2 ORDER BY ordinal",
    )?;
    let mut rows = select.query(params![commit.session.to_string(), int(commit.ordinal)?])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(own_event(row)?);
    }
    Ok(Some(QuarantineRow { quarantined: Quarantined { commit, events, error: decode(&error)? }, persisted, acknowledged }))
}

/// Notes that somebody has seen it. Says whether there was something to acknowledge.
#[cfg(test)]
pub(super) fn acknowledge(conn: &Connection, commit: CommitId) -> Result<bool> {
    let changed = conn
        .prepare_cached("UPDATE countersign_quarantine SET acknowledged = 1 WHERE session = ?1 AND commit_ordinal = ?2")?
        .execute(params![commit.session.to_string(), int(commit.ordinal)?])?;
    Ok(changed > 0)
}

/// How many commits there are, and how many of them nobody has acknowledged.
pub(super) fn counts(conn: &Connection) -> Result<(u64, u64)> {
    let mut select = conn.prepare_cached("SELECT count(*), coalesce(sum(acknowledged = 0), 0) FROM countersign_quarantine")?;
    let (all, open): (i64, i64) = select.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((nat(all)?, nat(open)?))
}

fn own_event(row: &rusqlite::Row<'_>) -> Result<OwnEvent> {
    let id = EventId { session: session(&row.get::<_, String>(0)?)?, ordinal: nat(row.get(1)?)? };
    let event =
        Event { name: Arc::from(row.get::<_, String>(4)?), args: Arc::from(row.get::<_, String>(5)?), client_only: row.get(6)? };
    Ok(OwnEvent { id, commit: nat(row.get(2)?)?, last: row.get(3)?, event: Arc::new(event) })
}

fn session(text: &str) -> Result<SessionId> {
    text.parse().map_err(|_| Trouble::damaged(format!("the quarantine names no session: {text}")))
}

fn decode(text: &str) -> Result<SyncError> {
    serde_json::from_str(text)
        .map_err(|error| Trouble::damaged(format!("the cause of a quarantined commit can't be read: {error}")))
}
