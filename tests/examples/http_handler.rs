//! An HTTP handler on tokio that answers once what it was sent is in the one global order, and where.
//!
//! ```sh
//! cargo run -p tests --example http_handler
//! curl -d 'water the plants' http://127.0.0.1:8080/notes      # {"id":"…-1","backend":"…","position":1}
//! ```
//!
//! The store brings its own threads, and its receipts are futures that any executor can await. The answer is what a client needs who
//! wants to see its own write elsewhere: it waits until its own store has that position of that backend.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use countersign::livestore::LiveStoreBackend;
use countersign::server::Server;
use countersign::{EventType, Schema, Store};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// A note was written down.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Noted {
    /// What it says.
    pub(crate) text: String,
}

impl EventType for Noted {
    const NAME: &'static str = "v1.Noted";
}

/// Where a commit stands for good.
#[derive(Debug, Serialize)]
pub(crate) struct Confirmed {
    id: String,
    backend: String,
    position: u64,
}

/// No client waits longer than this.
const PATIENCE: Duration = Duration::from_secs(10);

/// Commits, awaits the backend's stage, and answers with the position: 202 if it takes too long, since the commit goes on all the same.
async fn note(State(store): State<Store>, text: String) -> Result<Json<Confirmed>, (StatusCode, String)> {
    let receipt = store.commit(Noted { text }).map_err(|error| (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    let id = receipt.id().to_string();
    let settled = match tokio::time::timeout(PATIENCE, &receipt.backend_sync).await {
        Err(_) => return Err((StatusCode::ACCEPTED, format!("{id} is stored, and is not confirmed yet"))),
        Ok(settled) => settled.map_err(|error| (StatusCode::CONFLICT, error.to_string()))?,
    };
    let position = settled.position().map_or(0, |at| at.global);
    let backend = store.status().backend.as_deref().unwrap_or_default().to_owned();
    Ok(Json(Confirmed { id, backend, position }))
}

/// Serves notes from this store until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, store: Store) -> std::io::Result<()> {
    axum::serve(listener, Router::new().route("/notes", post(note)).with_state(store)).await
}

/// A store with this file, synced with this server.
pub(crate) fn open(path: &std::path::Path, server: SocketAddr) -> Result<Store, Box<dyn std::error::Error>> {
    let schema = Schema::builder(1)
        .state_sql("CREATE TABLE notes (text TEXT NOT NULL) STRICT")
        .event(|db, noted: Noted| db.execute("INSERT INTO notes (text) VALUES (?1)", [&noted.text]).map(drop))
        .build()?;
    let backend = LiveStoreBackend::new(&format!("ws://{server}"))?;
    Ok(Store::open(path).schema(schema).backend(backend).blocking()?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join("countersign-http-handler");
    let server = Server::new(dir.join("logs")).no_auth().start()?;
    let store = open(&dir.join("notes.db"), server.addr())?;
    serve(TcpListener::bind("127.0.0.1:8080").await?, store).await?;
    Ok(())
}
