//! Stores that sync through a server of ours, over both transports and on both drivers.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use countersign::backend::EmbeddedBackend;
use countersign::livestore::LiveStoreBackend;
use countersign::server::{Running, Server};
use countersign::{CommitReceipt, Settled, Store};
use tests::driver::Driver;
use tests::todos::{LONG, assert_sound, journal, note, opener, settled, until};

const TOKEN: &str = "a token for all of the stores";

fn server(dir: &Path) -> Server {
    let tokens = dir.join("tokens.toml");
    std::fs::write(&tokens, format!("[[token]]\ntoken = \"{TOKEN}\"\nread = [\"*\"]\nwrite = [\"shared\"]\n")).unwrap();
    Server::new(dir.join("logs")).tokens(tokens)
}

fn store(path: &Path, driver: Driver, url: &str) -> Store {
    let backend = LiveStoreBackend::new(url).unwrap().auth_token(|| Ok(TOKEN.to_owned()));
    let backend = backend.poll_interval(Duration::from_millis(30));
    driver.open(opener(path).store_id("shared").backend(backend)).unwrap()
}

/// One after another on every transport and driver.
fn stores(dir: &Path, count: usize, running: &Running) -> Vec<Store> {
    let kinds = ["ws", "http"].into_iter().flat_map(|scheme| Driver::ALL.map(|driver| (scheme, driver))).cycle();
    let open = |(n, (scheme, driver))| store(&dir.join(format!("{n}.db")), driver, &format!("{scheme}://{}", running.addr()));
    kinds.take(count).enumerate().map(open).collect()
}

fn write(store: &Store, name: usize, commits: usize) -> Vec<(String, CommitReceipt)> {
    let text = |n| format!("{name} {n}");
    (0..commits).map(|n| (format!("{{\"text\":\"{}\"}}", text(n)), store.commit(note(text(n))).unwrap())).collect()
}

/// The log is what the receipts say, and all stores have come to the same.
fn assert_converged(dir: &Path, stores: Vec<Store>, receipts: &[(String, CommitReceipt)]) {
    let at = |receipt: &CommitReceipt| match settled(&receipt.backend_sync) {
        Ok(Settled::Confirmed(confirmation)) => confirmation.positions[0],
        other => panic!("{other:?}"),
    };
    let places: Vec<(u64, &str)> = receipts.iter().map(|(text, receipt)| (at(receipt), text.as_str())).collect();
    until("all stores have all events", || stores.iter().all(|store| journal(store).len() == receipts.len()));
    for store in &stores {
        assert_eq!(journal(store), journal(&stores[0]));
    }
    until("nothing is pending", || stores.iter().all(|store| store.status().pending_events == 0));
    assert!(stores.iter().all(|store| store.dump() == stores[0].dump()));
    let files = 0..stores.len();
    drop(stores);
    let log = EmbeddedBackend::open_read_only(dir.join("logs/shared.eventlog")).unwrap().log().unwrap();
    assert_eq!(log.len(), receipts.len());
    for (place, text) in places {
        let event = &log[usize::try_from(place).unwrap() - 1];
        assert_eq!((event.seq, &*event.event.args), (place, text));
    }
    for file in files {
        assert_sound(&dir.join(format!("{file}.db")));
    }
}

/// Verifies: S1, S4, R4, R8, L4
#[test]
fn eight_stores_that_write_at_once_converge() {
    let dir = tempfile::tempdir().unwrap();
    let running = server(dir.path()).start().unwrap();
    let stores = stores(dir.path(), 8, &running);
    let receipts: Vec<_> = thread::scope(|scope| {
        let writers: Vec<_> = stores.iter().enumerate().map(|(n, store)| scope.spawn(move || write(store, n, 50))).collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert_converged(dir.path(), stores, &receipts);
    running.shutdown(LONG).unwrap();
}

/// Verifies: R5, L4, L6, V3
#[test]
fn stores_outlive_their_server() {
    let dir = tempfile::tempdir().unwrap();
    let running = server(dir.path()).start().unwrap();
    let addr = running.addr();
    let stores = Arc::new(stores(dir.path(), 4, &running));
    let writers: Vec<_> = (0..4)
        .map(|n| {
            let stores = stores.clone();
            thread::spawn(move || {
                let mut receipts = Vec::new();
                for part in 0..5 {
                    receipts.extend(write(&stores[n], 10 * part + n, 20));
                    // So that each part meets another server, or none.
                    let _ = receipts[receipts.len() - 10].1.backend_sync.wait_timeout(Duration::from_millis(300));
                }
                receipts
            })
        })
        .collect();
    let mut running = Some(running);
    for _ in 0..4 {
        running.take().unwrap().shutdown(LONG).unwrap();
        running = Some(server(dir.path()).listen(addr).start().unwrap());
        let before =
            EmbeddedBackend::open_read_only(dir.path().join("logs/shared.eventlog")).map_or(0, |log| log.head().unwrap());
        let moves = || EmbeddedBackend::open_read_only(dir.path().join("logs/shared.eventlog")).unwrap().head().unwrap() > before;
        until("it takes pushes", || moves() || writers.iter().all(thread::JoinHandle::is_finished));
    }
    let receipts: Vec<_> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
    let stores = Arc::into_inner(stores).unwrap();
    assert_converged(dir.path(), stores, &receipts);
}

/// Verifies: R8
#[test]
fn the_servers_log_keeps_the_ids_of_events() {
    let dir = tempfile::tempdir().unwrap();
    let running = server(dir.path()).start().unwrap();
    let stores = stores(dir.path(), 1, &running);
    let receipts = write(&stores[0], 0, 3);
    receipts.iter().for_each(|(_, receipt)| assert!(settled(&receipt.backend_sync).is_ok()));
    let log = EmbeddedBackend::open_read_only(dir.path().join("logs/shared.eventlog")).unwrap().log().unwrap();
    let ids: Vec<_> = log.iter().map(|event| event.ids.unwrap().ordinal).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    running.shutdown(LONG).unwrap();
}
