//! Encrypted, end to end: stores on both drivers and a server of ours, with a certificate that only they trust.

use countersign::SyncState;
use countersign::livestore::LiveStoreBackend;
use countersign::server::Server;
use tests::driver::Driver;
use tests::todos::{LONG, journal, note, opener, settled, until};

/// Verifies: S4, R4
#[test]
fn stores_sync_over_wss_and_https() {
    let dir = tempfile::tempdir().unwrap();
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&certificate, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let server = Server::new(dir.path().join("logs")).no_auth().tls(&certificate, &key).start().unwrap();
    let at = |scheme: &str| format!("{scheme}://localhost:{}", server.addr().port());
    let mut stores = Vec::new();
    for scheme in ["wss", "https"] {
        for driver in Driver::ALL {
            let backend = LiveStoreBackend::new(&at(scheme)).unwrap().root_certificates(cert.pem().as_bytes()).unwrap();
            let backend = backend.poll_interval(std::time::Duration::from_millis(30));
            stores.push(driver.open(opener(&dir.path().join(format!("{scheme}-{driver:?}.db"))).backend(backend)).unwrap());
        }
    }
    let receipts: Vec<_> = stores.iter().enumerate().map(|(n, store)| store.commit(note(format!("from {n}"))).unwrap()).collect();
    receipts.iter().for_each(|receipt| assert!(settled(&receipt.backend_sync).is_ok()));
    until("all have all", || stores.iter().all(|store| journal(store).len() == stores.len()));
    assert!(stores.iter().all(|store| journal(store) == journal(&stores[0])));

    // Who does not trust the certificate says why, and sends nothing.
    for scheme in ["wss", "https"] {
        let backend = LiveStoreBackend::new(&at(scheme)).unwrap();
        let store = Driver::Smol.open(opener(&dir.path().join(format!("{scheme}-wary.db"))).backend(backend)).unwrap();
        let offline = |status: &countersign::core::Status| matches!(&status.sync, SyncState::Offline { message, .. } if message.contains("ertificate"));
        store.wait_until(LONG, offline).unwrap();
    }
}
