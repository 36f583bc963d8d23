//! Races with the end of a store.

use std::time::Duration;

use countersign_core::{CommitId, SyncError};

use super::{commits, fate, noted, opener, place, stored, wait_for_file};
use crate::races::check;
use crate::receipt::Settled;
use crate::store::SessionError;
use crate::sync::thread;

// Verifies: R1, R3, V1
#[test]
fn a_store_that_is_closed_meanwhile_has_what_it_took() {
    check(|| {
        let place = place();
        let store = opener(&place).blocking().unwrap();
        let threads = [commits(&store.session, "a", 2), commits(&store.session, "b", 2)];
        let report = store.clone().close(Duration::MAX);
        assert!(report.persisted && report.unpersisted.is_empty() && report.uncertain.is_empty(), "{report:?}");
        let taken: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        for (text, receipt) in &taken {
            assert_eq!(fate(receipt), Ok(Settled::Persisted), "{text}");
        }
        drop(store);
        let mut stored = stored(&place);
        stored.sort_unstable();
        let mut taken: Vec<String> = taken.into_iter().map(|(text, _)| text).collect();
        taken.sort_unstable();
        assert_eq!(stored, taken);
    });
}

// Verifies: V1
#[test]
fn a_commit_that_is_refused_meanwhile_does_not_hold_up_the_end() {
    check(|| {
        let place = place();
        let store = opener(&place).blocking().unwrap();
        let refused = [(); 2].map(|()| {
            let store = store.clone();
            thread::spawn(move || assert!(store.commit(noted("")).is_err()))
        });
        assert!(store.clone().close(Duration::MAX).persisted);
        refused.into_iter().for_each(|refused| refused.join().unwrap());
    });
}

// Verifies: R1, R3, V1
#[test]
fn a_store_that_is_closed_at_once_says_what_it_has_not_stored() {
    check(|| {
        let place = place();
        let store = opener(&place).blocking().unwrap();
        let threads = [commits(&store.session, "a", 2), commits(&store.session, "b", 2)];
        let report = store.clone().close(Duration::ZERO);
        let taken: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        wait_for_file(&store);
        let fates: Vec<_> = taken.iter().map(|(text, receipt)| (text, receipt.id(), fate(receipt))).collect();
        drop(store);
        let stored = stored(&place);
        let names = |handed_back: &[(CommitId, countersign_core::Batch)], id| handed_back.iter().any(|(of, _)| *of == id);
        for (text, id, fate) in fates {
            let (is_back, is_uncertain) = (names(&report.unpersisted, id), names(&report.uncertain, id));
            match fate {
                Ok(Settled::Persisted) => assert!(stored.contains(text) && !is_back && !is_uncertain, "{text}"),
                Err(SyncError::Closed { durable: false }) => assert!(!stored.contains(text) && is_back, "{text}"),
                Err(SyncError::Unknown { .. }) => assert!(is_uncertain && !is_back, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    });
}

// Verifies: R3, R7
#[test]
fn what_was_committed_when_the_last_handle_goes_is_stored() {
    check(|| {
        let place = place();
        let store = opener(&place).blocking().unwrap();
        let threads = [commits(&store.session, "a", 1), commits(&store.session, "b", 2)];
        drop(store);
        let taken: usize = threads.into_iter().map(|thread| thread.join().unwrap().len()).sum();
        assert_eq!(taken, 3);
        // The last handle waits, whichever thread has had it.
        assert_eq!(stored(&place).len(), 3);
    });
}

// Verifies: R1, V1
#[test]
fn a_session_is_opened_or_told_that_the_store_is_closed() {
    check(|| {
        let place = place();
        let store = opener(&place).blocking().unwrap();
        let opens = {
            let store = store.clone();
            thread::spawn(move || match store.session() {
                Ok(session) => commits(&session, "a", 1).join().unwrap().len(),
                Err(SessionError::Closed) => 0,
                Err(error) => panic!("{error}"),
            })
        };
        let report = store.clone().close(Duration::MAX);
        assert!(report.persisted, "{report:?}");
        let taken = opens.join().unwrap();
        drop(store);
        assert_eq!(stored(&place).len(), taken);
    });
}
