//! Races for a session: whoever holds it runs what is due in it, and nobody waits for whoever holds it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_core::{EffectId, Seed, Seq, SessionId, SessionTxn};

use super::{Due, SessionCell};
use crate::races::{check, schema, shared};
use crate::session::SessionDb;
use crate::sync::thread;

fn due(number: u64) -> Due {
    Due::Run(EffectId(number), SessionTxn::default())
}

fn database(number: u64) -> Due {
    let db = SessionDb::new(&schema()).unwrap();
    Due::Swap(EffectId(number), Box::new(db), Seed { number: 0, head: Seq::ROOT, pending: Vec::new() })
}

/// What becomes due while somebody holds the session is done by then, or by whoever made it due.
// Verifies: V1, D3
#[test]
fn nothing_that_is_due_stays_with_nobody_to_run_it() {
    check(|| {
        let shared = shared(schema());
        let cell = Arc::new(SessionCell::new(SessionId([1; 16])));
        let uses = {
            let (shared, cell) = (Arc::clone(&shared), Arc::clone(&cell));
            thread::spawn(move || {
                for _ in 0..2 {
                    drop(cell.acquire(&shared));
                }
            })
        };
        let orders = [1, 10].map(|from| {
            let (shared, cell) = (Arc::clone(&shared), Arc::clone(&cell));
            thread::spawn(move || {
                for number in from..from + 2 {
                    cell.put(due(number));
                    cell.run(&shared);
                }
            })
        });
        orders.into_iter().chain([uses]).for_each(|thread| thread.join().unwrap());
        assert!(!cell.has_due());
    });
}

// Verifies: V1
#[test]
fn who_waits_for_a_database_gets_it_whoever_puts_it_in_place() {
    check(|| {
        let shared = shared(schema());
        let cell = Arc::new(SessionCell::new(SessionId([1; 16])));
        let waits = [(); 2].map(|()| {
            let (shared, cell) = (Arc::clone(&shared), Arc::clone(&cell));
            thread::spawn(move || {
                let deadline = Instant::now() + Duration::from_secs(600);
                let mut held = cell.acquire(&shared);
                while held.db().is_none() {
                    held.wait_for_due(deadline).unwrap();
                }
            })
        });
        let orders = {
            let (shared, cell) = (Arc::clone(&shared), Arc::clone(&cell));
            thread::spawn(move || {
                cell.put(due(1));
                cell.run(&shared);
                cell.put(database(2));
                cell.run(&shared);
            })
        };
        waits.into_iter().chain([orders]).for_each(|thread| thread.join().unwrap());
        assert!(!cell.has_due());
    });
}

// Verifies: V1
#[test]
fn who_waits_for_a_database_is_told_that_the_session_is_closed() {
    check(|| {
        let shared = shared(schema());
        let cell = Arc::new(SessionCell::new(SessionId([1; 16])));
        let waits = {
            let (shared, cell) = (Arc::clone(&shared), Arc::clone(&cell));
            thread::spawn(move || {
                let deadline = Instant::now() + Duration::from_secs(600);
                let mut held = cell.acquire(&shared);
                while held.wait_for_due(deadline).is_ok() {}
            })
        };
        let orders = {
            let (shared, cell) = (Arc::clone(&shared), Arc::clone(&cell));
            thread::spawn(move || {
                cell.put(due(1));
                cell.run(&shared);
            })
        };
        let closes = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || cell.close())
        };
        [waits, orders, closes].into_iter().for_each(|thread| thread.join().unwrap());
        assert!(!cell.has_due());
    });
}
