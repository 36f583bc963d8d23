//! Guards: what has to hold of the state for a commit to be made, and to stay.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::event::Event;

/// A condition on the state under which a commit stands: by name, as the schema has it, with its arguments. Shared, never changed.
///
/// It is checked before the commit's first event, when the commit is made and whenever the leader applies it on a base: the state that
/// the commit finds. It stays with the client: it is stored with the commit and never pushed. An event that the backend has accepted
/// is not checked again; a commit that is split over two pushes is no more, once its first part is accepted.
///
/// A commit with a guard is pushed only from where storage has checked it, so what the backend accepts stands exactly where its guard
/// held.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Guard {
    /// The guard's name in the schema, such as `v1.SeatFree`.
    pub name: Arc<str>,
    /// The arguments, as canonical JSON text (RFC 8785), made in the driver. No arguments are `null`.
    pub args: Arc<str>,
}

impl Guard {
    /// How many bytes it takes where it is kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.name.len() + self.args.len()
    }
}

/// What a commit consists of: events, in order, and what has to hold for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Batch {
    /// The events.
    pub events: Vec<Event>,
    /// What has to hold of the state before the first of them. Of a commit without events, nothing is left to guard once it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
}

impl From<Vec<Event>> for Batch {
    fn from(events: Vec<Event>) -> Self {
        Self { events, guard: None }
    }
}
