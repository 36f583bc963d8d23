//! What the lanes of a backend share.

use std::sync::Arc;
use std::time::Duration;

use countersign_core::{BackendFailure, ClientId};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::ClientConfig;
use serde_json::{Map, Value};

use super::super::client::Pace;
use super::super::protocol::{Address, AddressError};
use super::secrets::Secrets;

/// Gives the present token.
pub(in super::super) type TokenSource = dyn Fn() -> Result<String, String> + Send + Sync;

/// How to reach one store on one backend.
#[derive(Clone)]
pub(in super::super) struct Settings {
    pub(in super::super) address: Address,
    pub(in super::super) store_id: Arc<str>,
    pub(in super::super) client: ClientId,
    pub(in super::super) payload: Option<Value>,
    pub(in super::super) token: Option<Arc<TokenSource>>,
    pub(in super::super) headers: HeaderMap,
    pub(in super::super) tls: Arc<ClientConfig>,
    pub(in super::super) timeouts: Timeouts,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Timeouts {
    /// From a name to an open, encrypted, upgraded connection.
    pub(in super::super) dial: Duration,
    /// To take some more of a message.
    pub(in super::super) write: Duration,
    /// To answer a push, or a request over HTTP.
    pub(in super::super) answer: Duration,
    /// How long a push connection is kept for the next push.
    pub(in super::super) idle: Duration,
    /// Between two polls over HTTP.
    pub(in super::super) poll: Duration,
    /// Of a pull.
    pub(in super::super) pace: Pace,
}

impl Default for Timeouts {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self { dial: s(15), write: s(20), answer: s(20), idle: s(30), poll: s(5), pace: Pace::default() }
    }
}

/// What is said at one dial: the payload with the token of that moment.
#[derive(Clone, PartialEq)]
pub(super) struct Credentials(pub(super) Option<Value>);

impl Settings {
    /// Asks for the token.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(super) fn credentials(&self) -> Result<Credentials, BackendFailure> {
        let Some(token) = &self.token else { return Ok(Credentials(self.payload.clone())) };
        let token = token().map_err(|why| {
            let message = format!("there is no token for the backend: {why}");
            BackendFailure::NeedsAuth { message: message.into() }
        })?;
        let mut fields = match &self.payload {
            Some(Value::Object(fields)) => fields.clone(),
            _ => Map::new(),
        };
        fields.insert("authToken".to_owned(), Value::String(token));
        Ok(Credentials(Some(Value::Object(fields))))
    }

    /// What must not be shown.
    pub(super) fn secrets(&self, credentials: &Credentials) -> Secrets {
        Secrets::of(credentials.0.as_ref(), self.headers.values().filter_map(|value| value.to_str().ok()))
    }

    /// Credentials other than those that were tried; nothing if there are none now. Where there were none to try, any are others.
    pub(super) fn others(&self, than: Option<&Credentials>) -> Option<Credentials> {
        self.token.as_ref()?;
        self.credentials().ok().filter(|now| Some(now) != than)
    }
}

/// Checks a header that goes with every request.
///
/// # Errors
///
/// If it can't be sent, or is the protocol's own.
pub(in super::super) fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), AddressError> {
    let refused = |why: &str| AddressError::Header(name.to_owned(), why.to_owned());
    let key: HeaderName = name.parse().map_err(|_| refused("no name of a header"))?;
    let own = [CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, UPGRADE];
    if own.contains(&key) || key.as_str().starts_with("sec-websocket-") {
        return Err(refused("it belongs to the protocol"));
    }
    let mut value: HeaderValue = value.parse().map_err(|_| refused("its value has characters that no header can have"))?;
    value.set_sensitive(true);
    Ok((key, value))
}
