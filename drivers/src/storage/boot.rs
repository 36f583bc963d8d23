//! What the machine starts from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_core::{Boot, ClientId, CommitId, Entry, Heads, Pos, SessionId};
use rusqlite::Connection;

use super::error::Result;
use super::eventlog::{Eventlog, Row};
use super::ledger::Ledger;
use super::replay::PAGE;
use super::{find, quarantine, skips, times};

/// Reads it, in one view of the file.
pub(super) fn boot(conn: &Connection, log: &mut Eventlog, client: &ClientId) -> Result<Boot> {
    let view = conn.unchecked_transaction()?;
    let Ledger { number, heads, .. } = Ledger::read(conn)?;
    let settled_head = log.last_until(conn, heads.settled)?.map_or(Pos::ROOT, |row| row.seq.pos);
    let anchor = log
        .last_until(conn, Pos::synced(heads.upstream))?
        .filter(|row| row.seq.pos == Pos::synced(heads.upstream) && heads.upstream > 0)
        .map(|row| row.into_entry(&heads));
    let pending = entries_after(conn, log, &heads, heads.settled)?;
    let partly_confirmed = partly_confirmed(conn, log, &pending)?;
    let failed = settled(conn, &pending)?;
    let uncertain = quarantine::uncertain(conn)?;
    let held = !skips::held_after(conn, heads.settled)?.is_empty();
    let pending_since = times::of_all(conn, &pending)?;
    view.commit()?;
    let client = Arc::clone(client);
    Ok(Boot { client, number, heads, settled_head, anchor, pending, partly_confirmed, failed, uncertain, held, pending_since })
}

/// Where the confirmed events of pending commits stand. Of each session only the first that is pending can be split: the backend has its
/// events in order. It need not be the first of all, where the file was set back to before others were taken out.
fn partly_confirmed(conn: &Connection, log: &mut Eventlog, pending: &[Entry]) -> Result<Vec<(CommitId, Vec<u64>)>> {
    let mut sessions: BTreeSet<SessionId> = BTreeSet::new();
    let mut partly = Vec::new();
    for entry in pending.iter().filter(|entry| !entry.event.client_only) {
        let Some(commit) = entry.commit_id().filter(|commit| sessions.insert(commit.session)) else { continue };
        let rows = log.of_commit(conn, commit)?;
        let before = rows.iter().map(|row| row.seq.pos).filter(|pos| *pos < entry.seq.pos && !pos.is_client_only());
        let positions: Vec<u64> = before.map(|pos| pos.global).collect();
        if !positions.is_empty() {
            partly.push((commit, positions));
        }
    }
    Ok(partly)
}

/// The pending commits whose receipts have settled while their events stayed in the queue: they have failed, or were made without a
/// backend.
fn settled(conn: &Connection, pending: &[Entry]) -> Result<Vec<CommitId>> {
    let failed = quarantine::settled(conn)?;
    let mut local: BTreeMap<SessionId, bool> = BTreeMap::new();
    let mut settled: Vec<CommitId> = Vec::new();
    for commit in pending.iter().filter_map(Entry::commit_id) {
        if settled.last() == Some(&commit) {
            continue;
        }
        let is_local = match local.get(&commit.session) {
            Some(is_local) => *is_local,
            None => *local.entry(commit.session).or_insert(find::is_local(conn, commit.session)?),
        };
        if is_local || failed.contains(&commit) {
            settled.push(commit);
        }
    }
    Ok(settled)
}

/// All entries after a place.
pub(super) fn entries_after(conn: &Connection, log: &mut Eventlog, heads: &Heads, after: Pos) -> Result<Vec<Entry>> {
    Ok(rows_after(conn, log, after)?.into_iter().map(|row| row.into_entry(heads)).collect())
}

/// All rows after a place.
pub(super) fn rows_after(conn: &Connection, log: &mut Eventlog, after: Pos) -> Result<Vec<Row>> {
    let mut after = after;
    let mut rows = Vec::new();
    loop {
        let page = log.page(conn, Some(after), PAGE)?;
        let Some(last) = page.last() else { return Ok(rows) };
        after = last.seq.pos;
        rows.extend(page);
    }
}
