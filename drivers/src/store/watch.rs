//! Watching tables.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::driver::{SessionCell, Watched};
use crate::receipt::block_on;

/// The tables that have changed, in alphabetical order.
pub type Changed = BTreeSet<String>;

/// Tells when watched tables have changed. Changes that come faster than they are looked at are told together.
///
/// Does not keep the store open.
pub struct Watch {
    cell: Weak<SessionCell>,
    tables: BTreeSet<String>,
    /// What has been told.
    seen: u64,
}

impl Watch {
    pub(super) fn new<'a>(cell: &Arc<SessionCell>, tables: impl IntoIterator<Item = &'a str>) -> Self {
        let tables = tables.into_iter().map(str::to_owned).collect();
        Self { cell: Arc::downgrade(cell), tables, seen: cell.revision() }
    }

    /// Waits for the next change; `None` when the session or the store is closed. Cancel safe: a change is told by the next call.
    pub async fn changed(&mut self) -> Option<Changed> {
        loop {
            let listening = match self.cell.upgrade()?.watch(&self.tables, self.seen) {
                Watched::Changed(revision, changed) => {
                    self.seen = revision;
                    if !changed.is_empty() {
                        return Some(changed);
                    }
                    continue;
                }
                Watched::Listening(listening) => listening,
                Watched::Closed => return None,
            };
            // Dropped without a word if the session is gone: looked at again above.
            let _ = listening.await;
        }
    }

    /// Blocks until the next change, or this long at most: `None` then, or when the session or the store is closed. Inside a query
    /// or a materialiser it does not wait.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Changed> {
        block_on(self.changed(), Instant::now().checked_add(timeout)).flatten()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("tables", &self.tables).finish_non_exhaustive()
    }
}
