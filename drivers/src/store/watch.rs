//! Watching tables.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::driver::{SessionCell, Shared};
use crate::receipt::block_on;

/// The tables that have changed, in alphabetical order.
pub type Changed = BTreeSet<String>;

/// Tells when watched tables have changed. Changes that come faster than they are looked at are told together.
///
/// Does not keep the store open.
pub struct Watch {
    cell: Weak<SessionCell>,
    shared: Weak<Shared>,
    tables: BTreeSet<String>,
    /// What has been told: the cell's revision, and the database's.
    seen: u64,
    told: u64,
}

impl Watch {
    pub(super) fn new<'a>(cell: &Arc<SessionCell>, shared: &Arc<Shared>, tables: impl IntoIterator<Item = &'a str>) -> Self {
        let tables = tables.into_iter().map(str::to_owned).collect();
        let mut watch = Self { cell: Arc::downgrade(cell), shared: Arc::downgrade(shared), tables, seen: 0, told: 0 };
        let _ = watch.look(cell, shared);
        watch
    }

    /// Waits for the next change; `None` when the session or the store is closed. Cancel safe: a change is told by the next call.
    pub async fn changed(&mut self) -> Option<Changed> {
        loop {
            let listening = {
                let (cell, shared) = (self.cell.upgrade()?, self.shared.upgrade()?);
                match cell.watch(self.seen) {
                    Ok(revision) => {
                        self.seen = revision;
                        let changed = self.look(&cell, &shared);
                        if !changed.is_empty() {
                            return Some(changed);
                        }
                        if cell.is_closed() {
                            return None;
                        }
                        continue;
                    }
                    Err(listening) => listening,
                }
            };
            // Dropped without a word if the session is gone: looked at again above.
            let _ = listening.await;
        }
    }

    /// Blocks until the next change, or this long at most: `None` then, or when the session or the store is closed.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Changed> {
        block_on(self.changed(), Instant::now().checked_add(timeout)).flatten()
    }

    fn look(&mut self, cell: &Arc<SessionCell>, shared: &Arc<Shared>) -> Changed {
        let db = cell.acquire(shared);
        let mut changed = Changed::new();
        if let Some(db) = &*db {
            // A database that has been made anew counts from the start, and may differ in any table.
            let since = if db.revision() < self.told { 0 } else { self.told };
            let of_interest = |table: &&str| self.tables.contains(*table);
            changed.extend(db.changed_since(since).filter(of_interest).map(str::to_owned));
            self.told = db.revision();
        }
        cell.release(shared, db);
        changed
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("tables", &self.tables).finish_non_exhaustive()
    }
}
