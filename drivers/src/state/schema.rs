//! The schema.

use std::sync::Arc;

use super::{EventType, MaterialiseError, SchemaError, StateDb};

/// Tables, events, and what the events do to the tables. Cheap to clone.
#[derive(Clone)]
pub struct Schema;

/// What a schema says of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventInfo {
    /// The event's name, shared.
    pub name: Arc<str>,
    /// Whether it stays with this client.
    pub client_only: bool,
}

impl Schema {
    /// Starts a schema.
    #[must_use]
    pub fn builder(version: u32) -> SchemaBuilder {
        let _ = version;
        todo!()
    }

    /// Reads a schema file.
    ///
    /// # Errors
    /// As [`SchemaBuilder::build`], with the line in the file.
    pub fn from_toml(text: &str) -> Result<Self, SchemaError> {
        let _ = text;
        todo!()
    }

    /// Tells whether state was built by this schema. Stable across processes.
    #[must_use]
    pub fn hash(&self) -> u64 {
        todo!()
    }

    /// The version given by its author.
    #[must_use]
    pub fn version(&self) -> u32 {
        todo!()
    }

    /// What is known of an event.
    #[must_use]
    pub fn event(&self, name: &str) -> Option<EventInfo> {
        let _ = name;
        todo!()
    }
}

/// Builds a [`Schema`].
#[must_use]
pub struct SchemaBuilder;

impl SchemaBuilder {
    /// Adds tables, indexes and views.
    pub fn state_sql(self, sql: &str) -> Self {
        let _ = sql;
        self
    }

    /// Adds a typed event and its materialiser.
    pub fn event<T: EventType + 'static>(
        self,
        materialise: impl Fn(&StateDb<'_>, T) -> Result<(), MaterialiseError> + Send + Sync + 'static,
    ) -> Self {
        let _ = materialise;
        self
    }

    /// Adds an event whose materialiser is SQL.
    pub fn event_sql<S: Into<String>>(self, name: &str, client_only: bool, on: impl IntoIterator<Item = S>) -> Self {
        let _ = (name, client_only, on);
        self
    }

    /// Checks it all.
    ///
    /// # Errors
    /// If SQLite refuses a statement, or it can't be undone or replayed.
    pub fn build(self) -> Result<Schema, SchemaError> {
        todo!()
    }
}
