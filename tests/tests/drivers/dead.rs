//! A peer that is gone without a word.

use std::thread;
use std::time::{Duration, Instant};

use countersign::SyncState;
use countersign::livestore::LiveStoreBackend;
use countersign::server::Server;
use tests::driver::Driver;
use tests::proxy::{Fault, Proxy};
use tests::todos::{LONG, note, opener, settled};

use super::place::Network;

/// What is promised.
const NOTICED: Duration = Duration::from_secs(20);
/// For a machine that has other things to do.
const SLACK: Duration = Duration::from_secs(4);

/// Verifies: V1, R5 (with nothing set: on every driver, over each transport)
#[test]
fn a_dead_peer_is_noticed_within_20_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(dir.path().join("logs")).no_auth().start().unwrap();
    thread::scope(|scope| {
        for driver in Driver::ALL {
            for network in Network::REAL {
                let (dir, addr) = (dir.path(), server.addr());
                scope.spawn(move || {
                    let proxy = Proxy::to(addr).unwrap();
                    let scheme = if network == Network::Http { "http" } else { "ws" };
                    let backend = LiveStoreBackend::new(&format!("{scheme}://{}", proxy.addr())).unwrap();
                    let store = driver.open(opener(&dir.join(format!("{driver:?}{network:?}.db"))).backend(backend)).unwrap();
                    settled(&store.commit(note("a")).unwrap().backend_sync).unwrap();
                    store.wait_until(LONG, |status| status.sync == SyncState::Synced && status.drained).unwrap();
                    proxy.break_with(Fault::Silent);
                    let began = Instant::now();
                    store.wait_until(LONG, |status| matches!(status.sync, SyncState::Offline { .. })).unwrap();
                    let took = began.elapsed();
                    assert!(took <= NOTICED + SLACK, "{driver:?} over {network:?}: {took:?}");
                    proxy.heal();
                    settled(&store.commit(note("b")).unwrap().backend_sync).unwrap();
                });
            }
        }
    });
}
