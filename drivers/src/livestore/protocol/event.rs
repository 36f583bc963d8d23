//! One event on the wire.

use std::borrow::Cow;
use std::sync::Arc;

use countersign_core::{Event, GLOBAL_MAX, PulledEvent, WireIds};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::error::{DecodeError, EncodeError, Problem};
use super::parse::parse;
use super::peer_json::{canonical_of_peer, without_lone_surrogates};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEvent<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    args: Option<&'a RawValue>,
    seq_num: u64,
    parent_seq_num: u64,
    #[serde(borrow)]
    client_id: Cow<'a, str>,
    #[serde(borrow)]
    session_id: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    countersign: Option<&'a RawValue>,
}

#[derive(Serialize, Deserialize)]
struct Ids {
    ordinal: u64,
    commit: u64,
    last: bool,
}

/// What is there, also if it is `null`.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(value).map(Some)
}

/// The JSON of an event; its length is what counts for the limits. Its arguments are always there, `null` for none: the newer
/// generation refuses an event without them.
pub(crate) fn encode_event(event: &PulledEvent) -> Result<Box<RawValue>, EncodeError> {
    encode(event, Some(&event.event.args))
}

/// The JSON of an event without arguments, as the older generation writes it: it does not take `null` for the same.
pub(crate) fn encode_void_event(event: &PulledEvent) -> Result<Box<RawValue>, EncodeError> {
    encode(event, None)
}

fn encode(event: &PulledEvent, args: Option<&str>) -> Result<Box<RawValue>, EncodeError> {
    let failed = |error: serde_json::Error| EncodeError { name: event.event.name.to_string(), message: error.to_string() };
    let ids = event.ids.map(|WireIds { ordinal, commit, last }| to_raw_value(&Ids { ordinal, commit, last }));
    let ids = ids.transpose().map_err(failed)?;
    let wire = WireEvent {
        name: Cow::Borrowed(&event.event.name),
        args: args.map(serde_json::from_str).transpose().map_err(failed)?,
        seq_num: event.seq,
        parent_seq_num: event.parent,
        client_id: Cow::Borrowed(&event.client),
        session_id: Cow::Borrowed(&event.session),
        countersign: ids.as_deref(),
    };
    to_raw_value(&wire).map_err(failed)
}

/// An event as a peer sends it, with arguments made canonical. Ids that are not ours to read count as none, and arguments that
/// are not there as `null`.
pub(super) fn decode_event(raw: &RawValue) -> Result<PulledEvent, DecodeError> {
    // Its place in the log is taken, whatever it says.
    decode_event_or_void(&without_lone_surrogates(raw.get())).map(|(event, _)| event)
}

/// The same of an event that has no place yet, and whether it came without arguments. A text with half a surrogate pair is refused: what
/// is stored in its place would not be what its author finds again.
pub(super) fn decode_event_or_void(event: &str) -> Result<(PulledEvent, bool), DecodeError> {
    let wire: WireEvent<'_> = parse(event)?;
    for (key, number) in [("seqNum", wire.seq_num), ("parentSeqNum", wire.parent_seq_num)] {
        if number > GLOBAL_MAX {
            return Err(DecodeError::new(key, Problem::TooLarge(number)));
        }
    }
    let args = wire.args.map_or_else(|| Arc::from("null"), |args| canonical_of_peer(args.get()));
    let ids = wire.countersign.and_then(|raw| serde_json::from_str::<Ids>(raw.get()).ok());
    let event = PulledEvent {
        seq: wire.seq_num,
        parent: wire.parent_seq_num,
        client: wire.client_id.into(),
        session: wire.session_id.into(),
        ids: ids.map(|Ids { ordinal, commit, last }| WireIds { ordinal, commit, last }),
        event: Arc::new(Event { name: wire.name.into(), args, client_only: false }),
    };
    Ok((event, wire.args.is_none()))
}
