//! What a client may cost.

use std::time::Duration;

/// Limits of a server. Who goes beyond one is told so, in an HTTP status and a line of text, or in the reason of a close frame.
///
/// ```
/// let mut limits = countersign::server::Limits::default();
/// limits.connections_per_address = 8;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes in one message or request body. 4 MiB: LiveStore's clients send at most 900 000, and an event that is too large
    /// for a page is better refused by name than by a closed connection.
    pub message_bytes: usize,
    /// Bytes of messages that have begun to arrive and are not dealt with, of all connections together. 256 MiB. Beyond it, messages of
    /// more than 16 KiB are put off.
    pub arriving_bytes: usize,
    /// Connections in all. 8192: an idle one costs a few kilobytes.
    pub connections: usize,
    /// Connections from one IP address. 2048: many people may sit behind one address.
    pub connections_per_address: usize,
    /// Stores below the directory. 10 000: each is a file, and costs nothing else while nobody is connected to it.
    pub stores: usize,
    /// Stores whose log is open. 1024: each takes up to six open files. Beside those that somebody is connected to, the ones that nobody
    /// has used for a while are closed first.
    pub open_stores: usize,
    /// Live and paging pulls on one connection. 16: LiveStore's clients run one.
    pub pulls: usize,
    /// Bytes of events that are held for a client that does not take them; further ones stay in the log. 900 000: one page.
    /// A single larger event is still sent.
    pub unsent_bytes: usize,
    /// For the TLS handshake, and then for the header of each request, also while a connection waits for its next one. 30 s.
    pub handshake: Duration,
    /// For each 64 KiB of the body of a request to arrive, and for some of what is sent to be taken. 30 s.
    pub transfer: Duration,
    /// How long a WebSocket may be silent before it is pinged, and then before it is given up. 30 s. A message that is on its way is a sign
    /// of life if 16 KiB of it come in that time.
    pub silence: Duration,
    /// How long the log of a store stays open when nobody is connected to it. 60 s.
    pub store_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            message_bytes: 4 << 20,
            arriving_bytes: 256 << 20,
            connections: 8192,
            connections_per_address: 2048,
            stores: 10_000,
            open_stores: 1024,
            pulls: 16,
            unsent_bytes: 900_000,
            handshake: s(30),
            transfer: s(30),
            silence: s(30),
            store_idle: s(60),
        }
    }
}
