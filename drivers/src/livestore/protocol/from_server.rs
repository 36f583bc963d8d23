//! What a server says.

use std::borrow::Cow;

use countersign_core::BackendId;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::error::{DecodeError, Problem};
use super::id::RequestId;
use super::outcome::{Dialect, Exit, message_of};
use super::page::{PageInfo, PullResponse, encode_page};
use super::parse::{parse, text};
use super::peer_json::without_lone_surrogates;

/// A message from a server.
#[derive(Clone, Debug)]
pub(crate) enum ServerMessage<'a> {
    /// A sign of life.
    Pong,
    /// A part of the answer to a pull.
    Chunk(Chunk<'a>),
    /// The end of a call.
    Exit {
        /// The call.
        request: RequestId,
        /// How it ended.
        exit: Exit,
    },
    /// Something is wrong with the connection, or with a message that can't be named: fails every call under way.
    Defect {
        /// What the server said.
        message: String,
    },
    /// A message of another kind.
    Unknown {
        /// Its kind.
        tag: String,
    },
}

/// A part of the answer to a pull. Its content is only read when it is wanted: chunks still come for calls that are over.
#[derive(Clone, Debug)]
pub(crate) struct Chunk<'a> {
    /// The call.
    pub(crate) request: RequestId,
    values: Vec<&'a RawValue>,
}

impl Chunk<'_> {
    /// What it holds.
    pub(crate) fn responses(&self) -> Result<Vec<PullResponse>, DecodeError> {
        let decode = |(i, raw): (usize, &&RawValue)| {
            PullResponse::decode(raw).map_err(|error| error.within(&format!("values[{i}]")).within("Chunk"))
        };
        self.values.iter().enumerate().map(decode).collect()
    }
}

/// The messages of one frame, or of one HTTP body: one, or an array of them.
pub(crate) fn decode_server(bytes: &[u8]) -> Result<Vec<ServerMessage<'_>>, DecodeError> {
    frames(text(bytes)?)?.into_iter().map(decode_one).collect()
}

fn decode_one(raw: &RawValue) -> Result<ServerMessage<'_>, DecodeError> {
    let wire: WireMessage<'_> = parse(raw.get()).map_err(|error| error.within("the message"))?;
    let missing = |key| DecodeError::new(&*wire.tag, Problem::Missing(key));
    let request = || {
        let raw = wire.request_id.ok_or_else(|| missing("requestId"))?;
        RequestId::decode(raw).map_err(|error| error.within("requestId").within(&wire.tag))
    };
    Ok(match &*wire.tag {
        "Pong" => ServerMessage::Pong,
        "Chunk" => {
            let request = request()?;
            ServerMessage::Chunk(Chunk { request, values: wire.values.ok_or_else(|| missing("values"))? })
        }
        "Exit" => {
            let request = request()?;
            let exit = Exit::decode(wire.exit.ok_or_else(|| missing("exit"))?);
            ServerMessage::Exit { request, exit: exit.map_err(|error| error.within("exit").within("Exit"))? }
        }
        "Defect" => {
            let defect: Value = wire.defect.map_or(Ok(Value::Null), |raw| parse(&without_lone_surrogates(raw.get())))?;
            ServerMessage::Defect { message: message_of(&defect) }
        }
        other => ServerMessage::Unknown { tag: other.to_owned() },
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMessage<'a> {
    #[serde(rename = "_tag", borrow)]
    tag: Cow<'a, str>,
    #[serde(borrow, default)]
    request_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    values: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    exit: Option<&'a RawValue>,
    #[serde(borrow, default)]
    defect: Option<&'a RawValue>,
}

/// The messages in a text: an array of them, or one.
pub(super) fn frames(text: &str) -> Result<Vec<&RawValue>, DecodeError> {
    let at = |error: DecodeError| error.within("the message");
    if text.trim_start().starts_with('[') { parse(text).map_err(at) } else { Ok(vec![parse(text).map_err(at)?]) }
}

/// A sign of life.
pub(crate) fn pong() -> String {
    r#"{"_tag":"Pong"}"#.to_owned()
}

/// One page, from the JSON of its items ([`super::encode_item`]).
pub(crate) fn chunk(request: &RequestId, items: &[impl AsRef<str>], info: PageInfo, backend: &BackendId) -> String {
    let (request, page) = (id(request), encode_page(items, info, backend));
    format!(r#"{{"_tag":"Chunk","requestId":{request},"values":[{page}]}}"#)
}

/// The end of a call, in the form that the peer's generation reads.
pub(crate) fn exit(request: &RequestId, exit: &Exit, dialect: Dialect) -> String {
    format!(r#"{{"_tag":"Exit","requestId":{},"exit":{}}}"#, id(request), exit.encode(dialect))
}

/// Something is wrong that belongs to no call.
pub(crate) fn defect(message: &str) -> String {
    json!({"_tag": "Defect", "defect": message}).to_string()
}

/// The body of an HTTP answer: all messages of the call.
pub(crate) fn http_body(messages: &[String]) -> String {
    format!("[{}]", messages.join(","))
}

fn id(request: &RequestId) -> String {
    // A text or a number: can't fail.
    serde_json::to_string(request).unwrap_or_default()
}
