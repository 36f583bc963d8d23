//! Lanes on a backend, and events for them.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign::backend::{Backend, EmbeddedBackend, Lanes, Who};
use countersign_core::{BackendId, Event, EventId, OwnEvent, Pull, PulledEvent, Push, SessionId};
use tempfile::TempDir;

pub(crate) fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("backend.db");
    (dir, path)
}

pub(crate) fn open(path: &Path) -> EmbeddedBackend {
    EmbeddedBackend::open(path).unwrap()
}

pub(crate) fn lanes(backend: &EmbeddedBackend, client: &str) -> Lanes {
    backend.lanes(&Who { store_id: "store".into(), client: client.into() }).unwrap()
}

/// An event of one commit, in the session with this number.
pub(crate) fn event(session: u8, ordinal: u64, args: &str) -> OwnEvent {
    let event = Event { name: "v1.Noted".into(), args: args.into(), client_only: false };
    let id = EventId { session: SessionId([session; 16]), ordinal };
    OwnEvent { id, commit: ordinal, last: true, guard: None, event: Arc::new(event) }
}

/// Small events of one session, with these ordinals, which are their args, too.
pub(crate) fn events(session: u8, ordinals: RangeInclusive<u64>) -> Vec<OwnEvent> {
    ordinals.map(|ordinal| event(session, ordinal, &ordinal.to_string())).collect()
}

pub(crate) fn push(parent: u64, events: Vec<OwnEvent>) -> Push {
    Push { parent, backend: None, events }
}

pub(crate) fn fresh(after: u64) -> Pull {
    Pull { after, fresh: true, backend: None }
}

pub(crate) fn next(after: u64) -> Pull {
    Pull { after, fresh: false, backend: None }
}

pub(crate) fn of(pull: Pull, backend: &BackendId) -> Pull {
    Pull { backend: Some(backend.clone()), ..pull }
}

pub(crate) fn positions(events: &[PulledEvent]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

/// Every event follows the one before it.
pub(crate) fn assert_contiguous(log: &[PulledEvent]) {
    for (event, seq) in log.iter().zip(1..) {
        assert_eq!((event.seq, event.parent), (seq, seq - 1));
    }
}
