//! One page of a pull.

use std::borrow::Cow;

use countersign_core::{BackendId, PulledEvent};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::error::DecodeError;
use super::event::decode_event;
use super::parse::parse;

/// One element of a chunk's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PullResponse {
    /// The events, in the order that the backend sent them in.
    pub(crate) events: Vec<PulledEvent>,
    /// Whether more follows.
    pub(crate) info: PageInfo,
    /// Which backend this is.
    pub(crate) backend: BackendId,
}

/// What follows a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "_tag")]
pub(crate) enum PageInfo {
    /// Nothing, for now.
    NoMore,
    /// So many events, counted when the pull began.
    MoreKnown {
        /// How many.
        remaining: u64,
    },
    /// Perhaps something. Also what any other word means.
    #[serde(other)]
    MoreUnknown,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePage<'a> {
    #[serde(borrow)]
    batch: Vec<WireItem<'a>>,
    page_info: PageInfo,
    #[serde(borrow)]
    backend_id: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireItem<'a> {
    #[serde(borrow)]
    event_encoded: &'a RawValue,
}

impl PullResponse {
    pub(super) fn decode(raw: &RawValue) -> Result<Self, DecodeError> {
        let wire: WirePage<'_> = parse(raw.get())?;
        let mut events = Vec::with_capacity(wire.batch.len());
        for (i, item) in wire.batch.iter().enumerate() {
            let event = decode_event(item.event_encoded);
            events.push(event.map_err(|error| error.within(&format!("batch[{i}].eventEncoded")))?);
        }
        Ok(Self { events, info: wire.page_info, backend: wire.backend_id.into() })
    }
}

/// An event in a page, from its own JSON; `created_at` is when the backend took it (ISO 8601), if it knows.
pub(crate) fn encode_item(event: &RawValue, created_at: Option<&str>) -> String {
    let metadata = match created_at {
        Some(at) => json!({"_tag": "Some", "value": {"_tag": "SyncMessage.SyncMetadata", "createdAt": at}}),
        None => json!({"_tag": "None"}),
    };
    format!(r#"{{"eventEncoded":{},"metadata":{metadata}}}"#, event.get())
}

/// A page, from the JSON of its items.
pub(super) fn encode_page(items: &[impl AsRef<str>], info: PageInfo, backend: &BackendId) -> String {
    let info = match info {
        PageInfo::NoMore => json!({"_tag": "NoMore"}),
        PageInfo::MoreKnown { remaining } => json!({"_tag": "MoreKnown", "remaining": remaining}),
        PageInfo::MoreUnknown => json!({"_tag": "MoreUnknown"}),
    };
    let backend = Value::from(&**backend);
    let mut page = String::with_capacity(items.iter().map(|item| item.as_ref().len() + 1).sum::<usize>() + 100);
    page.push_str(r#"{"batch":["#);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            page.push(',');
        }
        page.push_str(item.as_ref());
    }
    page.push_str(&format!(r#"],"pageInfo":{info},"backendId":{backend}}}"#));
    page
}
