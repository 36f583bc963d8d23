//! Builds the state anew from the eventlog.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_core::{Pos, Skip};
use rusqlite::Connection;

use super::apply::{self, Care, Halt, Judged, UNKNOWN_EVENT};
use super::eventlog::{self, Eventlog, Row};
use super::ledger::Ledger;
use super::skips;
use crate::state::{Kept, Tables};

/// Rows read at once: bounds memory.
pub(super) const PAGE: usize = 1_000;

/// Applies the whole eventlog to empty state tables, with undo for what is pending. Never refuses: what can't be applied is
/// skipped, and the skip stored. A pending entry is judged anew, one that doesn't move any more only if skips are lifted, and one that is
/// held stays so: it is not judged before all of the backend's log is here.
///
/// Answers the skips of what was judged, and tells after each page how many entries are done.
pub(super) fn replay(
    conn: &Connection,
    tables: &Tables,
    log: &mut Eventlog,
    ledger: &mut Ledger,
    care: &Care,
    lift: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Skip>, Halt> {
    let held = skips::held_after(conn, ledger.heads.settled)?;
    let mut skips = Vec::new();
    let (mut after, mut done) = (None, 0);
    loop {
        let page = log.page(conn, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(skips) };
        after = Some(last.seq.pos);
        done += page.len() as u64;
        let judge = |row: &Row| lift || row.skip.is_none() || row.seq.pos > ledger.heads.settled;
        let page: Vec<Row> = page.into_iter().filter(judge).collect();
        apply::savepoint(conn)?;
        let marked = ledger.mark;
        match replay_page(conn, tables, ledger, care, (&page, &held), false) {
            Ok(judged) => {
                apply::keep(conn)?;
                skips.extend(judged);
            }
            Err(Halt::Careful) => {
                apply::drop_since(conn)?;
                ledger.mark = marked;
                skips.extend(replay_page(conn, tables, ledger, care, (&page, &held), true)?);
            }
            Err(halt) => return Err(halt),
        }
        progress(done);
    }
}

fn replay_page(
    conn: &Connection,
    tables: &Tables,
    ledger: &mut Ledger,
    care: &Care,
    (page, held): (&[Row], &BTreeSet<Pos>),
    savepoints: bool,
) -> Result<Vec<Skip>, Halt> {
    let mut skips = Vec::new();
    let mut kept = Kept::on(conn);
    for row in page {
        let at = row.seq.pos;
        let mark = (at > ledger.heads.settled).then(|| {
            ledger.mark += 1;
            ledger.mark
        });
        if held.contains(&at) {
            eventlog::reapplied(conn, at, mark)?;
            skips.extend(row.skip.clone().map(|reason| Skip { at, reason }));
            continue;
        }
        if savepoints {
            apply::savepoint(conn)?;
        }
        let judged = apply::apply(&mut kept, tables, care, at, &row.event, mark)?;
        let skip = match judged {
            Judged::Applied => None,
            Judged::Unknown => Some(Arc::from(UNKNOWN_EVENT)),
            Judged::Poisoned(_) if !savepoints => return Err(Halt::Careful),
            Judged::Poisoned(poison) => {
                apply::drop_since(conn)?;
                apply::savepoint(conn)?;
                Some(apply::reason(&poison))
            }
        };
        if savepoints {
            apply::keep(conn)?;
        }
        // An old mark may stay on what doesn't move any more: it is among the forgotten.
        if mark.is_some() || skip != row.skip {
            eventlog::reapplied(conn, at, mark)?;
        }
        if skip != row.skip {
            skips::set(conn, at, skip.as_deref(), false)?;
        }
        skips.extend(skip.map(|reason| Skip { at, reason }));
    }
    Ok(skips)
}
