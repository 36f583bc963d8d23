//! A walk through receipts: what to do with them, from nothing at all to a read on another client.
//!
//! Every example runs, on a real file and with a real backend, an [`EmbeddedBackend`](crate::backend::EmbeddedBackend). All of them begin as
//! this one does, which is shown once: `dir` is a folder, `backend` a backend, `todo` makes an event, and `open` opens a store. What a
//! receipt promises, rule by rule, is in [`rules`]; how to test an application with outages and refusals, in [`crate::testing`].
//!
//! ```
//! use std::path::Path;
//! use std::time::Duration;
//!
//! use countersign::backend::EmbeddedBackend;
//! use countersign::{Config, EventType, Schema, Store};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct TodoCreated {
//!     id: String,
//!     text: String,
//! }
//!
//! impl EventType for TodoCreated {
//!     const NAME: &'static str = "v1.TodoCreated";
//! }
//!
//! fn todo(id: &str) -> TodoCreated {
//!     TodoCreated { id: id.into(), text: "water the plants".into() }
//! }
//!
//! fn schema() -> Schema {
//!     Schema::builder(1)
//!         .state_sql("CREATE TABLE todos (id TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT")
//!         .event(|db, todo: TodoCreated| {
//!             db.execute("INSERT INTO todos (id, text) VALUES (?1, ?2)", (&todo.id, &todo.text)).map(drop)
//!         })
//!         .guard_sql("v1.TodoFree", "SELECT count(*) = 0 FROM todos WHERE id = :id", Some("there is one already"))
//!         .build()
//!         .expect("the schema is good")
//! }
//!
//! fn open(dir: &Path, name: &str, backend: &EmbeddedBackend) -> Store {
//!     // Tried again soon after an outage, so that nobody waits for an example.
//!     let config = Config { backoff_min: Duration::from_millis(10), ..Config::default() };
//!     Store::open(dir.join(name)).schema(schema()).backend(backend.clone()).config(config).blocking().expect("it opens")
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let dir = tempfile::tempdir()?;
//!     let dir = dir.path();
//!     let backend = EmbeddedBackend::open(dir.join("backend.db"))?;
//!
//!     let store = open(dir, "todos.db", &backend);
//!     let receipt = store.commit(todo("1"))?;
//!     receipt.backend_sync.wait()?;
//!     Ok(())
//! }
//! ```
//!
//! # Fire and forget
//!
//! A commit is in the session's database, visible to queries, when `commit` returns. The receipt may be dropped: the commit is made durable
//! and pushed all the same, now or after the next opening. What fails without anybody waiting is handed out by
//! [`Store::unobserved_failures`](crate::Store::unobserved_failures) until it is acknowledged.
//!
//! ```
#![doc = include_str!("setup.md")]
//! use countersign::Stage;
//!
//! let store = open(dir, "todos.db", &backend);
//! store.commit(todo("1"))?;
//! let todos: i64 = store.query(|db| db.query_row("SELECT count(*) FROM todos", [], |row| row.get(0)))?;
//! assert_eq!(todos, 1);
//!
//! // Nobody waits for this one, and the backend refuses it.
//! backend.refuse(|event| event.event.args.contains("\"2\""), true, "two is not allowed");
//! let id = store.commit(todo("2"))?.id();
//! let _ = store.barrier(Stage::Backend).wait(); // for the example: until it has settled
//!
//! // At the start of a program, or once in a while: what went wrong, and nobody was told of?
//! let failures = store.unobserved_failures()?;
//! assert_eq!(failures.len(), 1);
//! for failure in failures {
//!     assert_eq!(failure.quarantined.commit, id);
//!     assert_eq!(failure.quarantined.error.to_string(), "the backend refuses the commit: two is not allowed");
//!     store.acknowledge(failure.quarantined.commit)?;
//! }
//! assert!(store.unobserved_failures()?.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # Wait for durable
//!
//! `leader_sync` settles when the commit survives a crash: of the process, or with the default [`Durability::Power`](crate::Durability::Power) of
//! the machine. Await it on any executor, or wait on any thread. To wait for everything so far, use a [barrier](crate::Store::barrier).
//!
//! ```
#![doc = include_str!("setup.md")]
//! use countersign::{Settled, Stage};
//!
//! let store = open(dir, "todos.db", &backend);
//! let receipt = store.commit(todo("1"))?;
//! assert_eq!(receipt.leader_sync.wait(), Ok(Settled::Persisted));
//!
//! // Or on an executor, here a small one.
//! let receipt = store.commit(todo("2"))?;
//! futures_lite::future::block_on(async { (&receipt.leader_sync).await })?;
//!
//! // Or all of it at once, whoever has committed it.
//! store.commit(todo("3"))?;
//! store.barrier(Stage::Leader).wait()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Wait for confirmed, with a deadline
//!
//! `backend_sync` settles when the backend has given the commit its place in the one global order. That may take as long as an outage
//! does, so wait with a deadline, and say what it waits for. The deadline is the caller's alone: the commit goes on.
//!
//! ```
#![doc = include_str!("setup.md")]
//! use std::time::Duration;
//! use countersign::Waited;
//!
//! let store = open(dir, "todos.db", &backend);
//! backend.switch().off(); // an outage
//! let receipt = store.commit(todo("1"))?;
//! match receipt.backend_sync.wait_timeout(Duration::from_millis(50)) {
//!     Waited::Settled(outcome) => println!("{:?}", outcome?.position()),
//!     Waited::Pending(_) => println!("{}", receipt.status()), // the reason, the attempts, what is ahead of it
//! }
//! backend.switch().on();
//! let places: Vec<_> = receipt.updates().blocking().map(|status| status.to_string()).collect();
//! assert!(places.last().is_some_and(|last| last.contains("backend ok")));
//! assert_eq!(receipt.backend_sync.wait()?.position().map(|at| at.to_string()).as_deref(), Some("e1"));
//! # Ok(())
//! # }
//! ```
//!
//! # Survive a restart
//!
//! A receipt's identity is a small text: store it beside whatever depends on the commit, and find the receipt again after any restart,
//! of the store or of the machine. It is live, or settled as it settled, or unknown to this store; it never hangs.
//!
//! ```
#![doc = include_str!("setup.md")]
//! use std::time::Duration;
//! use countersign::CommitId;
//!
//! backend.switch().off();
//! let store = open(dir, "todos.db", &backend);
//! let remembered: String = store.commit(todo("1"))?.id().to_string();
//! let report = store.close(Duration::from_secs(10));
//! assert!(report.persisted);
//! assert_eq!(report.unresolved.len(), 1); // goes on after the next opening
//!
//! backend.switch().on();
//! let store = open(dir, "todos.db", &backend);
//! let id: CommitId = remembered.parse()?;
//! let receipt = store.receipt(id)?.expect("this store has made it");
//! receipt.backend_sync.wait()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Read your writes on another client
//!
//! A server commits, waits until that is confirmed, and answers with a token of the position. Its client, with a store of its own on the
//! same backend, waits until that store has come there; a query from then on includes the server's write.
//!
//! ```
#![doc = include_str!("setup.md")]
//! use std::time::Duration;
//! use countersign::PositionToken;
//!
//! let (server, client) = (open(dir, "server.db", &backend), open(dir, "client.db", &backend));
//! // On the server, in a handler: the token goes into the answer.
//! let confirmed = server.commit(todo("1"))?.backend_sync.wait()?;
//! let answer: String = confirmed.token().expect("it has a place").to_string();
//!
//! // On the client, with the answer in hand.
//! let token: PositionToken = answer.parse()?;
//! match client.reached(&token).wait_timeout(Duration::from_secs(60)) {
//!     Some(reached) => reached?,
//!     None => println!("still offline: show what is there"),
//! }
//! let todos: i64 = client.query(|db| db.query_row("SELECT count(*) FROM todos", [], |row| row.get(0)))?;
//! assert_eq!(todos, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Handle a refusal
//!
//! A failure says what is certain, and where the events are. A commit that the backend refuses for ever, or that no longer applies behind
//! others' events, is undone and kept in quarantine, and later commits go on. There it can be looked at, committed again or let go of.
//!
//! ```
#![doc = include_str!("setup.md")]
//! use countersign::{Certainty, Risk, SyncError, Whereabouts};
//!
//! let store = open(dir, "todos.db", &backend);
//! backend.refuse(|event| event.event.args.contains("\"2\""), true, "two is not allowed");
//! let refused = store.commit(todo("2"))?;
//! let fine = store.commit(todo("3"))?;
//! match refused.backend_sync.wait() {
//!     Err(error @ SyncError::Rejected { .. }) => {
//!         assert_eq!(error.to_string(), "the backend refuses the commit: two is not allowed");
//!         assert_eq!((error.certainty(), error.events()), (Certainty::NotApplied, Whereabouts::Quarantine));
//!     }
//!     other => panic!("{other:?}"),
//! }
//! fine.backend_sync.wait()?;
//!
//! let failures = store.failures()?;
//! assert_eq!(failures[0].quarantined.events[0].event.args.as_ref(), r#"{"id":"2","text":"water the plants"}"#);
//! backend.accept_all(); // somebody has allowed it
//! let again = store.retry(refused.id(), Risk::NoDuplicate)?;
//! again.backend_sync.wait()?;
//! assert!(store.failures()?.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # Guard a commit
//!
//! What holds when a commit is made may not hold where it comes to stand: behind what others have done meanwhile. A commit may carry a
//! [guard](crate::ToEvents::guarded), a condition on the state that the schema has by name. It is asked when the commit is made, and by
//! the leader whenever the commit comes onto another state, after a restart too. Where the backend confirms the commit, its guard held.
//!
//! ```
#![doc = include_str!("setup.md")]
//! use countersign::{ToEvents as _, NewGuard, SyncError};
//!
//! // The schema has it as "SELECT count(*) = 0 FROM todos WHERE id = :id".
//! let free = || NewGuard::new("v1.TodoFree", serde_json::json!({ "id": "1" }));
//! let their_backend = EmbeddedBackend::open(dir.join("backend.db"))?;
//! let (ours, theirs) = (open(dir, "ours.db", &backend), open(dir, "theirs.db", &their_backend));
//!
//! their_backend.switch().off(); // they are offline, and don't know of ours
//! let second = theirs.commit(todo("1").guarded(free()))?;
//! second.leader_sync.wait()?;
//! ours.commit(todo("1").guarded(free()))?.backend_sync.wait()?;
//!
//! their_backend.switch().on();
//! match second.backend_sync.wait() {
//!     Err(SyncError::Conflict { message, .. }) => assert_eq!(&*message, "there is one already"),
//!     other => panic!("{other:?}"),
//! }
//! assert_eq!(theirs.failures()?.len(), 1);
//! assert!(ours.commit(todo("1").guarded(free())).is_err(), "known at once, where it can be");
//! # Ok(())
//! # }
//! ```

pub mod rules;
