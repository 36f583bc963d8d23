//! The simulated sync backend: one log, conditional append on the parent, an identity.

use std::sync::Arc;

use countersign_core::{
    BackendFailure, BackendId, CommitId, Event, EventId, OwnEvent, Page, PulledEvent, Push, SessionId, WireIds,
};

use super::state::{FORBIDDEN, STICKY, STUCK};

/// An event in the log, with the true identity of its author even where pulls don't carry it.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Held {
    pub(crate) client: Arc<str>,
    pub(crate) own: OwnEvent,
    /// What its author said.
    pub(crate) said: Arc<Event>,
}

/// One history. A reset or a truncation starts another.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Incarnation {
    pub(crate) id: BackendId,
    pub(crate) log: Vec<Held>,
}

impl Incarnation {
    pub(crate) fn holds(&self, id: &EventId) -> bool {
        self.log.iter().any(|held| held.own.id == *id)
    }
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct Backend {
    /// The last one is live.
    pub(crate) incarnations: Vec<Incarnation>,
    /// Whether pulls carry our identities.
    pub(crate) keeps_ids: bool,
    /// Whether events refused only for some time are refused.
    pub(crate) sticky: bool,
    /// Whether some events come back as something else than was sent.
    pub(crate) rewrites: bool,
    /// Whether everything is refused without saying for how long.
    pub(crate) moody: bool,
    /// How much of its log it shows.
    pub(crate) shown: u64,
}

impl Backend {
    pub(crate) fn new(keeps_ids: bool, rewrites: bool) -> Self {
        let first = Incarnation { id: "b0".into(), log: Vec::new() };
        Self { incarnations: vec![first], keeps_ids, sticky: true, rewrites, moody: false, shown: 0 }
    }

    pub(crate) fn live(&self) -> &Incarnation {
        &self.incarnations[self.incarnations.len() - 1]
    }

    /// Whether a later commit of the same session has been accepted, in any of the histories.
    pub(crate) fn has_overtaken(&self, commit: CommitId) -> bool {
        let later = |held: &Held| held.own.id.session == commit.session && held.own.commit > commit.ordinal;
        self.incarnations.iter().any(|incarnation| incarnation.log.iter().any(later))
    }

    pub(crate) fn head(&self) -> u64 {
        self.live().log.len() as u64
    }

    /// Another, empty backend behind the same address.
    pub(crate) fn reset(&mut self) {
        let id = format!("b{}", self.incarnations.len()).into();
        self.incarnations.push(Incarnation { id, log: Vec::new() });
        self.shown = 0;
    }

    /// A restored backup: the same identity, and the end of the log is gone.
    pub(crate) fn truncate(&mut self, to: u64) {
        let mut restored = self.live().clone();
        restored.log.truncate(to as usize);
        self.shown = to;
        self.incarnations.push(restored);
    }

    /// Appends an event of a client that is not in this world.
    pub(crate) fn others(&mut self, event: Event) {
        let last = self.incarnations.len() - 1;
        let ordinal = self.incarnations[last].log.len() as u64 + 1;
        let client: Arc<str> = "X".into();
        let id = EventId { session: SessionId([0xff; 16]), ordinal };
        let said = Arc::new(event);
        let own = OwnEvent { id, commit: ordinal, last: true, guard: None, event: said.clone() };
        self.incarnations[last].log.push(Held { client, own, said });
    }

    /// Appends the whole batch or nothing.
    pub(crate) fn push(&mut self, client: &Arc<str>, push: &Push) -> Result<(), BackendFailure> {
        if let Some(expected) = &push.backend
            && *expected != self.live().id
        {
            return Err(BackendFailure::Identity { theirs: self.live().id.clone() });
        }
        if push.parent != self.head() {
            return Err(BackendFailure::ServerAhead { head: self.head() });
        }
        let named = |name: &str| push.events.iter().any(|own| *own.event.name == *name);
        if self.moody || named(STUCK) || (self.sticky && named(STICKY)) {
            return Err(BackendFailure::Unknown { message: "internal error 7".into() });
        }
        if named(FORBIDDEN) {
            let refused = (0..).zip(&push.events).filter(|(_, own)| *own.event.name == *FORBIDDEN);
            return Err(BackendFailure::Refused { events: refused.map(|(i, _)| (i, "forbidden".into())).collect() });
        }
        let last = self.incarnations.len() - 1;
        let rewrites = self.rewrites;
        let held =
            push.events.iter().map(|own| Held { client: client.clone(), own: kept(own, rewrites), said: own.event.clone() });
        self.incarnations[last].log.extend(held);
        Ok(())
    }

    /// The events after `cursor`, at most `max`.
    pub(crate) fn page(&self, cursor: u64, max: u64) -> Page {
        let from = cursor.min(self.shown);
        let to = (from + max).min(self.shown);
        Page {
            events: (from + 1..=to).map(|seq| self.pulled(seq)).collect(),
            more: to < self.shown,
            backend: self.live().id.clone(),
        }
    }

    fn pulled(&self, seq: u64) -> PulledEvent {
        let Held { client, own, .. } = &self.live().log[seq as usize - 1];
        PulledEvent {
            seq,
            parent: seq - 1,
            client: client.clone(),
            session: own.id.session.to_string().into(),
            ids: self.keeps_ids.then_some(WireIds { ordinal: own.id.ordinal, commit: own.commit, last: own.last }),
            event: own.event.clone(),
        }
    }
}

/// An event as the backend keeps it.
fn kept(own: &OwnEvent, rewrites: bool) -> OwnEvent {
    let changed = rewrites && own.id.ordinal.is_multiple_of(3) && own.event.name.ends_with(".Append");
    if !changed {
        return own.clone();
    }
    let args = own.event.args.replacen("\"v\":", "\"v\":77", 1).into();
    OwnEvent { event: Arc::new(Event { args, ..Event::clone(&own.event) }), ..own.clone() }
}
