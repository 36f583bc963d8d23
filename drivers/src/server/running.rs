//! A server at work, as its program sees it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::access::TokensError;
use super::error::StopError;
use super::host::Host;
use crate::storage::StoreLock;

/// A server at work. Dropped, it is stopped at once: what it had admitted is still finished.
pub struct Running {
    addr: SocketAddr,
    metrics_addr: Option<SocketAddr>,
    host: Arc<Host>,
    thread: Option<JoinHandle<usize>>,
    /// Let go when everything is closed.
    _lock: StoreLock,
}

/// How a server has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// Connections that were still busy when the time was over, and were cut off.
    pub cut: usize,
}

/// Stops a server from anywhere.
#[derive(Clone)]
pub struct Stopper(Arc<Host>);

impl Running {
    pub(super) fn new(
        addr: SocketAddr,
        metrics_addr: Option<SocketAddr>,
        host: Arc<Host>,
        thread: JoinHandle<usize>,
        lock: StoreLock,
    ) -> Self {
        Self { addr, metrics_addr, host, thread: Some(thread), _lock: lock }
    }

    /// Where it listens, with the port that was given to it.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it tells of itself, if it does.
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// Something to stop it with, from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.host.clone())
    }

    /// Reads the token file again now; it is also looked at every two seconds. Blocks for the file. Connections whose token is
    /// no longer good are closed. Does nothing if nobody is asked for a token.
    ///
    /// # Errors
    ///
    /// If the file can't be used; then the former tokens hold.
    pub fn reload_tokens(&self) -> Result<(), TokensError> {
        self.host.access.reload(true)?;
        self.host.eventlogs.nudge();
        Ok(())
    }

    /// Stops, and waits for the end: takes no connection and admits nothing more, finishes what it has admitted, tells every
    /// client, and cuts off those who have not gone after `within`.
    ///
    /// # Errors
    ///
    /// If the server had ended by a fault of its own.
    pub fn shutdown(self, within: Duration) -> Result<Stopped, StopError> {
        self.host.stopping.begin(within);
        self.wait()
    }

    /// Waits until it has been stopped by a [`Stopper`].
    ///
    /// # Errors
    ///
    /// If it ends by a fault of its own.
    pub fn wait(mut self) -> Result<Stopped, StopError> {
        self.join()
    }

    fn join(&mut self) -> Result<Stopped, StopError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(cut)) => Ok(Stopped { cut }),
            Some(Err(_)) => Err(StopError::Panicked),
            None => Ok(Stopped { cut: 0 }),
        }
    }
}

impl Stopper {
    /// As [`Running::shutdown`], without waiting for the end. Said again, the earlier moment counts.
    pub fn stop(&self, within: Duration) {
        self.0.stopping.begin(within);
    }

    /// As [`Running::reload_tokens`].
    ///
    /// # Errors
    ///
    /// If the file can't be used; then the former tokens hold.
    pub fn reload_tokens(&self) -> Result<(), TokensError> {
        self.0.access.reload(true)?;
        self.0.eventlogs.nudge();
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.host.stopping.begin(Duration::ZERO);
        if self.join().is_err() {
            tracing::error!("the server's thread had panicked");
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("addr", &self.addr).field("metrics_addr", &self.metrics_addr).finish_non_exhaustive()
    }
}

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopper").finish_non_exhaustive()
    }
}
