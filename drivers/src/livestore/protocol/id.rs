//! Names of requests.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::Serializer;
use serde_json::Number;
use serde_json::value::RawValue;

use super::error::{DecodeError, Problem};
use super::parse::parse;

/// Room for any id that a client draws: both generations count.
const ID_BYTES: usize = 128;

/// Names a request on its connection. Text or number, and given back as it came: the older generation breaks on numbers, the
/// newer sends them and expects them back.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestId {
    text: Arc<str>,
    is_number: bool,
}

impl RequestId {
    /// An id of ours: a decimal text, which both generations take.
    pub(crate) fn of(number: u64) -> Self {
        Self { text: number.to_string().into(), is_number: false }
    }

    /// Whether this is the answer to a request of ours with this number, in whichever form it comes back.
    pub(crate) fn is(&self, number: u64) -> bool {
        self.text.parse() == Ok(number)
    }

    /// Whether the peer counts in numbers, as LiveStore's newer clients do.
    pub(crate) fn is_number(&self) -> bool {
        self.is_number
    }

    pub(super) fn decode(raw: &RawValue) -> Result<Self, DecodeError> {
        let raw = raw.get();
        let id = if raw.starts_with('"') {
            let text: String = parse(raw)?;
            Self { text: text.into(), is_number: false }
        } else {
            let number: Number = parse(raw)?;
            Self { text: number.to_string().into(), is_number: true }
        };
        if id.text.len() > ID_BYTES {
            return Err(DecodeError::new("", Problem::TooLong { bytes: id.text.len(), max: ID_BYTES }));
        }
        Ok(id)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_number { f.write_str(&self.text) } else { fmt::Debug::fmt(&self.text, f) }
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = if self.is_number { self.text.parse::<Number>().ok() } else { None };
        match number {
            Some(number) => number.serialize(serializer),
            None => serializer.serialize_str(&self.text),
        }
    }
}
