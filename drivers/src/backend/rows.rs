//! The rows of the log: the queries, and how an event is written and read. All run in the caller's transaction.

use std::sync::Arc;

use countersign_core::{BackendId, Event, PulledEvent, WireIds};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::log::{Draft, Note, PAGE_BYTES, PAGE_EVENTS, page_bytes};

const HEAD: &str = "SELECT ifnull(max(seq), 0) FROM eventlog";
const EVENT_AT: &str =
    "SELECT seq, parent, client, session, name, args, ordinal, commit_ordinal, last FROM eventlog WHERE seq = ?1";
const EVENTS_AFTER: &str = "
    SELECT seq, parent, client, session, name, args, ordinal, commit_ordinal, last, created_at, void
    FROM eventlog WHERE seq > ?1 ORDER BY seq";
const INSERT: &str = "
    INSERT INTO eventlog (seq, parent, client, session, name, args, ordinal, commit_ordinal, last, created_at, void)
    VALUES (:seq, :parent, :client, :session, :name, :args, :ordinal, :commit, :last, :created_at, :void)";
/// As JavaScript's `toISOString` writes it.
const NOW: &str = "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";

pub(super) fn identity(db: &Connection) -> rusqlite::Result<BackendId> {
    db.prepare_cached("SELECT identity FROM backend")?.query_row([], |row| row.get(0))
}

pub(super) fn head(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached(HEAD)?.query_row([], |row| unsigned(row, 0))
}

pub(super) fn event_at(db: &Connection, seq: u64) -> rusqlite::Result<Option<PulledEvent>> {
    db.prepare_cached(EVENT_AT)?.query_row([signed(seq)], pulled_event).optional()
}

pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<PulledEvent>> {
    db.prepare_cached(EVENTS_AFTER)?.query_map([0], pulled_event)?.collect()
}

pub(super) fn set_identity(db: &Connection, identity: &str) -> rusqlite::Result<()> {
    db.execute("UPDATE backend SET identity = ?1", [identity]).map(drop)
}

/// Answers how many there were.
pub(super) fn delete_after(db: &Connection, after: u64) -> rusqlite::Result<u64> {
    db.execute("DELETE FROM eventlog WHERE seq > ?1", [signed(after)]).map(|rows| rows as u64)
}

/// As many events as a page takes, and at least one; and what is known of them.
pub(super) fn page_after(db: &Connection, after: u64) -> rusqlite::Result<(Vec<PulledEvent>, Vec<Note>)> {
    let mut statement = db.prepare_cached(EVENTS_AFTER)?;
    let (mut events, mut notes) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    let noted = |row: &Row<'_>| Ok((pulled_event(row)?, Note { created_at: row.get(9)?, void: row.get(10)? }));
    for event in statement.query_map([signed(after)], noted)? {
        let (event, note) = event?;
        bytes += page_bytes(&event);
        if !events.is_empty() && bytes > PAGE_BYTES {
            break;
        }
        events.push(event);
        notes.push(note);
        if events.len() == PAGE_EVENTS {
            break;
        }
    }
    Ok((events, notes))
}

/// Whether the log holds exactly these events at exactly these positions.
pub(super) fn is_repetition(db: &Connection, head: u64, parent: u64, drafts: &[Draft]) -> rusqlite::Result<bool> {
    if parent >= head || head - parent < drafts.len() as u64 {
        return Ok(false);
    }
    for (seq, draft) in (parent + 1..).zip(drafts) {
        if !event_at(db, seq)?.is_some_and(|stored| draft.is(&stored)) {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn insert(db: &Connection, parent: u64, drafts: &[Draft]) -> rusqlite::Result<()> {
    let created_at: String = db.prepare_cached(NOW)?.query_row([], |row| row.get(0))?;
    let mut statement = db.prepare_cached(INSERT)?;
    for (parent, Draft { client, session, ids, event, void }) in (parent..).zip(drafts) {
        statement.execute(named_params! {
            ":seq": signed(parent + 1),
            ":parent": signed(parent),
            ":client": client,
            ":session": session,
            ":name": event.name,
            ":args": event.args,
            ":ordinal": ids.map(|ids| signed(ids.ordinal)),
            ":commit": ids.map(|ids| signed(ids.commit)),
            ":last": ids.map(|ids| ids.last),
            ":created_at": created_at,
            ":void": void,
        })?;
    }
    Ok(())
}

/// In the order of the columns that the queries above name.
fn pulled_event(row: &Row<'_>) -> rusqlite::Result<PulledEvent> {
    let ids = match row.get_ref(6)? {
        ValueRef::Null => None,
        _ => Some(WireIds { ordinal: unsigned(row, 6)?, commit: unsigned(row, 7)?, last: row.get(8)? }),
    };
    let event = Event { name: row.get(4)?, args: row.get(5)?, client_only: false };
    Ok(PulledEvent {
        seq: unsigned(row, 0)?,
        parent: unsigned(row, 1)?,
        client: row.get(2)?,
        session: row.get(3)?,
        ids,
        event: Arc::new(event),
    })
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// A position that SQLite has no number for is beyond every log: the largest number means the same.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
