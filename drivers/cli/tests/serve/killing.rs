//! `kill -9` in the middle of pushes, again and again: 20 times, or as often as `KILLS` says.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use countersign::{Settled, Waited};

use crate::support::{LONG, Noted, Server, log, store, store_over, until};

/// The first is over HTTP.
const STORES: usize = 3;

// Verifies: R4, R5, L4, L6, V3
#[test]
fn nothing_that_was_acknowledged_is_lost_and_nothing_is_stored_twice() {
    let kills = std::env::var("KILLS").map_or(20, |kills| kills.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let mut serving = Server::start(&logs, "127.0.0.1:0", &["--no-auth"]);
    let addr = serving.addr;
    let stores: Vec<_> = (0..STORES)
        .map(|n| {
            let path = dir.path().join(format!("{n}.db"));
            if n == 0 { store_over("http", &path, addr) } else { store(&path, addr) }
        })
        .collect();
    let (is_over, committed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let confirmed = AtomicUsize::new(0);
    let confirmations: Vec<(String, u64)> = std::thread::scope(|scope| {
        let writers: Vec<_> = stores
            .iter()
            .enumerate()
            .map(|(n, store)| {
                let (is_over, committed, confirmed) = (&is_over, &committed, &confirmed);
                scope.spawn(move || {
                    let mut confirmations = Vec::new();
                    let mut settle = |(text, receipt): (String, countersign::CommitReceipt)| {
                        let Waited::Settled(settled) = receipt.backend_sync.wait_timeout(LONG) else { panic!("{text} is open") };
                        let Ok(Settled::Confirmed(at)) = settled else { panic!("{text}: {settled:?}") };
                        confirmed.fetch_add(1, Ordering::SeqCst);
                        confirmations.push((text, at.positions[0]));
                    };
                    let mut open = std::collections::VecDeque::new();
                    for i in 0.. {
                        if is_over.load(Ordering::SeqCst) {
                            break;
                        }
                        let text = format!("{n} {i}");
                        open.push_back((text.clone(), store.commit(Noted { text }).unwrap()));
                        committed.fetch_add(1, Ordering::SeqCst);
                        // Some are always under way.
                        if open.len() > 20 {
                            settle(open.pop_front().unwrap());
                        }
                    }
                    open.into_iter().for_each(&mut settle);
                    confirmations
                })
            })
            .collect();
        for kill in 0..kills {
            // At another point of what goes on each time.
            let target = confirmed.load(Ordering::SeqCst) + 20 + 7 * (kill % 10);
            until("pushes are taken", || confirmed.load(Ordering::SeqCst) >= target);
            serving.kill();
            serving = Server::start(&logs, &addr.to_string(), &["--no-auth"]);
        }
        is_over.store(true, Ordering::SeqCst);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let all = committed.load(Ordering::SeqCst);
    for store in &stores {
        let count = || store.query(|db| db.query_row("SELECT count(*) FROM notes", [], |row| row.get::<_, i64>(0))).unwrap();
        until("all stores have all notes", || count() == all as i64);
    }
    drop(stores);
    serving.signal("-TERM");
    assert_eq!(serving.ended().1.code(), Some(0));
    let log = log(&logs);
    assert_eq!((log.len(), confirmations.len()), (all, all));
    for (text, at) in confirmations {
        assert_eq!(log[usize::try_from(at).unwrap() - 1], text, "where the receipt says");
    }
}
