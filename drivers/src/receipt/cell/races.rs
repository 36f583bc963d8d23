//! Races between those who settle a receipt and those who wait for it.

use std::future::IntoFuture as _;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};

use countersign_core::{CommitId, SessionId, Stage, SyncError};

use super::Cell;
use crate::races::check;
use crate::receipt::{CommitReceipt, Outcome, Settled};
use crate::sync::thread;

const ID: CommitId = CommitId { session: SessionId([1; 16]), ordinal: 0 };
const CLOSED: SyncError = SyncError::Closed { durable: true };

fn receipt() -> (Arc<Cell>, CommitReceipt) {
    let cell = Arc::new(Cell::open(ID, Weak::new()));
    (Arc::clone(&cell), CommitReceipt::new(cell))
}

/// Waits on a thread that is woken, or with an executor, or gives up after a look.
fn waits(receipt: &CommitReceipt) -> Vec<thread::JoinHandle<Outcome>> {
    let (on_thread, awaited, given_up) = (receipt.clone(), receipt.clone(), receipt.clone());
    vec![
        thread::spawn(move || on_thread.backend_sync.wait()),
        thread::spawn(move || shuttle::future::block_on(awaited.backend_sync.into_future())),
        thread::spawn(move || {
            let mut wait = given_up.backend_sync.clone().into_future();
            let _ = Pin::new(&mut wait).poll(&mut Context::from_waker(Waker::noop()));
            drop(wait);
            given_up.backend_sync.wait()
        }),
    ]
}

// Verifies: R1
#[test]
fn a_stage_settles_once_and_every_waiter_early_or_late_sees_the_same() {
    check(|| {
        let (cell, receipt) = receipt();
        let waits = waits(&receipt);
        let failed = SyncError::Closed { durable: false };
        let settles = [Ok(Settled::NotApplicable), Err(failed)].map(|outcome| {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                cell.settle(Stage::Leader, Cell::persisted()).wake();
                cell.settle(Stage::Backend, outcome).wake();
            })
        });
        let outcomes: Vec<Outcome> = waits.into_iter().map(|wait| wait.join().unwrap()).collect();
        settles.into_iter().for_each(|settles| settles.join().unwrap());
        let late = receipt.backend_sync.wait();
        assert!(outcomes.iter().all(|outcome| *outcome == late), "{outcomes:?}, then {late:?}");
        assert_eq!(receipt.leader_sync.peek(), Some(Ok(Settled::Persisted)));
        assert!(cell.is_settled());
    });
}

// Verifies: R1
#[test]
fn every_wait_ends_when_the_store_is_closed_and_what_has_settled_stays_so() {
    check(|| {
        let (cell, receipt) = receipt();
        let waits = waits(&receipt);
        let closes = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || cell.close(CLOSED).wake())
        };
        let settles = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || cell.settle(Stage::Leader, Cell::persisted()).wake())
        };
        for wait in waits {
            assert_eq!(wait.join().unwrap(), Err(CLOSED));
        }
        let leader = receipt.leader_sync.wait();
        assert!(leader == Ok(Settled::Persisted) || leader == Err(CLOSED));
        closes.join().unwrap();
        settles.join().unwrap();
        assert_eq!(receipt.leader_sync.peek(), Some(Ok(Settled::Persisted)));
        assert_eq!(receipt.backend_sync.peek(), Some(Err(CLOSED)));
    });
}
