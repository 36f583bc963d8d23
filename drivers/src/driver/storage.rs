//! The storage lane: the store's file, on a thread of its own.

use std::sync::Arc;

use countersign_core::{EffectId, Input, SessionId, Txn};

use super::Shared;
use super::session::Due;
use crate::storage::Storage;
use crate::store::{close_if_drained, inside};

/// An order for the file.
pub(crate) enum Job {
    Materialise(EffectId, Arc<Txn>),
    Snapshot(EffectId, SessionId),
    /// Something that is no business of the machine's: settings, acknowledgements.
    Run(Box<dyn FnOnce(&mut Storage) + Send>),
}

/// Carries out orders until the lane is closed and empty.
pub(crate) fn run(shared: &Arc<Shared>, mut storage: Storage) {
    while let Some(job) = shared.storage.take() {
        match job {
            Job::Materialise(id, txn) => {
                let outcome = {
                    let _inside = inside::enter();
                    storage.materialise(&txn)
                };
                shared.feed(Input::Materialised { id, outcome });
                shared.signal_rest(|ended| ended.stored += 1);
                if shared.is_abandoned() {
                    close_if_drained(shared);
                }
            }
            Job::Snapshot(id, session) => snapshot(shared, &mut storage, id, session),
            Job::Run(work) => work(&mut storage),
        }
    }
    // The file is closed and its lock let go before anybody is told.
    drop(storage);
    shared.signal_rest(|ended| ended.lanes += 1);
}

fn snapshot(shared: &Arc<Shared>, storage: &mut Storage, id: EffectId, session: SessionId) {
    let Some(cell) = shared.session(session) else {
        return shared.feed(Input::Seeded { id, seed: None });
    };
    match storage.snapshot() {
        Ok((db, seed)) => {
            // The session's lane puts it in place: this thread waits for no query.
            cell.put(Due::Swap(id, Box::new(db), seed));
            cell.run(shared);
        }
        Err(failure) => {
            tracing::warn!(message = %failure.message, %session, "no snapshot");
            cell.failed(failure);
            shared.feed(Input::Seeded { id, seed: None });
        }
    }
}
