//! What `commit` takes.

use std::sync::Arc;

use countersign_core::Event;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Schema;

/// A typed event: its fields are the event's arguments.
pub trait EventType: Serialize + DeserializeOwned {
    /// The event's name in the schema, such as `v1.TodoCreated`.
    const NAME: &'static str;
    /// Whether the event stays with this client.
    const CLIENT_ONLY: bool = false;
}

/// An event by name.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// Its name in the schema.
    pub name: Arc<str>,
    /// Its arguments; `Null` if there are none.
    pub args: serde_json::Value,
}

/// One event to commit.
pub trait IntoEvent {
    /// The event in canonical form.
    ///
    /// # Errors
    /// If the schema has no such event, or its arguments can't be said in JSON that every peer reads back exactly.
    fn into_event(self, schema: &Schema) -> Result<Event, EncodeError>;
}

/// What `commit` takes: one event, a tuple, an array or a `Vec` of events, or `()` for an empty commit.
pub trait IntoEvents {
    /// The events in canonical form, in order.
    ///
    /// # Errors
    /// As [`IntoEvent::into_event`].
    fn into_events(self, schema: &Schema) -> Result<Vec<Event>, EncodeError>;
}

/// An event that can't be committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The schema has no event of this name.
    #[error("no event `{name}` in the schema{}", did_you_mean(.near))]
    UnknownEvent {
        /// The name.
        name: Arc<str>,
        /// Names in the schema that are close to it, or all if they are few.
        near: Vec<Arc<str>>,
    },
}

fn did_you_mean(names: &[Arc<str>]) -> String {
    if names.is_empty() { String::new() } else { format!(": did you mean {}?", names.join(", ")) }
}
