//! The store under measurement.

use std::path::Path;

use countersign::{EventType, Schema, Store};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct TodoSet {
    pub(crate) id: String,
    pub(crate) text: String,
}

impl EventType for TodoSet {
    const NAME: &'static str = "v1.TodoSet";
}

pub(crate) fn schema() -> Schema {
    Schema::builder(1)
        .state_sql("CREATE TABLE todos (id TEXT PRIMARY KEY, text TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0) STRICT")
        .event_sql("v1.TodoSet", false, [super::store::UPSERT])
        .build()
        .unwrap()
}

pub(crate) fn store(path: &Path) -> Store {
    Store::open(path).schema(schema()).blocking().unwrap()
}

/// One of ten thousand rows, so that the state does not grow.
pub(crate) fn todo(n: usize) -> TodoSet {
    TodoSet { id: format!("todo-{}", n % 10_000), text: "Buy milk".to_owned() }
}
