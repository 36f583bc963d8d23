//! Waiting for the store to stand somewhere.

use std::time::{Duration, Instant};

use countersign_core::Status;

use super::{Store, inside};

impl Store {
    /// Blocks until the status is as wanted, or this long at most; looks again whenever something has happened. `Err` has the last
    /// status that was not as wanted. The closure must not use the store.
    ///
    /// # Errors
    ///
    /// The time is over, or the call comes from inside a query or a materialiser, where the wait could never end.
    #[expect(clippy::result_large_err, reason = "asked for once in a while, and a status either way")]
    pub fn wait_until(&self, timeout: Duration, mut wanted: impl FnMut(&Status) -> bool) -> Result<Status, Status> {
        let shared = self.shared();
        let deadline = if inside::is_inside() { Some(Instant::now()) } else { Instant::now().checked_add(timeout) };
        let reached = shared.turns.wait(deadline, || {
            let status = shared.status();
            wanted(&status).then_some(status)
        });
        reached.ok_or_else(|| shared.status())
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::SyncState;

    use super::*;
    use crate::backend::EmbeddedBackend;
    use crate::{NewEvent, Schema};

    #[test]
    fn a_status_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let none: [&str; 0] = [];
        let schema = Schema::builder(1).event_sql("v1.Noted", false, none).build().unwrap();
        let backend = EmbeddedBackend::open(dir.path().join("backend.db")).unwrap();
        let switch = backend.switch();
        let store = Store::open(dir.path().join("store.db")).schema(schema).backend(backend).blocking().unwrap();
        store.wait_until(Duration::from_secs(10), |status| status.sync == SyncState::Synced).unwrap();
        switch.off();
        store.wait_until(Duration::from_secs(10), |status| matches!(status.sync, SyncState::Offline { .. })).unwrap();
        let receipt = store.commit(NewEvent::new("v1.Noted", serde_json::Value::Null)).unwrap();
        let pending = store.wait_until(Duration::from_millis(1), |status| status.pending_events == 0).unwrap_err();
        assert_eq!(pending.pending_events, 1);
        switch.on();
        let synced = |status: &Status| status.sync == SyncState::Synced && status.pending_events == 0;
        store.wait_until(Duration::from_secs(10), synced).unwrap();
        assert!(receipt.backend_sync.peek().unwrap().is_ok());
    }
}
