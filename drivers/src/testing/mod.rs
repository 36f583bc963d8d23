//! For the tests of applications: every outcome of a receipt, without a network and without waiting.
//!
//! - An [`EmbeddedBackend`](crate::backend::EmbeddedBackend) on a file of the test's own is a real backend, and fails on request.
//! - A [`TestClock`] given to [`Opener::clock`](crate::Opener::clock) makes retries, the offline deadline, the policy for stuck commits and
//!   ages a matter of [`TestClock::advance`].
//! - A store is opened on a real file, in a temporary folder: what is tested is what runs.
//!
//! | to see | do |
//! |---|---|
//! | [`Settled::Confirmed`](crate::Settled::Confirmed) at another place than first | commit from a second store on the same backend, while this one's [`switch`](crate::backend::EmbeddedBackend::switch) is off |
//! | [`Settled::NotApplicable`](crate::Settled::NotApplicable) | commit client-only events, or open without a backend |
//! | [`Why::Offline`](crate::Why::Offline) | [`switch().off()`](crate::backend::Switch::off) |
//! | [`SyncError::IsOffline`](crate::SyncError::IsOffline) | [`Config::offline`](crate::Config::offline) with a deadline, the switch off, [`TestClock::advance`] beyond it; or [`News::OfflineForGood`](crate::News::OfflineForGood) |
//! | a push that did not arrive | [`fail_next_pushes`](crate::backend::EmbeddedBackend::fail_next_pushes) |
//! | a push that arrived, and its reply did not | [`lose_next_replies`](crate::backend::EmbeddedBackend::lose_next_replies) |
//! | [`Why::NeedsAuth`](crate::Why::NeedsAuth) | [`want_credentials`](crate::backend::EmbeddedBackend::want_credentials); then [`take_credentials`](crate::backend::EmbeddedBackend::take_credentials) and [`News::Authenticated`](crate::News::Authenticated) |
//! | [`SyncError::Rejected`](crate::SyncError::Rejected) | [`refuse`](crate::backend::EmbeddedBackend::refuse) for ever |
//! | [`Why::Stuck`](crate::Why::Stuck), [`Why::Fenced`](crate::Why::Fenced) | [`refuse`](crate::backend::EmbeddedBackend::refuse), not for ever; one commit behind it |
//! | [`SyncError::Withdrawn`](crate::SyncError::Withdrawn) | [`Store::withdraw`](crate::Store::withdraw) while it is pending; or [`StuckPolicy::WithdrawAfter`](crate::StuckPolicy::WithdrawAfter) and [`TestClock::advance`] |
//! | [`SyncError::InvalidPush`](crate::SyncError::InvalidPush), another backend | [`reset`](crate::backend::EmbeddedBackend::reset) |
//! | the same, the backend lost history | [`truncate`](crate::backend::EmbeddedBackend::truncate) |
//! | [`Why::BackendLogBroken`](crate::Why::BackendLogBroken) | [`leave_out`](crate::backend::EmbeddedBackend::leave_out) an event of another store, while this one's switch is off |
//! | [`Why::NoBackend`](crate::Why::NoBackend) | open a store without the backend that its commits wait for |
//! | [`SyncError::Materialise`](crate::SyncError::Materialise) | offline, commit what another store's event makes impossible (the same primary key); then online |
//! | a skipped event ([`Status::skipped`](crate::core::Status::skipped)) | commit it from a store whose schema knows more |
//! | [`Why::StorageTrouble`](crate::Why::StorageTrouble) | [`Opener::size_limit`](crate::Opener::size_limit) |
//! | [`SyncError::Closed`](crate::SyncError::Closed) | [`Store::close`](crate::Store::close) while something is pending |
//! | [`CommitError::Refused`](crate::CommitError::Refused) by a limit | a small [`Config::pending_events`](crate::Config::pending_events), `pending_bytes` or `pending_age` |
//!
//! ```
//! use std::time::Duration;
//! # use countersign::{NewEvent, Schema};
//! use countersign::backend::EmbeddedBackend;
//! use countersign::testing::TestClock;
//! use countersign::{Config, OfflinePolicy, Store, SyncError};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let schema = Schema::builder(1).event_sql("v1.Noted", false, ["SELECT 1"; 0]).build()?;
//! # let noted = || NewEvent::new("v1.Noted", serde_json::json!({ "text": "milk" }));
//! let dir = tempfile::tempdir()?;
//! let backend = EmbeddedBackend::open(dir.path().join("backend.db"))?;
//! backend.switch().off();
//! let clock = TestClock::new();
//! let offline = OfflinePolicy { deadline: Some(Duration::from_secs(3600)), withdraw: false };
//! let store = Store::open(dir.path().join("store.db"))
//!     .schema(schema)
//!     .backend(backend)
//!     .config(Config { offline, ..Config::default() })
//!     .clock(clock.clone())
//!     .blocking()?;
//! let receipt = store.commit(noted())?;
//! // The outage has to be noticed before it can last.
//! store.wait_until(Duration::from_secs(60), |status| status.pull_error.is_some()).expect("an outage");
//! clock.advance(Duration::from_secs(3600));
//! assert!(matches!(receipt.backend_sync.wait(), Err(SyncError::IsOffline { .. })));
//! # Ok(())
//! # }
//! ```

mod clock;

pub use clock::TestClock;
