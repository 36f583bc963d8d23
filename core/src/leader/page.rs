//! What a page brings, before and after it is merged.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::event::{Entry, Event, Origin, PulledEvent, Standing};
use crate::seq::{GLOBAL_MAX, Pos, Seq};

/// Leaves only what follows `upstream` without a gap: drops what is known already and what comes too early. Tells whether
/// anything came too early.
pub(super) fn contiguous(events: &mut Vec<PulledEvent>, upstream: u64) -> bool {
    let mut head = upstream;
    let mut gap = false;
    events.retain(|event| {
        if gap || event.seq <= head {
            return false;
        }
        // LiveStore's servers check no number but the first of a push: a log may leave some out, and end anywhere.
        if event.parent != head || event.seq > GLOBAL_MAX {
            gap = true;
            return false;
        }
        head = event.seq;
        true
    });
    debug_assert!(head == events.last().map_or(upstream, |last| last.seq), "what is left follows what is known");
    debug_assert!(events.is_sorted_by(|a, b| a.seq < b.seq && b.parent == a.seq), "what is left is a chain (L1)");
    gap
}

pub(super) fn is_anchor(anchor: &PulledEvent, event: &PulledEvent) -> bool {
    event.seq == anchor.seq
        && event.client == anchor.client
        && event.session == anchor.session
        && event.event.says_the_same(&anchor.event)
}

pub(super) fn confirmed_entry(pulled: &PulledEvent, origin: Origin, event: Arc<Event>) -> Entry {
    let seq = Seq::new(Pos::synced(pulled.seq), 0);
    Entry { seq, parent: Pos::synced(pulled.parent), origin, standing: Standing::Confirmed, event }
}

pub(super) fn foreign_entry(pulled: &PulledEvent) -> Entry {
    let (client, session) = (pulled.client.clone(), pulled.session.clone());
    confirmed_entry(pulled, Origin::Foreign { client, session, ids: pulled.ids }, pulled.event.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: L2, L8 (a backend is known again by all that its last confirmed event says, and by nothing less)
    #[test]
    fn an_anchor_is_the_same_event_of_the_same_author_at_the_same_place() {
        let event = |name: &str, args: &str| Arc::new(Event { name: name.into(), args: args.into(), client_only: false });
        let (client, session) = (Arc::from("other"), Arc::from("theirs"));
        let anchor = PulledEvent { seq: 3, parent: 2, client, session, ids: None, event: event("X", "1") };
        assert!(is_anchor(&anchor, &anchor));
        let others = [
            PulledEvent { seq: 4, ..anchor.clone() },
            PulledEvent { client: Arc::from("me"), ..anchor.clone() },
            PulledEvent { session: Arc::from("mine"), ..anchor.clone() },
            PulledEvent { event: event("Y", "1"), ..anchor.clone() },
            PulledEvent { event: event("X", "2"), ..anchor.clone() },
        ];
        assert!(others.iter().all(|other| !is_anchor(&anchor, other)));
    }
}
