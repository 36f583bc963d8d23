//! Where a scenario takes place: a driver, a network, and a backend behind it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign::backend::EmbeddedBackend;
use countersign::livestore::LiveStoreBackend;
use countersign::server::{Running, Server};
use countersign::{LogState, News, Reader, Store, SyncState, core::Pos};
use tests::driver::Driver;
use tests::proxy::{Fault, Proxy};
use tests::todos::{LONG, opener};

/// What is between a store and its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    Embedded,
    Ws,
    Http,
}

impl Network {
    pub(crate) const ALL: [Self; 3] = [Self::Embedded, Self::Ws, Self::Http];
    pub(crate) const REAL: [Self; 2] = [Self::Ws, Self::Http];
}

pub(crate) struct Place {
    pub(crate) driver: Driver,
    network: Network,
    dir: tempfile::TempDir,
    server: Option<Running>,
}

/// A store, and its own line to the backend.
pub(crate) struct Client {
    pub(crate) store: Store,
    pub(crate) path: PathBuf,
    pub(crate) line: Line,
    place: (Driver, Network),
}

pub(crate) enum Line {
    Embedded(EmbeddedBackend),
    Proxied(Proxy),
}

impl Place {
    pub(crate) fn new(driver: Driver, network: Network) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = (network != Network::Embedded).then(|| Server::new(dir.path().join("logs")).no_auth().start().unwrap());
        Self { driver, network, dir, server }
    }

    /// A store with a line of its own.
    pub(crate) fn client(&self, name: &str) -> Client {
        let line = match &self.server {
            None => Line::Embedded(EmbeddedBackend::open(self.dir.path().join("backend.db")).unwrap()),
            Some(server) => Line::Proxied(Proxy::to(server.addr()).unwrap()),
        };
        Client::open(self.dir.path().join(format!("{name}.db")), line, (self.driver, self.network))
    }
}

/// A server's address on a network, for tests: noticed soon that nobody is there, asked again soon.
pub(crate) fn backend(network: Network, addr: SocketAddr) -> LiveStoreBackend {
    let scheme = if network == Network::Http { "http" } else { "ws" };
    let backend = LiveStoreBackend::new(&format!("{scheme}://{addr}")).unwrap();
    backend.patience(Duration::from_secs(3)).poll_interval(Duration::from_millis(20))
}

impl Client {
    fn open(path: PathBuf, line: Line, place: (Driver, Network)) -> Self {
        let opener = match &line {
            Line::Embedded(backend) => opener(&path).backend(backend.clone()),
            Line::Proxied(proxy) => opener(&path).backend(backend(place.1, proxy.addr())),
        };
        Self { store: place.0.open(opener).unwrap(), path, line, place }
    }

    /// The program ends, and another one starts.
    pub(crate) fn restart(self) -> Self {
        let Self { store, path, line, place } = self;
        assert!(store.close(LONG).persisted);
        Self::open(path, line, place)
    }

    /// Nobody is reached any more; comes back when the store has noticed.
    pub(crate) fn go_offline(&self) {
        match &self.line {
            Line::Embedded(backend) => backend.switch().off(),
            Line::Proxied(proxy) => proxy.break_with(Fault::Refuse),
        }
        self.store.wait_until(LONG, |status| matches!(status.sync, SyncState::Offline { .. })).unwrap();
    }

    pub(crate) fn go_online(&self) {
        match &self.line {
            Line::Embedded(backend) => backend.switch().on(),
            Line::Proxied(proxy) => proxy.heal(),
        }
        self.store.tell(News::Online);
    }

    /// From now on the backend takes what it is sent, and no reply to it arrives.
    pub(crate) fn lose_replies(&self) {
        match &self.line {
            Line::Embedded(backend) => backend.lose_next_replies(1),
            Line::Proxied(proxy) => proxy.break_with(Fault::CutReply),
        }
    }

    /// Everything of this client is confirmed, and everything up to this position is here.
    pub(crate) fn is_synced_to(&self, position: u64) {
        let synced = |status: &countersign::core::Status| {
            let at_rest = status.drained && status.stored && status.sessions_behind == 0 && status.pending_events == 0;
            at_rest && status.upstream_head.global == position && status.sync == SyncState::Synced
        };
        if let Err(status) = self.store.wait_until(LONG, synced) {
            panic!("not at e{position}: {status:?}");
        }
    }

    /// The confirmed log, as its file has it.
    pub(crate) fn log(&self) -> Vec<String> {
        log(&self.path)
    }
}

fn log(path: &Path) -> Vec<String> {
    let rows = Reader::open(path).unwrap().log(Pos::ROOT, usize::MAX >> 1).unwrap();
    let confirmed = rows.iter().filter(|row| row.state == LogState::Confirmed);
    confirmed.map(|row| format!("{} {} {}", row.entry.seq.pos, row.entry.event.name, row.entry.event.args)).collect()
}
