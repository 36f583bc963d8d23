//! How a server is set up.

use std::fs::DirBuilder;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_io::Async;

use super::access::Access;
use super::connection::{Gate, Room};
use super::error::StartError;
use super::eventlogs::Eventlogs;
use super::host::{Host, Listeners, run};
use super::limits::Limits;
use super::metrics::Metrics;
use super::running::Running;
use super::stopping::Stopping;
use super::tls::server_config;
use crate::storage::{LockError, StoreLock};

/// A sync server that is being set up.
///
/// ```
/// use std::time::Duration;
///
/// use countersign::livestore::LiveStoreBackend;
/// use countersign::server::Server;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let server = Server::new(dir.path().join("logs")).no_auth().start()?;
/// let backend = LiveStoreBackend::new(&format!("ws://{}", server.addr()))?;
/// // ... open stores with it ...
/// # drop(backend);
/// server.shutdown(Duration::from_secs(10))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing before it is started"]
pub struct Server {
    dir: PathBuf,
    listen: SocketAddr,
    metrics: Option<SocketAddr>,
    admission: Option<Admission>,
    tls: Option<(PathBuf, PathBuf)>,
    limits: Limits,
}

#[derive(Clone, Debug)]
enum Admission {
    Open,
    Tokens(PathBuf),
}

impl Server {
    /// A server of the logs below this directory, one file a store id. The directory is made if it is missing, for this user
    /// only.
    pub fn new(dir: impl AsRef<Path>) -> Self {
        Self {
            dir: dir.as_ref().into(),
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            metrics: None,
            admission: None,
            tls: None,
            limits: Limits::default(),
        }
    }

    /// Where to listen. If not set, a free port of 127.0.0.1; port 0 of another address is a free port too.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = addr;
        self
    }

    /// Where to tell of itself, over HTTP and to anybody: `/healthz`, and `/metrics` in Prometheus' text format. If not set,
    /// nowhere.
    pub fn metrics(mut self, addr: SocketAddr) -> Self {
        self.metrics = Some(addr);
        self
    }

    /// Lets in who shows a token of this file, which is read again when it changes:
    ///
    /// ```toml
    /// [[token]]
    /// token = "at least sixteen characters"
    /// read = ["*"]
    /// write = ["shop-1", "shop-2"]
    /// ```
    pub fn tokens(mut self, file: impl AsRef<Path>) -> Self {
        self.admission = Some(Admission::Tokens(file.as_ref().into()));
        self
    }

    /// Lets in everybody who can reach it, to read and write every store.
    pub fn no_auth(mut self) -> Self {
        self.admission = Some(Admission::Open);
        self
    }

    /// Encrypts all connections but those for metrics, with this certificate chain and its key, both in PEM. They are read at
    /// the start.
    pub fn tls(mut self, certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.tls = Some((certificates.as_ref().into(), key.as_ref().into()));
        self
    }

    /// What a client may cost.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Starts serving, on a thread of its own. Blocks for the directory and the files.
    ///
    /// # Errors
    ///
    /// If it was not said who may come in, a file or the directory can't be used, another server uses the directory, or an
    /// address can't be listened on.
    pub fn start(self) -> Result<Running, StartError> {
        let Self { dir, listen, metrics: metrics_at, admission, tls, limits } = self;
        check(&limits)?;
        let access = match admission.ok_or(StartError::NoAccess)? {
            Admission::Open => Access::Open,
            Admission::Tokens(file) => Access::from_file(file)?,
        };
        let tls = tls.map(|(certificates, key)| server_config(&certificates, &key)).transpose()?;
        let unusable = |error: std::io::Error| StartError::Dir { path: dir.clone(), message: error.to_string().into() };
        make(&dir).map_err(unusable)?;
        let lock = StoreLock::take(&dir.join("server")).map_err(|error| match error {
            LockError::Held(pid) => StartError::Locked { path: dir.clone(), pid },
            LockError::Io(error) => unusable(error),
        })?;
        let metrics = Arc::new(Metrics::default());
        let eventlogs = Eventlogs::new(dir.clone(), &limits, metrics.clone()).map_err(unusable)?;
        let (sync, addr) = bind(listen)?;
        let observed = metrics_at.map(bind).transpose()?;
        let (metrics_listener, metrics_addr) = observed.unzip();
        let room = Room::of(limits.arriving_bytes);
        let host = Arc::new(Host {
            limits,
            access: Arc::new(access),
            eventlogs,
            metrics,
            stopping: Arc::new(Stopping::default()),
            tls: tls.map(Into::into),
            gate: Gate::default(),
            room,
        });
        let (of_thread, listeners) = (host.clone(), Listeners { sync, metrics: metrics_listener });
        let thread = std::thread::Builder::new()
            .name("countersign-server".to_owned())
            .spawn(move || run(of_thread, listeners))
            .map_err(|error| StartError::Thread { message: error.to_string().into() })?;
        tracing::info!(%addr, dir = %dir.display(), "the server listens");
        Ok(Running::new(addr, metrics_addr, host, thread, lock))
    }
}

/// Too small a limit would only show in clients that never get anywhere.
fn check(limits: &Limits) -> Result<(), StartError> {
    let least = [
        ("message_bytes", limits.message_bytes, 1_000_000),
        ("arriving_bytes", limits.arriving_bytes, limits.message_bytes),
        ("connections", limits.connections, 1),
        ("connections_per_address", limits.connections_per_address, 1),
        ("stores", limits.stores, 1),
        ("open_stores", limits.open_stores, 1),
        ("pulls", limits.pulls, 1),
        ("unsent_bytes", limits.unsent_bytes, 1_000),
    ];
    match least.into_iter().find(|(_, value, least)| value < least) {
        Some((name, value, least)) => Err(StartError::Limit { name, value, least }),
        None => Ok(()),
    }
}

fn make(dir: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn bind(addr: SocketAddr) -> Result<(Async<TcpListener>, SocketAddr), StartError> {
    let failed = |error: std::io::Error| StartError::Listen { addr, message: error.to_string().into() };
    let listener = Async::<TcpListener>::bind(addr).map_err(failed)?;
    let bound = listener.get_ref().local_addr().map_err(failed)?;
    Ok((listener, bound))
}
