//! The storage lane: the store's file, on a thread of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use countersign_core::{EffectId, Input, Materialised, SessionId, Txn};

use super::Shared;
use super::lane::Next;
use super::session::Due;
use crate::storage::Storage;
use crate::store::{close_if_abandoned, inside};
use crate::sync::atomic::Ordering;

/// An order for the file.
pub(crate) enum Job {
    Materialise(EffectId, Arc<Txn>),
    Snapshot(EffectId, SessionId),
    /// Something that is no business of the machine's: settings, acknowledgements.
    Run(Box<dyn FnOnce(&mut Storage) + Send>),
}

/// A snapshot that is to be taken again. The machine has not been answered: it would ask again at once.
struct Later {
    at: Instant,
    id: EffectId,
    session: SessionId,
}

/// Carries out orders until the lane is closed. The file is closed, and its lock let go, when this returns.
pub(crate) fn run(shared: &Arc<Shared>, mut storage: Storage) {
    count_skipped(shared, &mut storage);
    let mut later: VecDeque<Later> = VecDeque::new();
    loop {
        match shared.storage.take(later.front().map(|snapshot| snapshot.at)) {
            Next::Order(Job::Materialise(id, txn)) => materialise(shared, &mut storage, id, &txn),
            Next::Order(Job::Snapshot(id, session)) => later.extend(snapshot(shared, &mut storage, id, session)),
            Next::Order(Job::Run(work)) => work(&mut storage),
            Next::Late => {
                if let Some(Later { id, session, .. }) = later.pop_front() {
                    later.extend(snapshot(shared, &mut storage, id, session));
                }
            }
            Next::Closed => break,
        }
    }
}

fn materialise(shared: &Arc<Shared>, storage: &mut Storage, id: EffectId, txn: &Txn) {
    let outcome = {
        let _inside = inside::enter();
        storage.materialise(txn)
    };
    let may_skip = matches!(&outcome, Materialised::Committed { skipped } if !skipped.is_empty());
    if may_skip || txn.undo_to.is_some() || txn.wipe {
        count_skipped(shared, storage);
    }
    shared.with(|hub, now| {
        hub.storing.retain(|(stored, _)| *stored != id);
        hub.node.handle(now, Input::Materialised { id, outcome });
    });
    shared.signal_rest(|_| ());
    close_if_abandoned(shared);
}

/// Counts anew what has no effect on the state. What can't be counted now is counted the next time.
fn count_skipped(shared: &Shared, storage: &mut Storage) {
    if let Ok(skipped) = storage.skipped() {
        shared.skipped.store(skipped, Ordering::Relaxed);
    }
}

/// Seeds a session's database; answers what has to be tried again.
fn snapshot(shared: &Arc<Shared>, storage: &mut Storage, id: EffectId, session: SessionId) -> Option<Later> {
    let Some(cell) = shared.session(session) else {
        shared.feed(Input::Seeded { id, seed: None });
        return None;
    };
    match storage.snapshot() {
        Ok((db, seed)) => {
            // The session's lane puts it in place: this thread waits for no query.
            cell.put(Due::Swap(id, Box::new(db), seed));
            cell.run(shared);
            None
        }
        Err(failure) => {
            tracing::warn!(message = %failure.message, %session, "no snapshot");
            cell.failed(failure);
            Some(Later { at: Instant::now() + shared.snapshot_retry, id, session })
        }
    }
}
