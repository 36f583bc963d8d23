//! How calls end: success, or causes in the forms of both generations.

use std::sync::Arc;

use countersign_core::BackendId;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::error::{DecodeError, Problem};
use super::parse::parse;
use super::peer_json::without_lone_surrogates;

/// A cause nested deeper than this is cut: the text of an error is for people.
const CAUSE_CHAIN: usize = 8;

/// How a call has ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Exit {
    /// As it should.
    Success(SuccessValue),
    /// By these causes, in order; both generations may name several.
    Failure(Vec<Cause>),
}

/// What a success says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SuccessValue {
    /// Of a pull.
    Nothing,
    /// Of a push.
    Pushed,
    /// Of a ping over HTTP.
    Pong,
}

/// Why a call has failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cause {
    /// The server said no.
    Fail(Fail),
    /// The server was in trouble, or could not read the call.
    Die(String),
    /// The call was cancelled.
    Interrupt,
    /// Something else.
    Unknown(String),
}

/// A decoded no.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fail {
    /// The batch does not stand on the server's head.
    ServerAhead {
        /// The server's head.
        minimum_expected: i64,
        /// The parent that was sent.
        provided: i64,
    },
    /// The backend is another one.
    BackendIdMismatch {
        /// The server's.
        expected: BackendId,
        /// What was sent.
        received: BackendId,
    },
    /// Anything else, as LiveStore says it; our own server adds what class it is of.
    Unknown {
        /// What the server said.
        message: String,
        /// What our server adds.
        ours: Option<Ours>,
    },
}

/// What our server adds to an error, in a key that LiveStore's clients do not look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ours {
    /// These events of the batch, by index, are refused for ever.
    Refused(Vec<(u32, Arc<str>)>),
    /// Credentials are missing or no longer good.
    NeedsAuth(Arc<str>),
}

/// Which form of causes a peer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// A tree: LiveStore 0.4.0.
    Tree,
    /// A list: what came after.
    List,
}

impl Dialect {
    /// The newer clients count their requests in numbers, the older ones in texts.
    pub(crate) fn of(request: &super::RequestId) -> Self {
        if request.is_number() { Self::List } else { Self::Tree }
    }
}

impl Exit {
    /// A failure with one cause.
    pub(crate) fn fail(fail: Fail) -> Self {
        Self::Failure(vec![Cause::Fail(fail)])
    }

    pub(super) fn decode(raw: &RawValue) -> Result<Self, DecodeError> {
        let value: Value = parse(&without_lone_surrogates(raw.get()))?;
        match value["_tag"].as_str() {
            Some("Success") => Ok(Self::Success(match &value["value"] {
                Value::Object(fields) if fields.contains_key("_tag") => SuccessValue::Pong,
                Value::Object(_) => SuccessValue::Pushed,
                _ => SuccessValue::Nothing,
            })),
            Some("Failure") => Ok(Self::Failure(causes(&value["cause"]))),
            _ => Err(DecodeError::new("", Problem::Shape("neither Success nor Failure".to_owned()))),
        }
    }

    pub(super) fn encode(&self, dialect: Dialect) -> Value {
        match self {
            Self::Success(SuccessValue::Nothing) if dialect == Dialect::Tree => json!({"_tag": "Success"}),
            Self::Success(SuccessValue::Nothing) => json!({"_tag": "Success", "value": null}),
            Self::Success(SuccessValue::Pushed) => json!({"_tag": "Success", "value": {}}),
            Self::Success(SuccessValue::Pong) => json!({"_tag": "Success", "value": {"_tag": "SyncMessage.Pong"}}),
            Self::Failure(causes) => {
                let mut nodes = causes.iter().map(|cause| cause.encode(dialect));
                let cause = match dialect {
                    Dialect::List => Value::Array(nodes.collect()),
                    Dialect::Tree => match nodes.next() {
                        None => json!({"_tag": "Empty"}),
                        Some(first) => {
                            nodes.fold(first, |left, right| json!({"_tag": "Sequential", "left": left, "right": right}))
                        }
                    },
                };
                json!({"_tag": "Failure", "cause": cause})
            }
        }
    }
}

/// A tree or a list, flattened in order. Not recursive: how deep a tree is decides its sender.
fn causes(cause: &Value) -> Vec<Cause> {
    let mut open = vec![cause];
    let mut found = Vec::new();
    while let Some(node) = open.pop() {
        if let Value::Array(nodes) = node {
            open.extend(nodes.iter().rev());
            continue;
        }
        match node["_tag"].as_str() {
            Some("Empty") => {}
            Some("Sequential" | "Parallel") => open.extend([&node["right"], &node["left"]]),
            Some("Fail") => found.push(Cause::Fail(Fail::decode(&node["error"]))),
            Some("Die") => found.push(Cause::Die(message_of(&node["defect"]))),
            Some("Interrupt") => found.push(Cause::Interrupt),
            _ => found.push(Cause::Unknown(message_of(node))),
        }
    }
    found
}

impl Cause {
    fn encode(&self, dialect: Dialect) -> Value {
        match self {
            Self::Fail(fail) => json!({"_tag": "Fail", "error": fail.encode()}),
            Self::Die(message) | Self::Unknown(message) => json!({"_tag": "Die", "defect": message}),
            Self::Interrupt if dialect == Dialect::List => json!({"_tag": "Interrupt"}),
            Self::Interrupt => json!({"_tag": "Interrupt", "fiberId": {"_tag": "None"}}),
        }
    }
}

impl Fail {
    fn decode(error: &Value) -> Self {
        let number = |key: &str| error[key].as_i64();
        let text = |key: &str| error[key].as_str().map(BackendId::from);
        let known = match error["_tag"].as_str() {
            Some("ServerAheadError") => number("minimumExpectedNum")
                .zip(number("providedNum"))
                .map(|(minimum_expected, provided)| Self::ServerAhead { minimum_expected, provided }),
            Some("BackendIdMismatchError") => {
                text("expected").zip(text("received")).map(|(expected, received)| Self::BackendIdMismatch { expected, received })
            }
            _ => None,
        };
        known.unwrap_or_else(|| Self::Unknown { message: message_of(error), ours: Ours::decode(&error["countersign"]) })
    }

    fn encode(&self) -> Value {
        match self {
            Self::ServerAhead { minimum_expected, provided } => {
                json!({"_tag": "ServerAheadError", "minimumExpectedNum": minimum_expected, "providedNum": provided})
            }
            Self::BackendIdMismatch { expected, received } => {
                json!({"_tag": "BackendIdMismatchError", "expected": expected, "received": received})
            }
            Self::Unknown { message, ours } => {
                let mut error = json!({"_tag": "UnknownError", "cause": {"name": "Error", "message": message}});
                if let (Some(ours), Some(fields)) = (ours, error.as_object_mut()) {
                    fields.insert("countersign".to_owned(), ours.encode());
                }
                error
            }
        }
    }
}

impl Ours {
    fn decode(value: &Value) -> Option<Self> {
        if let Some(message) = value["needsAuth"].as_str() {
            return Some(Self::NeedsAuth(message.into()));
        }
        let refused = value["refused"].as_array()?.iter().map(|one| {
            let index = u32::try_from(one["index"].as_u64()?).ok()?;
            Some((index, Arc::from(one["message"].as_str()?)))
        });
        refused.collect::<Option<Vec<_>>>().filter(|refused| !refused.is_empty()).map(Self::Refused)
    }

    fn encode(&self) -> Value {
        match self {
            Self::Refused(events) => {
                let one = |(index, message): &(u32, Arc<str>)| json!({"index": index, "message": message});
                json!({"refused": events.iter().map(one).collect::<Vec<_>>()})
            }
            Self::NeedsAuth(message) => json!({"needsAuth": message}),
        }
    }
}

/// What an error says, for people: names and messages along the chain of causes.
pub(super) fn message_of(error: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut at = error;
    for _ in 0..CAUSE_CHAIN {
        match at {
            Value::Null => break,
            Value::String(text) => {
                parts.push(text.clone());
                break;
            }
            Value::Object(fields) => {
                parts.extend(one_message(fields));
                at = fields.get("cause").unwrap_or(&Value::Null);
            }
            other => {
                parts.push(other.to_string());
                break;
            }
        }
    }
    if parts.is_empty() { error.to_string() } else { parts.join(": ") }
}

fn one_message(fields: &Map<String, Value>) -> Option<String> {
    let text = |key: &str| fields.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (text("message"), text("note"), text("name").or_else(|| text("_tag"))) {
        (Some(message), None, _) => Some(message.to_owned()),
        (Some(message), Some(note), _) => Some(format!("{note}: {message}")),
        (None, Some(note), _) => Some(note.to_owned()),
        // A wrapper's name says nothing that its cause does not say better.
        (None, None, Some(name)) if !fields.contains_key("cause") => Some(name.to_owned()),
        (None, None, _) => None,
    }
}
