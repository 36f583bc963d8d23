//! Races in a store with a backend.

use std::time::Duration;

use countersign_core::{CommitId, SyncError};

use super::{BACKEND, STORE, commits, noted, notes, opener, place, stored, wait_for_file};
use crate::backend::EmbeddedBackend;
use crate::races::check;
use crate::receipt::Settled;
use crate::storage::Reader;
use crate::store::{LookupError, News, Risk};
use crate::sync::thread;

// Verifies: R1, R2, R4, V1
#[test]
fn what_two_threads_commit_is_confirmed_once_and_the_backend_is_let_go() {
    check(|| {
        let place = place();
        let backend = EmbeddedBackend::open(place.path().join(BACKEND)).unwrap();
        let store = opener(&place).backend(backend).blocking().unwrap();
        let threads = [commits(&store.session, "a", 1), commits(&store.session, "b", 1)];
        let mut places: Vec<u64> = Vec::new();
        for thread in threads {
            for (_, receipt) in thread.join().unwrap() {
                let settled = receipt.backend_sync.wait().unwrap();
                assert_eq!(receipt.leader_sync.peek(), Some(Ok(Settled::Persisted)), "the leader comes first");
                places.push(settled.position().unwrap().global);
            }
        }
        places.sort_unstable();
        assert_eq!(places, [1, 2]);
        let report = store.close(Duration::MAX);
        assert!(report.persisted && report.unresolved.is_empty() && report.confirmed == 2, "{report:?}");
    });
}

// Verifies: R1, R2, V1
#[test]
fn every_wait_ends_when_a_store_with_a_backend_is_closed_meanwhile() {
    check(|| {
        let place = place();
        let backend = EmbeddedBackend::open(place.path().join(BACKEND)).unwrap();
        let store = opener(&place).backend(backend).blocking().unwrap();
        let threads = [commits(&store.session, "a", 1), commits(&store.session, "b", 1)];
        let report = store.clone().close(Duration::MAX);
        assert!(report.persisted, "{report:?}");
        for (_, receipt) in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
            assert_eq!(receipt.leader_sync.wait(), Ok(Settled::Persisted));
            let is_open = report.unresolved.contains(&receipt.id());
            match receipt.backend_sync.wait() {
                Ok(Settled::Confirmed(_)) => assert!(!is_open),
                Err(SyncError::Closed { durable: true }) => assert!(is_open),
                other => panic!("{other:?}"),
            }
        }
        drop(store);
        let pending = Reader::open(&place.path().join(STORE)).unwrap().pending(9).unwrap();
        let mut pending: Vec<CommitId> = pending.into_iter().map(|pending| pending.commit).collect();
        pending.sort_unstable();
        assert_eq!(pending, report.unresolved, "what was answered is stored");
    });
}

// Verifies: R1, V1
#[test]
fn another_client_comes_to_a_position_that_was_confirmed_meanwhile() {
    check(|| {
        let place = place();
        let backend = EmbeddedBackend::open(place.path().join(BACKEND)).unwrap();
        let store = opener(&place).backend(backend.clone()).blocking().unwrap();
        let elsewhere = super::place();
        let other = opener(&elsewhere).backend(backend).blocking().unwrap();
        let writes = {
            let store = store.clone();
            thread::spawn(move || {
                let receipt = store.commit(noted("a")).unwrap();
                receipt.backend_sync.wait().unwrap().token().unwrap()
            })
        };
        let token = writes.join().unwrap();
        other.reached(&token).wait().unwrap();
        assert_eq!(notes(&other.session), ["a"]);
        assert!(other.close(Duration::MAX).persisted && store.close(Duration::MAX).persisted);
    });
}

// Verifies: R1, R6
#[test]
fn a_failure_is_tried_again_once_whoever_asks_and_whenever_the_store_is_closed() {
    check(|| {
        let place = place();
        let backend = EmbeddedBackend::open(place.path().join(BACKEND)).unwrap();
        let store = opener(&place).backend(backend).offline().blocking().unwrap();
        let failed = store.commit(noted("a")).unwrap();
        store.withdraw(failed.id());
        assert!(matches!(failed.backend_sync.wait(), Err(SyncError::Withdrawn { .. })));
        let tries = [(); 2].map(|()| {
            let (store, id) = (store.clone(), failed.id());
            thread::spawn(move || store.retry(id, Risk::NoDuplicate).ok())
        });
        let closes = {
            let store = store.clone();
            thread::spawn(move || assert!(store.close(Duration::MAX).persisted))
        };
        let again: Vec<_> = tries.into_iter().filter_map(|again| again.join().unwrap()).collect();
        closes.join().unwrap();
        assert!(again.len() <= 1, "{again:?}");
        for receipt in &again {
            assert_eq!(receipt.leader_sync.wait(), Ok(Settled::Persisted));
        }
        drop(store);
        assert_eq!(stored(&place).len(), again.len());
    });
}

// Verifies: R1, R8, V1
#[test]
fn every_wait_of_a_receipt_that_is_found_again_ends_when_the_store_is_closed() {
    check(|| {
        let place = place();
        let backend = EmbeddedBackend::open(place.path().join(BACKEND)).unwrap();
        let store = opener(&place).backend(backend).offline().blocking().unwrap();
        let receipt = store.commit(noted("a")).unwrap();
        let finds = [(); 2].map(|()| {
            let (store, id) = (store.clone(), receipt.id());
            thread::spawn(move || match store.receipt(id) {
                Ok(Some(found)) => {
                    let ends = (found.leader_sync.wait(), found.backend_sync.wait());
                    assert!(found.updates().blocking().last().unwrap().stage().is_none());
                    Some(ends)
                }
                Ok(None) | Err(LookupError::Closed) => None,
                Err(error) => panic!("{error}"),
            })
        });
        let tells = {
            let store = store.clone();
            thread::spawn(move || store.tell(News::OfflineForGood))
        };
        let _ = store.clone().close(Duration::ZERO);
        let ends = finds.into_iter().filter_map(|find| find.join().unwrap());
        let own = (receipt.leader_sync.wait(), receipt.backend_sync.wait());
        for found in ends {
            assert_eq!(found, own);
        }
        tells.join().unwrap();
        wait_for_file(&store);
    });
}
