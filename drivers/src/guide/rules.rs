//! What a receipt promises, rule by rule, each with an example.
//!
//! # 1. Never early
//!
//! A stage never resolves before what it says is true. Only what is persisted is ever pushed, so the backend stage implies the leader's.
//!
//! ```
#![doc = include_str!("setup.md")]
//! use countersign::Settled;
//!
//! let store = open(dir, "todos.db", &backend);
//! let receipt = store.commit(todo("1"))?;
//! let confirmed = receipt.backend_sync.wait()?;
//! assert_eq!(receipt.leader_sync.peek(), Some(Ok(Settled::Persisted)));
//! assert_eq!(confirmed.position().map(|at| at.global), Some(backend.head()?));
//! # Ok(())
//! # }
//! ```
//!
//! # 2. Once
//!
//! A stage settles at most once; every waiter, early or late, sees the same. An error is stored before it is said. (After a crash, an `Ok`
//! said on an acknowledgement alone may be found pending again; it settles the same, unless the backend lost it.)
//!
//! ```
#![doc = include_str!("setup.md")]
//! let store = open(dir, "todos.db", &backend);
//! let receipt = store.commit(todo("1"))?;
//! let stage = receipt.backend_sync.clone();
//! let elsewhere = std::thread::spawn(move || stage.wait());
//! assert_eq!(receipt.backend_sync.wait(), elsewhere.join().unwrap());
//! assert_eq!(receipt.backend_sync.peek(), Some(receipt.backend_sync.wait()));
//! # Ok(())
//! # }
//! ```
//!
//! # 3. In order
//!
//! Per session and stage, `Ok` comes in commit order. `Err` and `NotApplicable` come as soon as they are known.
//!
//! ```
#![doc = include_str!("setup.md")]
//! use countersign::SyncError;
//!
//! backend.switch().off();
//! let store = open(dir, "todos.db", &backend);
//! let receipts = [store.commit(todo("1"))?, store.commit(todo("2"))?, store.commit(todo("3"))?];
//! store.withdraw(receipts[1].id());
//! assert!(matches!(receipts[1].backend_sync.wait(), Err(SyncError::Withdrawn { .. })));
//! assert_eq!(receipts[0].backend_sync.peek(), None); // earlier, and still open
//! backend.switch().on();
//! receipts[2].backend_sync.wait()?;
//! assert!(receipts[0].backend_sync.peek().is_some()); // said before the later one was
//! # Ok(())
//! # }
//! ```
//!
//! # 4. Everything settles
//!
//! Once faults stop, or the store closes, every wait ends. An empty commit, one of client-only events, and a store without a backend settle as
//! `NotApplicable`, together with the leader stage. The only exceptions are named in the [status](crate::CommitReceipt::status): a
//! backend that is another one, where the policy is to ignore that, a commit that is [stuck](crate::Why::Stuck), and those
//! [fenced](crate::Why::Fenced) behind it.
//!
//! ```
#![doc = include_str!("setup.md")]
//! use std::time::Duration;
//! use countersign::{Settled, SyncError};
//!
//! let local = Store::open(dir.join("local.db")).schema(schema()).blocking()?;
//! assert_eq!(local.commit(todo("1"))?.backend_sync.wait(), Ok(Settled::NotApplicable));
//!
//! backend.switch().off();
//! let store = open(dir, "todos.db", &backend);
//! let receipt = store.commit(todo("1"))?;
//! assert!(store.close(Duration::from_secs(10)).persisted);
//! assert_eq!(receipt.backend_sync.wait(), Err(SyncError::Closed { durable: true }));
//! # Ok(())
//! # }
//! ```
//!
//! # 5. Waiting changes nothing
//!
//! Dropping, cancelling or timing out a wait never touches the commit.
//!
//! ```
#![doc = include_str!("setup.md")]
//! use std::future::IntoFuture;
//! use std::time::Duration;
//!
//! let store = open(dir, "todos.db", &backend);
//! let receipt = store.commit(todo("1"))?;
//! let _ = receipt.backend_sync.wait_timeout(Duration::ZERO);
//! drop(receipt.backend_sync.clone().into_future());
//! drop(receipt.updates());
//! let id = receipt.id();
//! drop(receipt);
//! store.receipt(id)?.expect("known").backend_sync.wait()?;
//! # Ok(())
//! # }
//! ```
//!
//! # 6. Temporary trouble is not failure
//!
//! Offline, time-outs, lost replies, restarts, a full disk that is freed again, others' events that came first: the stage stays pending, unless an
//! [offline deadline](crate::OfflinePolicy) was set, and the receipt follows its events through all of them.
//!
//! ```
#![doc = include_str!("setup.md")]
//! let (store, other) = (open(dir, "todos.db", &backend), open(dir, "other.db", &EmbeddedBackend::open(dir.join("backend.db"))?));
//! backend.switch().off();
//! let receipt = store.commit(todo("1"))?;
//! receipt.leader_sync.wait()?; // at e1, for now
//! other.commit(todo("2"))?.backend_sync.wait()?; // takes e1
//! backend.lose_next_replies(1);
//! backend.switch().on();
//! let confirmed = receipt.backend_sync.wait()?;
//! assert_eq!(confirmed.position().map(|at| at.to_string()).as_deref(), Some("e2"));
//! assert_eq!(backend.head()?, 2); // and nothing twice
//! # Ok(())
//! # }
//! ```
//!
//! # 7. A failure says what is certain
//!
//! With a typed cause, the [certainty](crate::Certainty), and [where the events are](crate::Whereabouts): queued, in quarantine, or handed back.
//!
//! ```
#![doc = include_str!("setup.md")]
//! use countersign::{Certainty, Class, News, Whereabouts};
//!
//! backend.switch().off();
//! let store = open(dir, "todos.db", &backend);
//! let receipt = store.commit(todo("1"))?;
//! store.tell(News::OfflineForGood);
//! let error = receipt.backend_sync.wait().unwrap_err();
//! assert_eq!((error.class(), error.certainty(), error.events()), (Class::Retryable, Certainty::Unknown, Whereabouts::Queued));
//! # Ok(())
//! # }
//! ```
//!
//! # 8. Restart-proof
//!
//! [`Store::receipt`](crate::Store::receipt) finds the receipt again after a restart: live, settled, or unknown to this store.
//!
//! ```
#![doc = include_str!("setup.md")]
//! use countersign::CommitId;
//!
//! let store = open(dir, "todos.db", &backend);
//! let receipt = store.commit(todo("1"))?;
//! let outcome = receipt.backend_sync.wait();
//! drop(store);
//! let store = open(dir, "todos.db", &backend);
//! let again = store.receipt(receipt.id())?.expect("known");
//! assert_eq!(again.backend_sync.wait(), outcome);
//! assert!(store.receipt(CommitId { ordinal: 7, ..receipt.id() })?.is_none());
//! # Ok(())
//! # }
//! ```
