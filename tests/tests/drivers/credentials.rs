//! Credentials that a real server refuses, and those that it takes.

use std::path::Path;

use countersign::SyncState;
use countersign::server::Server;
use tests::driver::Driver;
use tests::todos::{LONG, note, opener, settled};

use super::place::{Network, backend};

const GOOD: &str = "sesame-sesame-good";
const OLD: &str = "sesame-sesame-old";

fn tokens(path: &Path, token: &str) {
    let text = format!("[[token]]\ntoken = \"{token}\"\nread = [\"*\"]\nwrite = [\"*\"]\n");
    // In one step: a reader never finds half of it.
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// Verifies: R5, V1 (paused, and resumed by another token; a token that has become bad pauses again)
#[test]
fn a_store_pauses_and_resumes_as_its_token_is_refused_and_taken() {
    for driver in Driver::ALL {
        for network in Network::REAL {
            let dir = tempfile::tempdir().unwrap();
            let (known, own) = (dir.path().join("tokens.toml"), dir.path().join("token"));
            tokens(&known, GOOD);
            let server = Server::new(dir.path().join("logs")).tokens(&known).start().unwrap();
            std::fs::write(&own, OLD).unwrap();
            let opener = opener(&dir.path().join("a.db")).backend(backend(network, server.addr()).token_file(&own));
            let store = driver.open(opener).unwrap();
            let paused = || {
                let status = store.wait_until(LONG, |status| matches!(status.sync, SyncState::NeedsAuth { .. })).unwrap();
                assert!(!format!("{status:?}").contains("sesame"), "{status:?}");
            };
            let first = store.commit(note("a")).unwrap();
            paused();
            assert_eq!(first.backend_sync.peek(), None);
            std::fs::write(&own, GOOD).unwrap();
            settled(&first.backend_sync).unwrap();

            tokens(&known, "sesame-sesame-better");
            server.reload_tokens().unwrap();
            let second = store.commit(note("b")).unwrap();
            paused();
            std::fs::write(&own, "sesame-sesame-better").unwrap();
            settled(&second.backend_sync).unwrap();
        }
    }
}
