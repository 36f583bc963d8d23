//! Events: what an application commits, and what a backend sends.

use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::guard::Guard;
use crate::id::EventId;
use crate::seq::{Pos, Seq};
use crate::txn::Heads;

/// What happened, as the application said it. Shared, never changed.
///
/// `args` is canonical JSON text (RFC 8785), made in the driver: the machine compares bytes. No arguments are `null`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Event {
    /// The event's name in the schema, such as `v1.TodoCreated`.
    pub name: Arc<str>,
    /// The arguments, as canonical JSON text.
    pub args: Arc<str>,
    /// Whether the event stays with this client. Fixed at commit, never looked up by name again.
    pub client_only: bool,
}

/// Room for the keys, numbers and identities around an event on the wire, in bytes.
const ENVELOPE_BYTES: usize = 320;

impl Event {
    /// How many bytes the event takes in a push at most, identities included.
    ///
    /// An upper bound: a name of control characters could grow sixfold by escaping.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        self.args.len() + 6 * self.name.len() + ENVELOPE_BYTES
    }

    /// Whether this is the same thing said: name and canonical arguments.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.name == other.name && self.args == other.args
    }
}

/// An event of this client, and the commit it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OwnEvent {
    /// Its identity.
    pub id: EventId,
    /// The ordinal of its commit, in the session of `id`.
    pub commit: u64,
    /// Whether it is the last event of its commit.
    pub last: bool,
    /// What has to hold for its commit: with the first synced event, or the first one if none is synced; nothing with the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Arc<Guard>>,
    /// What it says.
    pub event: Arc<Event>,
}

impl OwnEvent {
    /// How many bytes it takes where it waits: encoded, and its guard.
    pub(crate) fn held_bytes(&self) -> usize {
        self.event.encoded_bytes() + self.guard.as_ref().map_or(0, |guard| guard.bytes())
    }

    /// The commit that the event belongs to.
    #[must_use]
    pub fn commit_id(&self) -> crate::id::CommitId {
        crate::id::CommitId { session: self.id.session, ordinal: self.commit }
    }
}

/// An event as a backend sends it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PulledEvent {
    /// Its place in the global order.
    pub seq: u64,
    /// The place of the event before it.
    pub parent: u64,
    /// The client that wrote it.
    pub client: Arc<str>,
    /// The session that wrote it; any text.
    pub session: Arc<str>,
    /// Its identity, if the backend keeps our ids.
    pub ids: Option<WireIds>,
    /// What it says.
    pub event: Arc<Event>,
}

/// The part of an event's identity that only some backends keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WireIds {
    /// The event's ordinal in its session.
    pub ordinal: u64,
    /// The ordinal of its commit in its session.
    pub commit: u64,
    /// Whether it is the last synced event of its commit.
    pub last: bool,
}

/// Whose event a log entry is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Origin {
    /// Committed by a session of this store file.
    Own {
        /// The event's identity.
        id: EventId,
        /// The ordinal of its commit.
        commit: u64,
        /// Whether it is the last event of its commit.
        last: bool,
        /// How often it has been renumbered by a rebase.
        rebases: u32,
        /// As [`OwnEvent::guard`]; nothing once it is confirmed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        guard: Option<Arc<Guard>>,
    },
    /// Written by another client, or by this one where nothing local matches.
    Foreign {
        /// The client that wrote it.
        client: Arc<str>,
        /// The session that wrote it.
        session: Arc<str>,
        /// The rest of its identity, where the backend kept it.
        ids: Option<WireIds>,
    },
}

/// How firmly an entry stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// In the global order; never moves again, so no undo is kept.
    Confirmed,
    /// Waiting for the backend; may be undone and renumbered.
    Pending,
    /// Never leaves this client and never moves again: client-only with nothing pending before it, or no backend at all.
    Local,
}

/// One row of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// Where it stands.
    pub seq: Seq,
    /// The entry it follows.
    pub parent: Pos,
    /// Whose it is.
    pub origin: Origin,
    /// How firmly it stands.
    pub standing: Standing,
    /// What it says.
    pub event: Arc<Event>,
}

impl Entry {
    /// Whether the backend has it, so that it stands in the log whatever it does to the state: confirmed, or acknowledged as
    /// these heads say. Each such entry is applied or skipped by itself, others are judged by the commit.
    #[must_use]
    pub fn is_accepted(&self, heads: &Heads) -> bool {
        match self.standing {
            Standing::Confirmed => true,
            Standing::Pending => !self.event.client_only && self.seq.pos.global <= heads.acknowledged,
            Standing::Local => false,
        }
    }

    /// What has to hold for the commit that starts here, if that has to be checked still: not once the backend has the event, as these
    /// heads say.
    #[must_use]
    pub fn guard(&self, heads: &Heads) -> Option<&Arc<Guard>> {
        self.own_guard().filter(|_| !self.is_accepted(heads))
    }

    /// The guard that an own event carries, as [`OwnEvent::guard`].
    #[must_use]
    pub fn own_guard(&self) -> Option<&Arc<Guard>> {
        match &self.origin {
            Origin::Own { guard, .. } => guard.as_ref(),
            Origin::Foreign { .. } => None,
        }
    }

    /// The identity of an own event.
    #[must_use]
    pub fn own_id(&self) -> Option<EventId> {
        match self.origin {
            Origin::Own { id, .. } => Some(id),
            Origin::Foreign { .. } => None,
        }
    }

    /// The commit of an own event.
    #[must_use]
    pub fn commit_id(&self) -> Option<crate::id::CommitId> {
        match self.origin {
            Origin::Own { id, commit, .. } => Some(crate::id::CommitId { session: id.session, ordinal: commit }),
            Origin::Foreign { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;

    // Verifies: V5 (what is counted against limits is no less than what is kept and sent)
    #[test]
    fn an_event_is_counted_with_its_name_escaped_and_its_guard() {
        let event = |name: &str| Arc::new(Event { name: name.into(), args: "{}".into(), client_only: false });
        // JSON writes a control character as six.
        assert!(event(&"\u{1}".repeat(1_000)).encoded_bytes() > 6_000);
        let guard = Guard { name: "v1.Free".into(), args: "{\"seat\":1}".into() };
        assert_eq!(guard.bytes(), guard.name.len() + guard.args.len());
        let bytes = |guard| {
            let id = EventId { session: SessionId([1; 16]), ordinal: 1 };
            OwnEvent { id, commit: 1, last: true, guard, event: event("v1.Taken") }.held_bytes()
        };
        assert_eq!(bytes(Some(Arc::new(guard))), bytes(None) + 17);
    }
}
