//! How a lane waits: for a socket, a name or a time.
//!
//! The lanes are written once, as futures over this trait. [`super::threads`] waits by blocking the thread, inside the first poll, so its
//! futures are never pending; `super::tasks` leaves the thread to others. Neither knows what is said.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use countersign_core::{BackendFailure, Page, Pull, Push};

/// The world as one lane sees it.
pub(super) trait Net: Clone + Send + Sync + 'static {
    type Socket: Socket;

    /// Connects.
    ///
    /// # Errors
    ///
    /// `TimedOut` at the deadline or when interrupted; else what the system says.
    fn connect(&self, to: SocketAddr, until: Instant) -> impl Future<Output = io::Result<Self::Socket>> + Send;

    /// The addresses of a name.
    ///
    /// # Errors
    ///
    /// As [`Net::connect`].
    fn resolve(&self, host: String, port: u16, until: Instant) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Waits until then.
    fn sleep(&self, until: Instant) -> impl Future<Output = Woken> + Send;
}

/// A TCP stream that never blocks: a call that would have to ends as `WouldBlock`, and can be repeated once the stream is ready. So the
/// layers above go on where they were, and a wait that is cut short costs no connection.
pub(super) trait Socket: Read + Write + Send + Sync + 'static {
    /// Waits until the call that ended as `WouldBlock` is worth repeating, or until then. May come back early. `heeds` says whether an
    /// interruption ends the wait.
    ///
    /// # Errors
    ///
    /// If the system can't wait.
    fn ready(&mut self, until: Instant, heeds: bool) -> impl Future<Output = io::Result<Woken>> + Send;

    /// How many bytes have come in.
    fn received(&self) -> u64;

    /// How many bytes the system has taken. It takes no more while the peer's end is full.
    fn sent(&self) -> u64;
}

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// There may be something.
    Ready,
    /// The time has come.
    Late,
    /// Another thread wants the wait to end.
    Interrupted,
}

/// A lane that sends, on whatever net.
pub(super) trait Pushes: Send + 'static {
    fn push(&mut self, push: &Push) -> impl Future<Output = Result<(), BackendFailure>> + Send;

    /// Tidies up what is due while nobody pushes. Answers when there will be more to tidy up.
    fn idle(&mut self) -> Option<Instant>;

    fn has_new_credentials(&mut self) -> bool;
}

/// A lane that receives, on whatever net. Dropping the future of a pull ends the pull, and costs no connection that is open.
pub(super) trait Pulls: Send + 'static {
    fn pull(&mut self, pull: &Pull) -> impl Future<Output = Result<Page, BackendFailure>> + Send;

    fn has_new_credentials(&mut self) -> bool;
}
