//! Where a store is: the URL that a client dials, and the query that a server reads.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;

/// What `encodeURIComponent` leaves as it is, beside letters and digits.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// How client and server talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A WebSocket: live.
    Ws,
    /// One request and one answer over HTTP: polled.
    Http,
}

/// The address of a sync server, without a store or anything secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// From the scheme.
    pub(crate) transport: Transport,
    /// Whether the connection is encrypted.
    pub(crate) tls: bool,
    /// The host's name or address; an IPv6 address without its brackets.
    pub(crate) host: String,
    /// The port, also if it is the scheme's own.
    pub(crate) port: u16,
    /// Host and port as they stand in the URL.
    authority: String,
    /// The path, from its first slash.
    path: String,
}

/// An address that can't be dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Not a URL.
    #[error("not a URL: {0}")]
    NotAUrl(String),
    /// Another scheme.
    #[error("the address has to begin with ws://, wss://, http:// or https://")]
    Scheme,
    /// A user and password in the URL.
    #[error("the address holds a user or a password: give credentials as a token, a payload or a header, not in the address")]
    Credentials,
    /// A query or a fragment in the URL.
    #[error("the address has a query or a fragment: what the server reads there is added by itself")]
    Query,
    /// A store id that servers would refuse.
    #[error("the store id {0:?} is refused: only letters, digits, `_` and `-` are taken, and at least one of them")]
    StoreId(String),
    /// A header that can't be sent.
    #[error("the header {0:?} can't be sent: {1}")]
    Header(String, String),
    /// A certificate that can't be read.
    #[error("the root certificates can't be read: {0}")]
    Certificate(String),
}

impl Address {
    /// Reads an address.
    pub(crate) fn parse(url: &str) -> Result<Self, AddressError> {
        if url.contains(['?', '#']) {
            return Err(AddressError::Query);
        }
        let uri: http::Uri = url.parse().map_err(|error: http::uri::InvalidUri| AddressError::NotAUrl(error.to_string()))?;
        let (transport, tls) = match uri.scheme_str() {
            Some("ws") => (Transport::Ws, false),
            Some("wss") => (Transport::Ws, true),
            Some("http") => (Transport::Http, false),
            Some("https") => (Transport::Http, true),
            _ => return Err(AddressError::Scheme),
        };
        let authority = uri.authority().ok_or_else(|| AddressError::NotAUrl("it names no host".to_owned()))?;
        if authority.as_str().contains('@') {
            return Err(AddressError::Credentials);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let behind_host = authority.as_str().get(authority.host().len()..).unwrap_or_default();
        let port = match behind_host.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| AddressError::NotAUrl(format!("{port:?} is no port")))?,
            None if tls => 443,
            None => 80,
        };
        if host.is_empty() {
            return Err(AddressError::NotAUrl("it names no host".to_owned()));
        }
        let path = if uri.path().is_empty() { "/" } else { uri.path() }.to_owned();
        Ok(Self { transport, tls, host, port, authority: authority.as_str().to_owned(), path })
    }

    /// The URL to dial for this store. Holds the payload, and so its secrets: not to be shown.
    pub(crate) fn url(&self, store_id: &str, payload: Option<&Value>) -> Result<String, AddressError> {
        if !is_store_id(store_id) {
            return Err(AddressError::StoreId(store_id.to_owned()));
        }
        let transport = match self.transport {
            Transport::Ws => "ws",
            Transport::Http => "http",
        };
        let payload = payload.map(|payload| format!("&payload={}", encode_payload(payload))).unwrap_or_default();
        Ok(format!("{self}?storeId={store_id}{payload}&transport={transport}"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { authority, path, .. } = self;
        let scheme = match (self.transport, self.tls) {
            (Transport::Ws, false) => "ws",
            (Transport::Ws, true) => "wss",
            (Transport::Http, false) => "http",
            (Transport::Http, true) => "https",
        };
        write!(f, "{scheme}://{authority}{path}")
    }
}

/// Whether this names a store.
pub(crate) fn is_store_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Encoded twice: once as LiveStore does by itself, once as part of a query.
pub(crate) fn encode_payload(payload: &Value) -> String {
    encode_component(&encode_component(&payload.to_string()))
}

/// As JavaScript's `encodeURIComponent` does.
pub(crate) fn encode_component(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}

/// What a client says in the query of its URL.
#[derive(Clone, PartialEq)]
pub(crate) struct Query {
    /// The store. Names one; checked.
    pub(crate) store_id: String,
    /// What the application adds, such as credentials.
    pub(crate) payload: Option<Value>,
    /// How it wants to talk.
    pub(crate) transport: Transport,
}

// The payload holds credentials.
impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store_id, transport, .. } = self;
        f.debug_struct("Query").field("store_id", store_id).field("transport", transport).finish_non_exhaustive()
    }
}

/// A query that is not one of a sync client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Not a sync request at all.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A store id of other characters.
    #[error("a store id may have letters, digits, `_` and `-` only")]
    StoreId,
    /// Neither `ws` nor `http`.
    #[error("`transport` has to be ws or http")]
    Transport,
    /// A payload that is no JSON.
    #[error("`payload` is no JSON, URI-encoded twice")]
    Payload,
}

impl Query {
    /// Reads the part of a URL behind its question mark. The last of several equal keys counts; others are ignored.
    pub(crate) fn parse(query: &str) -> Result<Self, Unreadable> {
        let (mut store_id, mut payload, mut transport) = (None, None, None);
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "storeId" => store_id = Some(decode(value)),
                "payload" => payload = Some(decode(value)),
                "transport" => transport = Some(decode(value)),
                _ => {}
            }
        }
        let store_id = store_id.ok_or(Unreadable::Missing("storeId"))?.into_owned();
        if !is_store_id(&store_id) {
            return Err(Unreadable::StoreId);
        }
        let transport = match transport.ok_or(Unreadable::Missing("transport"))?.as_ref() {
            "ws" => Transport::Ws,
            "http" => Transport::Http,
            _ => return Err(Unreadable::Transport),
        };
        let read = |once: Cow<'_, str>| {
            let twice = percent_decode_str(&once).decode_utf8().map_err(|_| Unreadable::Payload)?;
            serde_json::from_str(&twice).map_err(|_| Unreadable::Payload)
        };
        Ok(Self { store_id, payload: payload.map(read).transpose()?, transport })
    }
}

fn decode(value: &str) -> Cow<'_, str> {
    let spaced = value.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_says_how_to_dial() {
        let address = Address::parse("wss://sync.example/any/path").unwrap();
        assert_eq!((address.port, address.tls, address.transport), (443, true, Transport::Ws));
        assert_eq!(address.to_string(), "wss://sync.example/any/path");
        let address = Address::parse("http://[::1]:8787").unwrap();
        assert_eq!((address.host.as_str(), address.port, address.tls), ("::1", 8787, false));
        assert_eq!(address.url("s-1", None).unwrap(), "http://[::1]:8787/?storeId=s-1&transport=http");
    }

    #[test]
    fn the_payload_is_encoded_as_the_clients_of_livestore_do() {
        let address = Address::parse("ws://h").unwrap();
        let payload = json!({"authToken": "tok en&1"});
        let url = address.url("basic1", Some(&payload)).unwrap();
        let query = "storeId=basic1&payload=%257B%2522authToken%2522%253A%2522tok%2520en%25261%2522%257D&transport=ws";
        assert_eq!(url, format!("ws://h/?{query}"));
        let read = Query::parse(query).unwrap();
        assert_eq!(read, Query { store_id: "basic1".into(), payload: Some(payload.clone()), transport: Transport::Ws });
        assert!(!format!("{read:?}").contains("tok"));
        let once = "storeId=x&transport=http&payload=%7B%22authToken%22%3A%22tok+en%261%22%7D&more=1";
        assert_eq!(Query::parse(once).unwrap().payload, Some(payload));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (url, part) in [
            ("", "URL"),
            ("sync.example", "begin with"),
            ("ftp://h", "begin with"),
            ("ws://", "URL"),
            ("ws://h:99999", "URL"),
            ("ws://u:secret@h", "user or a password"),
            ("ws://h/?a=1", "query"),
            ("ws://h/#a", "query"),
            ("ws://h h", "URL"),
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("secret"), "{url}: {error}");
        }
        for id in ["", "a b", "a/b", "ä", ".."] {
            assert!(matches!(Address::parse("ws://h").unwrap().url(id, None), Err(AddressError::StoreId(_))), "{id}");
        }
    }

    #[test]
    fn what_is_no_query_of_a_client_is_refused() {
        for (query, error) in [
            ("", Unreadable::Missing("storeId")),
            ("transport=ws", Unreadable::Missing("storeId")),
            ("storeId=a%2Fb&transport=ws", Unreadable::StoreId),
            ("storeId=a", Unreadable::Missing("transport")),
            ("storeId=a&transport=bogus", Unreadable::Transport),
            ("storeId=a&transport=ws&payload=notjson", Unreadable::Payload),
            ("storeId=a&transport=ws&payload=%ff", Unreadable::Payload),
        ] {
            assert_eq!(Query::parse(query), Err(error), "{query}");
        }
    }
}
