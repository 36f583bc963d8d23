//! What storage knew when it was opened.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::Quarantined;
use crate::event::{Entry, Origin, OwnEvent};
use crate::id::{ClientId, CommitId};
use crate::seq::{GLOBAL_MAX, Pos};
use crate::time::Time;
use crate::txn::Heads;

/// Where a machine starts from: read from the file by storage, before any effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Boot {
    /// The client that the file belongs to.
    pub client: ClientId,
    /// The number of the last transaction.
    pub number: u64,
    /// The heads as stored.
    pub heads: Heads,
    /// The last place in the log before the pending entries.
    pub settled_head: Pos,
    /// The last confirmed synced entry, to recognise the backend by; none if nothing is confirmed.
    pub anchor: Option<Entry>,
    /// Everything after the last confirmed event that still moves, oldest first: the first is a synced own event.
    pub pending: Vec<Entry>,
    /// For commits with an event in `pending` of which earlier synced events are confirmed: where those stand.
    pub partly_confirmed: Vec<(CommitId, Vec<u64>)>,
    /// Commits with an event in `pending` whose backend stage has settled already, since it has failed, or did not apply when they were
    /// made: their receipts stay as they settled.
    pub failed: Vec<CommitId>,
    /// Quarantined commits whose certainty is `Unknown`, oldest first: the backend may still turn out to hold them.
    pub uncertain: Vec<Quarantined>,
    /// Whether any entry of `pending` stands in the log without effect on the state: it is judged again once all of the backend's log is
    /// here.
    #[serde(default)]
    pub held: bool,
    /// Since when `pending` has been so, as far as it is known, in the driver's time: from the entry with this index on, no earlier than
    /// then. Ascending.
    pub pending_since: Vec<(usize, Time)>,
}

/// Counts of a store that has been in use for ever: from here on there is room to go on counting.
const COUNT_MAX: u32 = u32::MAX / 2;

impl Boot {
    /// What there is in a file that has just been made.
    #[must_use]
    pub fn of_new_file(client: ClientId) -> Self {
        Self {
            client,
            number: 0,
            heads: Heads::default(),
            settled_head: Pos::ROOT,
            anchor: None,
            pending: Vec::new(),
            partly_confirmed: Vec::new(),
            failed: Vec::new(),
            uncertain: Vec::new(),
            held: false,
            pending_since: Vec::new(),
        }
    }

    /// Whether every number is one that a machine can have counted to.
    pub(crate) fn check_numbers(&self) -> Result<(), BootError> {
        let rule = |holds: bool, what| if holds { Ok(()) } else { Err(BootError::Inconsistent(what)) };
        let place = |pos: Pos| pos.global <= GLOBAL_MAX && pos.client <= COUNT_MAX;
        let Heads { upstream, upstream_parent, settled, generation, .. } = self.heads;
        rule(self.number <= GLOBAL_MAX, "the number of the last transaction can be counted on")?;
        rule(generation <= COUNT_MAX, "the generation can be counted on")?;
        let heads = upstream <= GLOBAL_MAX && place(settled) && place(self.settled_head);
        rule(
            heads && (upstream_parent < upstream || (upstream, upstream_parent) == (0, 0)),
            "the heads are places in a log, and a parent is before its event",
        )?;
        rule(self.heads.acknowledged <= GLOBAL_MAX, "what is acknowledged is a place in a log")?;
        for entry in self.pending.iter().chain(&self.anchor) {
            rule(place(entry.seq.pos) && place(entry.parent), "an entry stands at a place in a log")?;
            let Origin::Own { id, commit, rebases, .. } = entry.origin else { continue };
            let counted = 1..=GLOBAL_MAX;
            rule(counted.contains(&id.ordinal) && counted.contains(&commit), "an event's identity can be counted on")?;
            rule(rebases <= COUNT_MAX, "how often an event was renumbered can be counted on")?;
        }
        for quarantined in &self.uncertain {
            let counted = |own: &OwnEvent| own.id.ordinal <= GLOBAL_MAX && own.commit <= GLOBAL_MAX;
            rule(quarantined.events.iter().all(counted), "a quarantined event's identity can be counted on")?;
        }
        Ok(())
    }
}

/// What was loaded can't be a store's state: the file is damaged, or was changed by hand.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// The confirmed event at the cursor is missing.
    #[error("the log ends at e{upstream} for the backend, but there is no such event")]
    NoAnchor {
        /// The cursor.
        upstream: u64,
    },
    /// A pending event is not of this client.
    #[error("the pending event {at} was not written by this client")]
    ForeignPending {
        /// Where it stands.
        at: Pos,
    },
    /// Pending events don't follow one another.
    #[error("the pending events have a gap: expected {expected}, found {found}")]
    Gap {
        /// What should have been next.
        expected: Pos,
        /// What was next.
        found: Pos,
    },
    /// Something else does not hold.
    #[error("this does not hold: {0}")]
    Inconsistent(&'static str),
}
