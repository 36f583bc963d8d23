//! What storage knew when it was opened.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::Quarantined;
use crate::event::Entry;
use crate::id::ClientId;
use crate::txn::Heads;

/// Where a machine starts from: read from the file by storage, before any effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// The client that the file belongs to.
    pub client: ClientId,
    /// The number of the last transaction.
    pub number: u64,
    /// The heads as stored.
    pub heads: Heads,
    /// The last place in the log before the pending entries.
    pub settled_head: crate::seq::Pos,
    /// The last confirmed synced entry, to recognise the backend by; none if nothing is confirmed.
    pub anchor: Option<Entry>,
    /// Everything after the last confirmed event that still moves, oldest first: the first is a synced own event.
    pub pending: Vec<Entry>,
    /// Quarantined commits whose certainty is `Unknown`, oldest first: the backend may still turn out to hold them.
    pub uncertain: Vec<Quarantined>,
}
