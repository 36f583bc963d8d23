//! Quarantine: commits that left the log for good, with payload, cause and certainty. Nothing is ever dropped silently.
//!
//! A commit's row stays when its events leave (found confirmed after all), since its receipt stays as it settled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use countersign_core::{Certainty, CommitId, Event, EventId, OwnEvent, Quarantined, SessionId, SyncError, Time};
use rusqlite::{Connection, params};

use super::error::{Result, Trouble};
use super::eventlog::{int, nat};
use super::guards;
use crate::clock::system_time;

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
    /// Whether somebody has let go of its events. They may still be kept, out of sight, for as long as the backend could turn out to
    /// hold them.
    pub discarded: bool,
    /// The commit that its events were committed as again, if it is known to this store.
    pub retried: Option<CommitId>,
    /// As `retried`, whether or not that commit has been stored yet.
    #[serde(skip)]
    pub(crate) noted: Option<CommitId>,
    /// Whether it was made without a backend, where that was looked up: its receipt had settled before it failed.
    #[serde(skip)]
    pub(crate) local: bool,
    /// When it failed; serialised in milliseconds since 1970.
    #[serde(serialize_with = "milliseconds")]
    pub at: Option<SystemTime>,
}

impl QuarantineRow {
    /// Whether it has been decided what becomes of its events: they were discarded, or committed again.
    #[must_use]
    pub fn is_dealt_with(&self) -> bool {
        self.discarded || self.retried.is_some()
    }
}

/// Notes that a commit's receipt has failed, and puts its events into quarantine if they have left the log. What the receipt
/// settled with first stays: a commit that failed while it was queued may come into quarantine later. Comes before the transaction's
/// marks are set: those that stand say what had been stored.
pub(super) fn put(conn: &Connection, quarantined: &Quarantined, now: Time) -> Result<()> {
    let session = quarantined.commit.session.to_string();
    let ordinal = int(quarantined.commit.ordinal)?;
    let error = serde_json::to_string(&quarantined.error).map_err(|error| Trouble::defect(error.to_string()))?;
    conn.prepare_cached(
        "INSERT INTO countersign_quarantine (session, commit_ordinal, error, persisted, at)
         VALUES (?1, ?2, ?3, EXISTS (SELECT 1 FROM countersign_sessions WHERE session = ?1 AND mark >= ?2), ?4)
         ON CONFLICT (session, commit_ordinal) DO UPDATE SET persisted = excluded.persisted, acknowledged = 0",
    )?
    .execute(params![session, ordinal, error, int(now.0)?])?;
    let mut insert = conn.prepare_cached(
        "INSERT INTO countersign_quarantine_events (session, ordinal, commit_ordinal, last, name, args, client_only, guard)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (session, ordinal) DO NOTHING",
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
            event.client_only,
            own.guard.as_deref().map(guards::encode).transpose()?,
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
        "SELECT session, ordinal, commit_ordinal, last, name, args, client_only, guard FROM countersign_quarantine_events
         ORDER BY session, ordinal",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let own = own_event(row)?;
        events.entry(own.commit_id()).or_default().push(own);
    }
    let mut select = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM countersign_quarantine ORDER BY id"))?;
    let mut rows = select.query([])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        let mut row = read(row)?;
        row.quarantined.events = events.remove(&row.quarantined.commit).unwrap_or_default();
        list.push(row);
    }
    drop(rows);
    for row in &mut list {
        row.retried = known(conn, row.noted)?;
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
    let mut select =
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM countersign_quarantine WHERE session = ?1 AND commit_ordinal = ?2"))?;
    let mut rows = select.query(params![commit.session.to_string(), int(commit.ordinal)?])?;
    let Some(mut found) = rows.next()?.map(read).transpose()? else { return Ok(None) };
    drop(rows);
    found.retried = known(conn, found.noted)?;
    found.local = super::find::is_local(conn, commit.session)?;
    let mut select = conn.prepare_cached(
        "SELECT session, ordinal, commit_ordinal, last, name, args, client_only, guard FROM countersign_quarantine_events
         WHERE session = ?1 AND commit_ordinal = ?2 ORDER BY ordinal",
    )?;
    let mut rows = select.query(params![commit.session.to_string(), int(commit.ordinal)?])?;
    while let Some(row) = rows.next()? {
        found.quarantined.events.push(own_event(row)?);
    }
    Ok(Some(found))
}

/// Notes that somebody has seen it. Says whether there was something to acknowledge.
pub(super) fn acknowledge(conn: &Connection, commit: CommitId) -> Result<bool> {
    let changed = conn
        .prepare_cached("UPDATE countersign_quarantine SET acknowledged = 1 WHERE session = ?1 AND commit_ordinal = ?2")?
        .execute(params![commit.session.to_string(), int(commit.ordinal)?])?;
    Ok(changed > 0)
}

/// Lets go of a commit's events: they are deleted, unless the backend may turn out to hold them; then they are only put out of sight,
/// since they are what they would be recognised by.
pub(super) fn discard(conn: &Connection, commit: CommitId, certainty: Certainty) -> Result<()> {
    let key = params![commit.session.to_string(), int(commit.ordinal)?];
    conn.prepare_cached(
        "UPDATE countersign_quarantine SET acknowledged = 1, discarded = 1 WHERE session = ?1 AND commit_ordinal = ?2",
    )?
    .execute(key)?;
    if certainty != Certainty::Unknown {
        conn.prepare_cached("DELETE FROM countersign_quarantine_events WHERE session = ?1 AND commit_ordinal = ?2")?
            .execute(key)?;
    }
    Ok(())
}

/// Notes that a commit's events are going to be committed again, as this one.
pub(super) fn set_retried(conn: &Connection, commit: CommitId, again: CommitId) -> Result<()> {
    conn.prepare_cached(
        "UPDATE countersign_quarantine SET acknowledged = 1, retried = ?3 WHERE session = ?1 AND commit_ordinal = ?2",
    )?
    .execute(params![commit.session.to_string(), int(commit.ordinal)?, again.to_string()])?;
    Ok(())
}

/// How many commits there are, and how many of them nobody has acknowledged.
pub(super) fn counts(conn: &Connection) -> Result<(u64, u64)> {
    let mut select = conn.prepare_cached("SELECT count(*), coalesce(sum(acknowledged = 0), 0) FROM countersign_quarantine")?;
    let (all, open): (i64, i64) = select.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((nat(all)?, nat(open)?))
}

const COLUMNS: &str = "session, commit_ordinal, error, persisted, acknowledged, discarded, retried, at";

/// A row, without its events, and with whatever it was noted to have been retried as.
fn read(row: &rusqlite::Row<'_>) -> Result<QuarantineRow> {
    let commit = CommitId { session: session(&row.get::<_, String>(0)?)?, ordinal: nat(row.get(1)?)? };
    let error = decode(&row.get::<_, String>(2)?)?;
    let retried: Option<String> = row.get(6)?;
    let retried =
        retried.map(|text| text.parse().map_err(|_| Trouble::damaged(format!("the quarantine names no commit: {text}"))));
    Ok(QuarantineRow {
        quarantined: Quarantined { commit, events: Vec::new(), error },
        persisted: row.get(3)?,
        acknowledged: row.get(4)?,
        discarded: row.get(5)?,
        retried: None,
        noted: retried.transpose()?,
        local: false,
        at: row.get::<_, Option<i64>>(7)?.map(nat).transpose()?.map(|at| system_time(Time(at))),
    })
}

/// A retry that is noted before it is stored, and then was not, has not happened.
fn known(conn: &Connection, again: Option<CommitId>) -> Result<Option<CommitId>> {
    let Some(again) = again else { return Ok(None) };
    let mark = super::find::mark(conn, again.session)?;
    Ok(Some(again).filter(|again| again.ordinal <= mark))
}

fn own_event(row: &rusqlite::Row<'_>) -> Result<OwnEvent> {
    let id = EventId { session: session(&row.get::<_, String>(0)?)?, ordinal: nat(row.get(1)?)? };
    let event =
        Event { name: Arc::from(row.get::<_, String>(4)?), args: Arc::from(row.get::<_, String>(5)?), client_only: row.get(6)? };
    Ok(OwnEvent { id, commit: nat(row.get(2)?)?, last: row.get(3)?, guard: guards::read(row, 7)?, event: Arc::new(event) })
}

fn session(text: &str) -> Result<SessionId> {
    text.parse().map_err(|_| Trouble::damaged(format!("the quarantine names no session: {text}")))
}

fn milliseconds<S: serde::Serializer>(at: &Option<SystemTime>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    let since = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    serde::Serialize::serialize(&since.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)), serializer)
}

fn decode(text: &str) -> Result<SyncError> {
    serde_json::from_str(text)
        .map_err(|error| Trouble::damaged(format!("the cause of a quarantined commit can't be read: {error}")))
}
