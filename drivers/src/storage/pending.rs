//! What waits for the backend, by what the file tells.

use std::time::SystemTime;

use countersign_core::{CommitId, Origin, Seq};

use super::error::ReadError;
use super::eventlog::Row;
use super::ledger::Ledger;
use super::reader::Reader;
use super::replay::PAGE;
use super::{find, quarantine, times};
use crate::clock::system_time;

/// A stored commit whose backend stage is open, as the file has it. Why it is open, and how often it was tried, only the process that has the
/// store open knows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingCommit {
    /// The commit.
    pub commit: CommitId,
    /// Where its first and its last event stand for now.
    pub places: (Seq, Seq),
    /// Its events that wait.
    pub events: u64,
    /// How often it was renumbered by a rebase.
    pub rebases: u32,
    /// Since when it has been stored, to a second or so; `None` if that is not known.
    pub since: Option<SystemTime>,
}

impl Reader {
    /// The commits whose backend stage is open, oldest first, `limit` at most. One that was acknowledged a moment ago may be among them:
    /// the process that syncs knows more.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn pending(&mut self, limit: usize) -> Result<Vec<PendingCommit>, ReadError> {
        self.view(|conn, log| {
            let heads = Ledger::read(conn)?.heads;
            let failed = quarantine::settled(conn)?;
            let mut found: Vec<PendingCommit> = Vec::new();
            let mut after = heads.settled;
            'pages: loop {
                let page = log.page(conn, Some(after), PAGE)?;
                let Some(last) = page.last() else { break };
                after = last.seq.pos;
                let waits = |row: &Row| !row.seq.pos.is_client_only() && row.seq.pos.global > heads.acknowledged;
                for row in page.into_iter().filter(waits) {
                    let Origin::Own { id, commit, rebases, .. } = row.origin else { continue };
                    let commit = CommitId { session: id.session, ordinal: commit };
                    if failed.contains(&commit) || find::is_local(conn, commit.session)? {
                        continue;
                    }
                    if let Some(last) = found.last_mut().filter(|last| last.commit == commit) {
                        last.places.1 = row.seq;
                        last.events += 1;
                    } else if found.len() == limit {
                        break 'pages;
                    } else {
                        found.push(PendingCommit { commit, places: (row.seq, row.seq), events: 1, rebases, since: None });
                    }
                }
            }
            for pending in &mut found {
                pending.since = times::since(conn, pending.commit)?.map(system_time);
            }
            Ok(found)
        })
    }
}
