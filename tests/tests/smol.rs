//! The store on a smol executor: the same receipts, awaited on the executor that keeps its deadlines.

use async_executor::Executor;
use countersign::backend::EmbeddedBackend;
use countersign::{Config, NewEvent, Schema, Settled, Store};
use futures_lite::future::block_on;
use serde_json::json;
use std::time::Duration;

fn schema() -> Schema {
    Schema::builder(1)
        .state_sql("CREATE TABLE todos (id TEXT PRIMARY KEY) STRICT")
        .event_sql("v1.TodoCreated", false, ["INSERT INTO todos (id) VALUES (:id)"])
        .build()
        .unwrap()
}

fn todo(id: &str) -> NewEvent {
    NewEvent::new("v1.TodoCreated", json!({ "id": id }))
}

// Verifies: R1, R2
#[test]
fn both_stages_are_awaited_on_the_executor() {
    let dir = tempfile::tempdir().unwrap();
    let executor = Executor::new();
    let backend = EmbeddedBackend::open(dir.path().join("backend.db")).unwrap();
    let store = Store::open(dir.path().join("store.db")).schema(schema()).backend(backend).smol(&executor).unwrap();
    let settled = block_on(executor.run(async {
        let receipt = store.commit(todo("1")).unwrap();
        ((&receipt.leader_sync).await, receipt.backend_sync.await)
    }));
    assert_eq!(settled.0, Ok(Settled::Persisted));
    assert_eq!(settled.1.unwrap().position().map(|at| at.to_string()).as_deref(), Some("e1"));
}

// Verifies: R5, V1 (what was offline is tried again by the executor's timer, and by nothing else)
#[test]
fn retries_are_kept_by_a_timer_of_the_executor() {
    let dir = tempfile::tempdir().unwrap();
    let executor = Executor::new();
    let backend = EmbeddedBackend::open(dir.path().join("backend.db")).unwrap();
    backend.fail_next_pushes(2);
    let config = Config { backoff_min: Duration::from_millis(20), ..Config::default() };
    let open = Store::open(dir.path().join("store.db")).schema(schema()).backend(backend).config(config);
    let store = open.smol(&executor).unwrap();
    let settled = block_on(executor.run(async { store.commit(todo("1")).unwrap().backend_sync.await }));
    assert!(matches!(settled, Ok(Settled::Confirmed(_))), "{settled:?}");
    let report = store.close(Duration::from_secs(10));
    assert!(report.persisted && report.unresolved.is_empty());
}
