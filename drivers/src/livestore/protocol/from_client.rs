//! What a client says.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use countersign_core::{BackendId, PulledEvent};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::address::Transport;
use super::error::{DecodeError, Problem};
use super::event::decode_event_or_void;
use super::from_server::frames;
use super::id::RequestId;
use super::parse::{parse, text};

/// A message from a client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ClientMessage {
    /// Asks for a sign of life.
    Ping,
    /// Begins a call.
    Request(Request),
    /// Takes a chunk: the next one may come.
    Ack {
        /// The call.
        request: RequestId,
    },
    /// Cancels a call.
    Interrupt {
        /// The call.
        request: RequestId,
    },
    /// Ends the client. No LiveStore client sends it.
    Eof,
    /// A message of another kind.
    Unknown {
        /// Its kind.
        tag: String,
    },
}

/// The beginning of a call. What it asks may be unreadable while its name is not, so that it can be answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    /// Its name on this connection.
    pub(crate) id: RequestId,
    /// What is asked.
    pub(crate) call: Result<Call, DecodeError>,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Call {
    /// For events.
    Pull(PullCall),
    /// To take events.
    Push(PushCall),
    /// For a sign of life, over HTTP.
    Ping,
    /// Something else.
    Unknown {
        /// Its name.
        tag: String,
    },
}

/// Asks for the events after a cursor.
#[derive(Clone, PartialEq)]
pub(crate) struct PullCall {
    /// The store.
    pub(crate) store_id: Arc<str>,
    /// What the application adds, such as credentials.
    pub(crate) payload: Option<Value>,
    /// Whether the call goes on with what is pushed later. Never over HTTP.
    pub(crate) live: bool,
    /// What is known already.
    pub(crate) cursor: Option<Cursor>,
}

/// The last event that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cursor {
    /// Whose event.
    pub(crate) backend_id: BackendId,
    /// Its position. A peer may send any integer; what is below 0 is no position and refused.
    pub(crate) event_sequence_number: u64,
}

/// Asks to take events.
#[derive(Clone, PartialEq)]
pub(crate) struct PushCall {
    /// The store.
    pub(crate) store_id: Arc<str>,
    /// What the application adds, such as credentials.
    pub(crate) payload: Option<Value>,
    /// The events.
    pub(crate) events: Vec<PulledEvent>,
    /// Which of them came without arguments, by index.
    pub(crate) void: BTreeSet<usize>,
    /// The backend that they are meant for, if the client knows one.
    pub(crate) backend: Option<BackendId>,
}

// The payload holds credentials.
impl fmt::Debug for PullCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store_id, live, cursor, .. } = self;
        f.debug_struct("PullCall").field("store_id", store_id).field("live", live).field("cursor", cursor).finish_non_exhaustive()
    }
}

impl fmt::Debug for PushCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store_id, events, backend, .. } = self;
        f.debug_struct("PushCall")
            .field("store_id", store_id)
            .field("events", events)
            .field("backend", backend)
            .finish_non_exhaustive()
    }
}

/// The messages of one frame, or of one HTTP body: one, or an array of them.
pub(crate) fn decode_client(bytes: &[u8]) -> Result<Vec<ClientMessage>, DecodeError> {
    frames(text(bytes)?)?.into_iter().map(decode_one).collect()
}

fn decode_one(raw: &RawValue) -> Result<ClientMessage, DecodeError> {
    let wire: WireMessage<'_> = parse(raw.get()).map_err(|error| error.within("the message"))?;
    let of = |raw: Option<&RawValue>, key| {
        let raw = raw.ok_or_else(|| DecodeError::new(&*wire.tag, Problem::Missing(key)))?;
        RequestId::decode(raw).map_err(|error| error.within(key).within(&wire.tag))
    };
    Ok(match &*wire.tag {
        "Ping" => ClientMessage::Ping,
        "Ack" => ClientMessage::Ack { request: of(wire.request_id, "requestId")? },
        "Interrupt" => ClientMessage::Interrupt { request: of(wire.request_id, "requestId")? },
        "Eof" => ClientMessage::Eof,
        "Request" => {
            let id = of(wire.id, "id")?;
            let call = decode_call(wire.call.as_deref().unwrap_or_default(), wire.payload);
            ClientMessage::Request(Request { id, call })
        }
        other => ClientMessage::Unknown { tag: other.to_owned() },
    })
}

fn decode_call(tag: &str, payload: Option<&RawValue>) -> Result<Call, DecodeError> {
    let payload = || payload.map(RawValue::get).ok_or_else(|| DecodeError::new("payload", Problem::Missing("payload")));
    let inside = |error: DecodeError| error.within("payload");
    match tag {
        "SyncWsRpc.Pull" | "SyncHttpRpc.Pull" => {
            let wire: WirePull<'_> = parse(payload()?).map_err(inside)?;
            let live = match wire.live {
                Some(live) => live && tag == "SyncWsRpc.Pull",
                None if tag == "SyncHttpRpc.Pull" => false,
                None => return Err(DecodeError::new("payload", Problem::Missing("live"))),
            };
            let WirePull { store_id, payload, cursor, .. } = wire;
            Ok(Call::Pull(PullCall { store_id: store_id.into(), payload, live, cursor: cursor.into() }))
        }
        "SyncWsRpc.Push" | "SyncHttpRpc.Push" => {
            let wire: WirePush<'_> = parse(payload()?).map_err(inside)?;
            let mut events = Vec::with_capacity(wire.batch.len());
            let mut void = BTreeSet::new();
            for (i, raw) in wire.batch.iter().enumerate() {
                let (event, is_void) =
                    decode_event_or_void(raw.get()).map_err(|error| inside(error.within(&format!("batch[{i}]"))))?;
                events.push(event);
                if is_void {
                    void.insert(i);
                }
            }
            let WirePush { store_id, payload, backend_id, .. } = wire;
            let backend = Option::<String>::from(backend_id).map(BackendId::from);
            Ok(Call::Push(PushCall { store_id: store_id.into(), payload, events, void, backend }))
        }
        "SyncHttpRpc.Ping" => Ok(Call::Ping),
        other => Ok(Call::Unknown { tag: other.to_owned() }),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMessage<'a> {
    #[serde(rename = "_tag", borrow)]
    tag: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    request_id: Option<&'a RawValue>,
    #[serde(rename = "tag", borrow, default)]
    call: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePull<'a> {
    #[serde(borrow)]
    store_id: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    live: Option<bool>,
    cursor: Maybe<Cursor>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePush<'a> {
    #[serde(borrow)]
    store_id: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<Value>,
    #[serde(borrow)]
    batch: Vec<&'a RawValue>,
    backend_id: Maybe<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WirePing<'a> {
    store_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a Value>,
}

/// An optional value as Effect writes it.
#[derive(Serialize, Deserialize)]
#[serde(tag = "_tag")]
enum Maybe<T> {
    None,
    Some { value: T },
}

impl<T> From<Option<T>> for Maybe<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, |value| Self::Some { value })
    }
}

impl<T> From<Maybe<T>> for Option<T> {
    fn from(value: Maybe<T>) -> Self {
        match value {
            Maybe::None => None,
            Maybe::Some { value } => Some(value),
        }
    }
}

/// Asks for a sign of life; exactly this text is answered without waking a sleeping server.
pub(crate) fn ping() -> String {
    r#"{"_tag":"Ping"}"#.to_owned()
}

/// Takes a chunk.
pub(crate) fn ack(request: u64) -> String {
    format!(r#"{{"_tag":"Ack","requestId":"{request}"}}"#)
}

/// Cancels a call, and what it is subscribed to.
pub(crate) fn interrupt(request: u64) -> String {
    format!(r#"{{"_tag":"Interrupt","requestId":"{request}"}}"#)
}

/// Ends the client; for tests of servers.
pub(crate) fn eof() -> String {
    r#"{"_tag":"Eof"}"#.to_owned()
}

/// Asks for the events after a cursor. `live` counts over WebSocket only.
pub(crate) fn pull_call(
    transport: Transport,
    request: u64,
    store_id: &str,
    payload: Option<&Value>,
    live: bool,
    cursor: Option<Cursor>,
) -> String {
    let live = (transport == Transport::Ws).then_some(live);
    let wire = WirePull { store_id: store_id.into(), payload: payload.cloned(), live, cursor: cursor.into() };
    call(transport, request, "Pull", &wire)
}

/// Asks to take events, each from its own JSON.
pub(crate) fn push_call(
    transport: Transport,
    request: u64,
    store_id: &str,
    payload: Option<&Value>,
    events: &[Box<RawValue>],
    backend: Option<&BackendId>,
) -> String {
    let wire = WirePush {
        store_id: store_id.into(),
        payload: payload.cloned(),
        batch: events.iter().map(|event| &**event).collect(),
        backend_id: backend.map(|id| id.to_string()).into(),
    };
    call(transport, request, "Push", &wire)
}

/// Asks for a sign of life, over HTTP.
pub(crate) fn ping_call(request: u64, store_id: &str, payload: Option<&Value>) -> String {
    call(Transport::Http, request, "Ping", &WirePing { store_id, payload })
}

fn call(transport: Transport, request: u64, name: &str, payload: &impl Serialize) -> String {
    // Texts, numbers and JSON that was parsed before: nothing in a payload can fail to be written.
    let payload = serde_json::to_string(payload).unwrap_or_default();
    let family = match transport {
        Transport::Ws => "SyncWsRpc",
        Transport::Http => "SyncHttpRpc",
    };
    format!(r#"{{"_tag":"Request","id":"{request}","tag":"{family}.{name}","payload":{payload},"headers":[]}}"#)
}
