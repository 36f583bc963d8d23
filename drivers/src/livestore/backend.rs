//! The backend that a store syncs with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::BackendFailure;
use http::HeaderMap;
use rustls::ClientConfig;
use serde_json::Value;

use super::client::Pace;
use super::lanes::{self, Settings, Timeouts, TokenSource, client_config, header, read_certificates};
use super::protocol::{Address, AddressError};
use super::token::{Token, from_env, from_file};
#[cfg(feature = "smol")]
use crate::backend::AsyncLanes;
use crate::backend::{Backend, Lanes, Who};

/// A sync server that speaks LiveStore's protocol: one of LiveStore's own, of either generation, or a countersign server.
///
/// `ws://` and `wss://` are live; `http://` and `https://` ask again every few seconds. Encrypted connections trust Mozilla's
/// root certificates, or those named here instead.
///
/// Neither `Debug` nor any error shows the payload, the token or a header's value.
///
/// ```
/// use countersign::livestore::LiveStoreBackend;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let backend = LiveStoreBackend::new("wss://sync.example")?
///     .auth_token(|| std::env::var("SYNC_TOKEN").map_err(|error| error.to_string()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LiveStoreBackend {
    address: Address,
    payload: Option<Value>,
    token: Option<Arc<TokenSource>>,
    headers: HeaderMap,
    roots: Arc<Vec<Vec<u8>>>,
    tls: Arc<ClientConfig>,
    timeouts: Timeouts,
}

impl LiveStoreBackend {
    /// The server at this address: `ws://`, `wss://`, `http://` or `https://`, a host, perhaps a port and a path. Nothing is
    /// dialled yet.
    ///
    /// # Errors
    ///
    /// If it is no such address, or holds a query, a user or a password.
    pub fn new(url: &str) -> Result<Self, AddressError> {
        Ok(Self {
            address: Address::parse(url)?,
            payload: None,
            token: None,
            headers: HeaderMap::new(),
            roots: Arc::default(),
            tls: client_config(&[])?,
            timeouts: Timeouts::default(),
        })
    }

    /// What the server's `validatePayload` is given, as JSON.
    #[must_use]
    pub fn payload(mut self, payload: Value) -> Self {
        self.payload = Some(payload);
        self
    }

    /// Where the token comes from, which goes into the payload as `authToken`. Asked at each dial, and again when the server
    /// refuses the token: another one is tried at once. While there is none that the server takes, the store's syncing is paused
    /// ([`SyncState::NeedsAuth`](crate::SyncState::NeedsAuth)), and this is asked again after 250 ms, doubled each time up to 8 s: another
    /// token resumes it. Called on the lanes' threads, or by their executor, and should not block for long. An `Err` says why there is
    /// none; it is shown.
    ///
    /// The payload then has to be a JSON object, or none; any other is replaced.
    ///
    /// Of all that is said over the network, tokens are kept from every text that this crate shows or logs. The libraries below log
    /// whole messages at the level `trace` of the `log` crate: leave `tungstenite` and `ureq_proto` above that.
    #[must_use]
    pub fn auth_token(mut self, token: impl Fn() -> Result<String, String> + Send + Sync + 'static) -> Self {
        self.token = Some(Arc::new(token));
        self
    }

    /// As [`LiveStoreBackend::auth_token`], from this file, read each time it is asked for. It holds the token and nothing else; space
    /// around it is left out.
    #[must_use]
    pub fn token_file(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.auth_token(move || from_file(&path))
    }

    /// As [`LiveStoreBackend::auth_token`], from this variable of the environment.
    #[must_use]
    pub fn token_env(self, variable: impl Into<String>) -> Self {
        let variable = variable.into();
        self.auth_token(move || from_env(&variable))
    }

    /// As [`LiveStoreBackend::auth_token`], a token that can be replaced.
    #[must_use]
    pub fn token(self, token: &Token) -> Self {
        let token = token.clone();
        self.auth_token(move || Ok(token.get()))
    }

    /// A header that goes with every request and upgrade, beside others of the same name.
    ///
    /// # Errors
    ///
    /// If no request can carry it, or it belongs to the protocol.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, AddressError> {
        let (name, value) = header(name, value)?;
        self.headers.append(name, value);
        Ok(self)
    }

    /// Trusts the certificates in this PEM text, and those of earlier calls, in the place of Mozilla's.
    ///
    /// # Errors
    ///
    /// If there is none in it, or one can't be read.
    pub fn root_certificates(mut self, pem: &[u8]) -> Result<Self, AddressError> {
        let mut roots = Arc::unwrap_or_clone(self.roots);
        roots.extend(read_certificates(pem)?);
        self.tls = client_config(&roots)?;
        self.roots = Arc::new(roots);
        Ok(self)
    }

    /// How long to wait before asking again, over HTTP. 5 seconds if not set.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.timeouts.poll = interval;
        self
    }

    /// How long the server may take: to be connected to, to take a message, to answer a push, and to say anything at all, a ping's answer
    /// if nothing else. After that it counts as not reached, and is dialled anew. 20 seconds if not set. Shorter notices sooner that
    /// nobody is there, and gives up on servers that are only slow; at least 100 ms.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        let patience = patience.max(Duration::from_millis(100));
        let pace = Pace { ping: patience / 2, stall: patience / 2 };
        self.timeouts = Timeouts { dial: patience, write: patience, answer: patience, pace, ..self.timeouts };
        self
    }

    #[cfg(test)]
    pub(super) fn timeouts(mut self, change: impl FnOnce(&mut Timeouts)) -> Self {
        change(&mut self.timeouts);
        self
    }
}

impl Backend for LiveStoreBackend {
    fn lanes(&self, who: &Who) -> Result<Lanes, BackendFailure> {
        self.settings(who).map(lanes::blocking)
    }

    #[cfg(feature = "smol")]
    fn async_lanes(&self, who: &Who) -> Result<Option<AsyncLanes>, BackendFailure> {
        self.settings(who).map(lanes::tasks).map(Some)
    }

    fn describe(&self) -> String {
        self.address.to_string()
    }
}

impl LiveStoreBackend {
    fn settings(&self, who: &Who) -> Result<Settings, BackendFailure> {
        // Also checks the store id.
        if let Err(error) = self.address.url(&who.store_id, None) {
            return Err(BackendFailure::Unreachable { message: error.to_string().into(), maybe_applied: false });
        }
        Ok(Settings {
            address: self.address.clone(),
            store_id: who.store_id.clone(),
            client: who.client.clone(),
            payload: self.payload.clone(),
            token: self.token.clone(),
            headers: self.headers.clone(),
            tls: self.tls.clone(),
            timeouts: self.timeouts,
        })
    }
}

impl fmt::Debug for LiveStoreBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveStoreBackend").field("address", &self.describe()).finish_non_exhaustive()
    }
}
