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
    /// Whether any entry of `pending` is [held](crate::Txn::hold_to): it is judged again once all of the backend's log is here. What has no
    /// effect for another reason, such as another schema, does not count.
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

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::sync::Arc;

    use super::*;
    use crate::config::Config;
    use crate::error::{Certainty, SyncError};
    use crate::event::{Event, Standing};
    use crate::id::{EventId, SessionId};
    use crate::node::Node;
    use crate::seq::Seq;

    const SESSION: SessionId = SessionId([1; 16]);

    /// What is changed in a file, and what is said then.
    type Damage<'a> = (&'a dyn Fn(&mut Boot), &'static str);

    fn own(ordinal: u64) -> OwnEvent {
        let event = Event { name: "A".into(), args: "null".into(), client_only: false };
        let id = EventId { session: SESSION, ordinal };
        OwnEvent { id, commit: ordinal, last: true, guard: None, event: Arc::new(event) }
    }

    fn entry(at: u64) -> Entry {
        let OwnEvent { id, commit, last, guard, event } = own(at);
        let origin = Origin::Own { id, commit, last, rebases: 0, guard };
        let seq = Seq::new(Pos::synced(at), 0);
        Entry { seq, parent: seq.pos.parent(), origin, standing: Standing::Pending, event }
    }

    /// A file with two pending events, the first of which stands on nothing.
    fn boot() -> Boot {
        Boot { number: 2, pending: alloc::vec![entry(1), entry(2)], ..Boot::of_new_file("me".into()) }
    }

    fn opened(change: impl FnOnce(&mut Boot)) -> Result<Node, BootError> {
        let mut boot = boot();
        change(&mut boot);
        Node::new(Config::default(), boot, 1)
    }

    // Verifies: S2
    #[test]
    fn a_new_file_has_nothing_and_is_opened() {
        let node = Node::new(Config::default(), Boot::of_new_file("me".into()), 1).unwrap();
        let status = node.status();
        assert_eq!((status.local_head, status.upstream_head, status.pending_events), (Seq::ROOT, Pos::ROOT, 0));
        assert!(status.drained && status.stored && status.backend.is_none());
        assert_eq!(opened(|_| {}).unwrap().status().pending_events, 2);
    }

    // Verifies: S2 (a number from which a machine could count beyond its integers is a damaged file; the last one that it has counted to
    // is none)
    #[test]
    fn numbers_that_nobody_has_counted_to_are_refused() {
        let confirmed = |boot: &mut Boot, upstream: u64| {
            (boot.heads.upstream, boot.heads.upstream_parent) = (upstream, upstream - 1);
            (boot.settled_head, boot.pending) = (Pos::synced(upstream), Vec::new());
            let entry = Entry { standing: Standing::Confirmed, ..entry(upstream) };
            boot.anchor = Some(entry);
        };
        let own_of = |entry: &mut Entry, change: &dyn Fn(&mut u64, &mut u64, &mut u32)| {
            if let Origin::Own { id, commit, rebases, .. } = &mut entry.origin {
                change(&mut id.ordinal, commit, rebases);
            }
        };
        let quarantined = |own: OwnEvent| {
            let error = SyncError::Withdrawn { cause: None, certainty: Certainty::Unknown };
            alloc::vec![Quarantined { commit: own.commit_id(), events: alloc::vec![own], error }]
        };
        let fine: [&dyn Fn(&mut Boot); 5] = [
            &|boot| boot.number = GLOBAL_MAX,
            &|boot| confirmed(boot, 1),
            &|boot| boot.uncertain = quarantined(own(GLOBAL_MAX)),
            &|boot| boot.pending.iter_mut().for_each(|entry| own_of(entry, &|_, _, rebases| *rebases = 0)),
            &|boot| boot.heads.generation = COUNT_MAX,
        ];
        for (index, change) in fine.into_iter().enumerate() {
            assert_eq!(opened(change).err(), None, "{index}");
        }
        // The last that can be counted to, where the rest of the file would not fit it.
        let last = Pos { global: GLOBAL_MAX, client: COUNT_MAX };
        let mut at_the_end = boot();
        (at_the_end.heads.upstream, at_the_end.heads.upstream_parent) = (GLOBAL_MAX, GLOBAL_MAX - 1);
        (at_the_end.heads.acknowledged, at_the_end.heads.settled, at_the_end.settled_head) = (GLOBAL_MAX, last, last);
        (at_the_end.pending[0].seq.pos, at_the_end.pending[0].parent) = (last, last);
        own_of(&mut at_the_end.pending[0], &|ordinal, commit, rebases| {
            (*ordinal, *commit, *rebases) = (GLOBAL_MAX, GLOBAL_MAX, COUNT_MAX);
        });
        assert_eq!(at_the_end.check_numbers(), Ok(()));
        let heads = "the heads are places in a log, and a parent is before its event";
        let place = "an entry stands at a place in a log";
        let identity = "an event's identity can be counted on";
        let far = Pos { global: 0, client: COUNT_MAX + 1 };
        let refused: [Damage<'_>; 15] = [
            (&|boot| boot.number = GLOBAL_MAX + 1, "the number of the last transaction can be counted on"),
            (&|boot| boot.heads.generation = COUNT_MAX + 1, "the generation can be counted on"),
            (&|boot| boot.heads.upstream = GLOBAL_MAX + 1, heads),
            (&|boot| boot.heads.settled = Pos::synced(GLOBAL_MAX + 1), heads),
            (&|boot| boot.settled_head = far, heads),
            (&|boot| (boot.heads.upstream, boot.heads.upstream_parent) = (1, 1), heads),
            (&|boot| boot.heads.upstream_parent = 1, heads),
            (&|boot| boot.heads.acknowledged = GLOBAL_MAX + 1, "what is acknowledged is a place in a log"),
            (&|boot| boot.pending[1].seq.pos = far, place),
            (&|boot| boot.pending[1].parent = far, place),
            (&|boot| boot.anchor = Some(Entry { parent: far, ..entry(1) }), place),
            (&|boot| own_of(&mut boot.pending[0], &|ordinal, _, _| *ordinal = 0), identity),
            (&|boot| own_of(&mut boot.pending[0], &|_, commit, _| *commit = GLOBAL_MAX + 1), identity),
            (
                &|boot| own_of(&mut boot.pending[0], &|_, _, rebases| *rebases = COUNT_MAX + 1),
                "how often an event was renumbered can be counted on",
            ),
            (
                &|boot| boot.uncertain = quarantined(OwnEvent { commit: GLOBAL_MAX + 1, ..own(1) }),
                "a quarantined event's identity can be counted on",
            ),
        ];
        for (change, said) in refused {
            assert_eq!(opened(change).err(), Some(BootError::Inconsistent(said)));
        }
    }

    // Verifies: S2, L1 (what is said of a damaged file names what is wrong with it)
    #[test]
    fn a_damaged_file_is_told_by_what_is_wrong_with_it() {
        let error = |change: &dyn Fn(&mut Boot)| opened(change).unwrap_err().to_string();
        let origin = Origin::Foreign { client: "other".into(), session: "theirs".into(), ids: None };
        assert_eq!(error(&|boot| boot.heads.upstream = 3), "the log ends at e3 for the backend, but there is no such event");
        assert_eq!(error(&|boot| boot.pending[1].origin = origin.clone()), "the pending event e2 was not written by this client");
        assert_eq!(
            error(&|boot| boot.pending[1].seq.pos = Pos::synced(4)),
            "the pending events have a gap: expected e2, found e4"
        );
        assert_eq!(
            error(&|boot| boot.number = u64::MAX),
            "this does not hold: the number of the last transaction can be counted on"
        );
    }
}
