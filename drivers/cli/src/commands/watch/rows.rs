//! What there is to watch.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use countersign::core::Seq;
use countersign::{CommitId, Reader, ReceiptStatus, Store};
use serde::Serialize;

use crate::age::milliseconds;
use crate::failure::Result;
use crate::stage::{ReceiptView, StageView};

/// Commits that are looked at, the oldest: a screen has not much more room, and each look reads them all.
const WATCHED: usize = 200;

/// A receipt that has not settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    pub(super) id: CommitId,
    state: &'static str,
    /// Where its first and its last event stand for now.
    pub(super) from: Seq,
    pub(super) to: Seq,
    pub(super) events: u64,
    /// How often it was renumbered.
    pub(super) rebases: u32,
    /// Since when it has been stored, in milliseconds since 1970.
    since: Option<u64>,
    #[serde(skip)]
    pub(super) at: Option<SystemTime>,
    /// How often what it waits for was tried in vain; known only to whoever has the store open.
    pub(super) attempt: Option<u32>,
    /// When it is tried again, in milliseconds since 1970.
    next_retry: Option<u64>,
    #[serde(skip)]
    pub(super) next: Option<SystemTime>,
    /// How many commits are ahead of it.
    pub(super) ahead: Option<usize>,
    /// Why it waits.
    pub(super) reason: String,
}

/// The oldest receipts that have not settled, and whether there are more.
pub(super) fn look(reader: &mut Reader, store: Option<&Store>, path: &Path) -> Result<(Vec<Row>, bool)> {
    let mut pending = reader.pending(WATCHED + 1)?;
    let more = pending.len() > WATCHED;
    pending.truncate(WATCHED);
    let beside = match store {
        Some(_) => String::new(),
        None => match reader.writer().map(|writer| writer.pid) {
            None => format!("nobody has the store open: `countersign sync {}` pushes it", path.display()),
            Some(None) => "another process has the store open, and knows why".to_owned(),
            Some(Some(pid)) => format!("process {pid} has the store open, and knows why"),
        },
    };
    let mut rows = Vec::with_capacity(pending.len());
    for (ahead, commit) in pending.into_iter().enumerate() {
        let status = match store {
            Some(store) => store.receipt(commit.commit)?.map(|receipt| receipt.status()),
            None => None,
        };
        if status.as_ref().is_some_and(|status| status.stage().is_none()) {
            // The file learns of it with the next pull.
            continue;
        }
        let reason = status.as_ref().and_then(ReceiptStatus::why).map_or_else(|| beside.clone(), ToString::to_string);
        let next = status.as_ref().and_then(ReceiptStatus::next_retry);
        rows.push(Row {
            id: commit.commit,
            state: "pending",
            from: commit.places.0,
            to: commit.places.1,
            events: commit.events,
            rebases: commit.rebases,
            since: commit.since.and_then(milliseconds),
            at: commit.since,
            attempt: status.as_ref().map(ReceiptStatus::attempt),
            next_retry: next.and_then(|at| u64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()),
            next,
            ahead: Some(status.as_ref().map_or(ahead, ReceiptStatus::ahead)),
            reason,
        });
    }
    Ok((rows, more))
}

/// What became of a receipt that is no longer among them; `None` if that can't be said yet.
pub(super) fn settled(reader: &mut Reader, store: Option<&Store>, id: CommitId) -> Result<Option<ReceiptView>> {
    let stages = match store {
        Some(store) => store.receipt(id)?.map(|receipt| receipt.peek()),
        None => reader.find(id)?.stages(),
    };
    let Some(stages) = stages.filter(|stages| stages.backend.is_some()) else { return Ok(None) };
    let view = |outcome| StageView::found(outcome, String::new);
    Ok(Some(ReceiptView { id, leader_sync: view(stages.leader), backend_sync: view(stages.backend) }))
}
