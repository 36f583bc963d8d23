//! A sync backend that does what a script says: an eventlog with conditional append.

use std::sync::Arc;

use countersign_core::{BackendId, Event, Page, Pull, PulledEvent, Push, WireIds};

#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub(super) id: BackendId,
    pub(super) log: Vec<PulledEvent>,
    /// Whether it hands out events without our identities, as LiveStore's servers do.
    pub(super) strips_ids: bool,
}

impl Backend {
    pub(super) fn new(id: &str) -> Self {
        Self { id: Arc::from(id), log: Vec::new(), strips_ids: false }
    }

    pub(super) fn head(&self) -> u64 {
        self.log.last().map_or(0, |event| event.seq)
    }

    /// Appends the batch if its parent is the head; else says what the head is.
    pub(super) fn take(&mut self, push: &Push) -> Result<(), u64> {
        let head = self.head();
        if push.parent != head {
            return Err(head);
        }
        for (seq, own) in (head + 1..).zip(&push.events) {
            assert!(!own.event.client_only, "a client-only event is pushed");
            let ids = WireIds { ordinal: own.id.ordinal, commit: own.commit, last: own.last };
            self.log.push(PulledEvent {
                seq,
                parent: seq - 1,
                client: Arc::from(super::CLIENT),
                session: Arc::from(own.id.session.to_string()),
                ids: Some(ids),
                event: own.event.clone(),
            });
        }
        Ok(())
    }

    /// Somebody else's event, at the end.
    pub(super) fn append_foreign(&mut self, event: Event) {
        let seq = self.head() + 1;
        self.log.push(foreign(seq, seq - 1, event));
    }

    /// What it answers to a pull: at most `limit` events.
    pub(super) fn page(&self, pull: &Pull, limit: usize) -> Page {
        let after: Vec<&PulledEvent> = self.log.iter().filter(|event| event.seq > pull.after).collect();
        let events = after.iter().take(limit).map(|&event| self.as_sent(event)).collect();
        Page { events, more: after.len() > limit, backend: self.id.clone() }
    }

    pub(super) fn as_sent(&self, event: &PulledEvent) -> PulledEvent {
        PulledEvent { ids: event.ids.filter(|_| !self.strips_ids), ..event.clone() }
    }
}

pub(super) fn foreign(seq: u64, parent: u64, event: Event) -> PulledEvent {
    let ids = Some(WireIds { ordinal: seq, commit: seq, last: true });
    PulledEvent { seq, parent, client: Arc::from("other"), session: Arc::from("theirs"), ids, event: Arc::new(event) }
}
