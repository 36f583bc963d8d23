//! Who is who between leader and backend.
//!
//! Where the backend keeps our ids, the same event is the one with the same identity. LiveStore's servers strip them: there an
//! event of this client and session is the first of that session's unsettled events that says the same.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;

use crate::error::Quarantined;
use crate::event::PulledEvent;
use crate::id::{ClientId, SessionId};
use crate::merge::Boundary;
use crate::seq::Pos;

use super::tail::{Pending, Tail};

/// The session of this client that wrote the event, if one did; none either if it can't be one that waits. Where the backend strips
/// identities, an old event of a session could pass for a new one: but the new ones stand after `own_after`.
pub(super) fn own_session(client: &ClientId, own_after: u64, pulled: &PulledEvent) -> Option<SessionId> {
    let may_be_own = pulled.client == *client && (pulled.ids.is_some() || pulled.seq > own_after);
    if may_be_own { pulled.session.parse().ok() } else { None }
}

/// Whether this is that event: by identity where the backend keeps it, else by content.
pub(super) fn is_same(own: &crate::event::OwnEvent, session: SessionId, pulled: &PulledEvent) -> bool {
    own.id.session == session
        && match pulled.ids {
            Some(ids) => own.id.ordinal == ids.ordinal,
            None => own.event.says_the_same(&pulled.event),
        }
}

/// Who is who between leader and backend.
pub(super) struct AgainstBackend<'a> {
    client: &'a ClientId,
    tail: &'a Tail,
    uncertain: &'a VecDeque<Quarantined>,
    /// Where to look for the next event of a session: it has none before that is not named already.
    next: BTreeMap<SessionId, usize>,
    /// The author who was looked at last: a page has runs of the same.
    last: Option<(Arc<str>, Arc<str>, Option<SessionId>)>,
}

impl<'a> AgainstBackend<'a> {
    /// The session of this client that wrote the event, if one did.
    fn session(&mut self, pulled: &PulledEvent) -> Option<SessionId> {
        if pulled.ids.is_none() && pulled.seq <= self.tail.own_after() {
            return None;
        }
        match &self.last {
            Some((client, text, session)) if *text == pulled.session && *client == pulled.client => *session,
            _ => {
                let session = own_session(self.client, self.tail.own_after(), pulled);
                self.last = Some((pulled.client.clone(), pulled.session.clone(), session));
                session
            }
        }
    }

    pub(super) fn new(client: &'a ClientId, tail: &'a Tail, uncertain: &'a VecDeque<Quarantined>) -> Self {
        Self { client, tail, uncertain, next: BTreeMap::new(), last: None }
    }
}

impl Boundary<Pending, PulledEvent> for AgainstBackend<'_> {
    fn position(&self, incoming: &PulledEvent) -> Pos {
        Pos::synced(incoming.seq)
    }

    fn passes_over(&self, pending: &Pending) -> bool {
        pending.own.event.client_only
    }

    fn same(&mut self, pending: &Pending, incoming: &PulledEvent) -> bool {
        debug_assert!(!pending.own.event.client_only, "client-only events are passed over (L7)");
        let Some(session) = self.session(incoming) else { return false };
        is_same(&pending.own, session, incoming)
            && pending.own.event.says_the_same(&incoming.event)
            && self.tail.place_of(pending).global == incoming.seq
            && self.can_have_come_back(pending, incoming)
    }

    fn elsewhere(&mut self, pending: &VecDeque<Pending>, from: usize, incoming: &PulledEvent) -> Option<usize> {
        let session = self.session(incoming)?;
        let next = self.next.entry(session).or_insert(from);
        // A session's events are confirmed in their order. What says the same as a later one is one that was withdrawn, or has other bytes.
        let is_own = |event: &Pending| event.own.id.session == session && !event.own.event.client_only;
        *next = pending.range(*next..).position(is_own).map_or(pending.len(), |ahead| *next + ahead);
        let mut index = *next;
        debug_assert!(index >= from, "what was confirmed in place is passed");
        let candidate = pending.get(index)?;
        let is_it = match incoming.ids {
            // By its identity. If it is a later one, those before it were withdrawn, and that has been lost with a file that was set back.
            Some(ids) if ids.ordinal >= candidate.own.id.ordinal => {
                let is_it = |event: &Pending| is_own(event) && event.own.id.ordinal == ids.ordinal;
                index += pending.range(index..).position(is_it)?;
                true
            }
            // An earlier one is in the queue no more.
            Some(_) => false,
            None => {
                self.can_have_come_back(candidate, incoming)
                    && (is_same(&candidate.own, session, incoming) || self.has_other_bytes(candidate, index, session, incoming))
            }
        };
        if !is_it {
            return None;
        }
        debug_assert!(!candidate.own.event.client_only, "client-only events never come back (L7)");
        self.next.insert(session, index + 1);
        Some(index)
    }
}

impl AgainstBackend<'_> {
    /// Only what may have been sent can have come back. Without identities an event that says the same and was not is another one: of what
    /// was withdrawn, or of a process that is gone.
    fn can_have_come_back(&self, pending: &Pending, incoming: &PulledEvent) -> bool {
        incoming.ids.is_some() || self.tail.may_be_sent(pending)
    }

    /// Whether this may be that event with bytes that the backend changed: what was acknowledged stands where it was acknowledged.
    fn has_other_bytes(&self, candidate: &Pending, index: usize, session: SessionId, incoming: &PulledEvent) -> bool {
        let until = |end: u64| index < (end - self.tail.pending_first()) as usize;
        if until(self.tail.acked()) {
            return self.tail.place_of(candidate).global == incoming.seq;
        }
        !self.may_be_quarantined(session)
    }

    fn may_be_quarantined(&self, session: SessionId) -> bool {
        self.uncertain.iter().any(|quarantined| quarantined.commit.session == session)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::event::{Event, WireIds};
    use crate::txn::Heads;

    const SESSION: SessionId = SessionId([1; 16]);
    const IDS: WireIds = WireIds { ordinal: 1, commit: 1, last: true };

    fn pulled(client: &ClientId, seq: u64, ids: Option<WireIds>) -> PulledEvent {
        let event = Arc::new(Event { name: "A".into(), args: "null".into(), client_only: false });
        PulledEvent { seq, parent: seq - 1, client: client.clone(), session: SESSION.to_string().into(), ids, event }
    }

    // Verifies: R8, L4 (who wrote an event is told by client and session, also next to one of the same session)
    #[test]
    fn what_another_client_wrote_is_not_ours_however_its_session_is_called() {
        let (me, other): (ClientId, ClientId) = ("me".into(), "other".into());
        let tail = Tail::new(true, &Heads::default(), Pos::ROOT);
        let uncertain = VecDeque::new();
        for ids in [Some(IDS), None] {
            let (ours, theirs) = (pulled(&me, 1, ids), pulled(&other, 1, ids));
            let mut backend = AgainstBackend::new(&me, &tail, &uncertain);
            assert_eq!([&ours, &theirs, &ours].map(|event| backend.session(event)), [Some(SESSION), None, Some(SESSION)]);
            assert_eq!((own_session(&me, 0, &ours), own_session(&me, 0, &theirs)), (Some(SESSION), None));
        }
    }

    // Verifies: L8 (what the backend held when the store began with it is nothing that waits, unless its identity says so)
    #[test]
    fn without_identities_only_what_came_after_the_beginning_can_be_ours() {
        let me: ClientId = "me".into();
        assert_eq!(own_session(&me, 3, &pulled(&me, 3, None)), None);
        assert_eq!(own_session(&me, 3, &pulled(&me, 4, None)), Some(SESSION));
        assert_eq!(own_session(&me, 3, &pulled(&me, 3, Some(IDS))), Some(SESSION));
    }
}
