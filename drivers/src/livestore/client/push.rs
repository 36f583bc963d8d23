//! Pushes, and answers over HTTP: one call, one answer.

use std::ops::Range;
use std::sync::Arc;

use countersign_core::{BackendFailure, BackendId, ClientId, Event, OwnEvent, Page, PulledEvent, Push, WireIds};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::protocol::{Exit, PageInfo, ServerMessage, Transport, decode_server, encode_event, push_call, split};
use super::failure::{Asked, of_causes, of_defect, of_unreadable, unreachable};

/// What is around the events of a push, at most: identities and the keys. The payload comes on top.
const AROUND: usize = 512;

/// The calls that a batch takes: one, unless it is larger than a message may be.
pub(crate) struct PushCalls {
    events: Vec<Box<RawValue>>,
    backend: Option<BackendId>,
    calls: std::vec::IntoIter<Range<usize>>,
    /// Whether an earlier call of this batch was taken.
    partly: bool,
}

impl PushCalls {
    /// # Errors
    ///
    /// If an event can't be written down.
    pub(crate) fn new(client: &ClientId, push: &Push, payload: Option<&Value>) -> Result<Self, BackendFailure> {
        let mut events = Vec::with_capacity(push.events.len());
        let mut refused = Vec::new();
        for (i, (own, parent)) in push.events.iter().zip(push.parent..).enumerate() {
            match encode_event(&pushed(client, own, parent)) {
                Ok(event) => events.push(event),
                Err(error) => refused.push((u32::try_from(i).unwrap_or(u32::MAX), Arc::from(error.to_string()))),
            }
        }
        if !refused.is_empty() {
            return Err(BackendFailure::Refused { events: refused });
        }
        let around = AROUND + payload.map_or(0, |payload| payload.to_string().len());
        let calls = split(around, events.iter().map(|event| event.get().len()));
        Ok(Self { events, backend: push.backend.clone(), calls: calls.into_iter(), partly: false })
    }

    /// The next call.
    pub(crate) fn next(&mut self, transport: Transport, request: u64, store_id: &str, payload: Option<&Value>) -> Option<String> {
        let range = self.calls.next()?;
        let events = self.events.get(range).unwrap_or_default();
        Some(push_call(transport, request, store_id, payload, events, self.backend.as_ref()))
    }

    /// What a frame says about the call `request`; nothing if it speaks of something else.
    pub(crate) fn answer(&mut self, request: u64, bytes: &[u8]) -> Option<Result<(), BackendFailure>> {
        let answer = answer(request, bytes)?;
        Some(match answer {
            Ok(()) => {
                self.partly = true;
                Ok(())
            }
            Err(failure) => Err(self.failed(failure)),
        })
    }

    /// What a failed call means for the batch: if a part of it was taken, what the rest met is for the next pull to find out.
    pub(crate) fn failed(&self, failure: BackendFailure) -> BackendFailure {
        match failure {
            failure if !self.partly => failure,
            BackendFailure::Unreachable { message, .. } => BackendFailure::Unreachable { message, maybe_applied: true },
            other => unreachable(format!("a part of the batch was taken, the rest was not: {other:?}"), true),
        }
    }
}

fn answer(request: u64, bytes: &[u8]) -> Option<Result<(), BackendFailure>> {
    let messages = match decode_server(bytes) {
        Ok(messages) => messages,
        Err(error) => return Some(Err(of_unreadable(&error, Asked::Push))),
    };
    messages.into_iter().find_map(|message| match message {
        ServerMessage::Exit { request: of, exit } if of.is(request) => Some(match exit {
            Exit::Success(_) => Ok(()),
            Exit::Failure(causes) => Err(of_causes(&causes, Asked::Push)),
        }),
        ServerMessage::Defect { message } => Some(Err(of_defect(&message))),
        _ => None,
    })
}

/// The pages in the answer to a pull over HTTP. Their order is the log's: a gap in them is the log's own.
///
/// # Errors
///
/// If it is a failure, can't be read, or is not complete.
pub(crate) fn read_pages(request: u64, bytes: &[u8], after: u64) -> Result<Vec<Page>, BackendFailure> {
    let unreadable = |error| of_unreadable(&error, Asked::Pull);
    let mut pages: Vec<Page> = Vec::new();
    for message in decode_server(bytes).map_err(unreadable)? {
        match message {
            ServerMessage::Chunk(chunk) if chunk.request.is(request) => {
                for response in chunk.responses().map_err(unreadable)? {
                    let mut events = response.events;
                    events.retain(|event| event.seq > after);
                    pages.push(Page { events, more: response.info != PageInfo::NoMore, backend: response.backend });
                }
            }
            ServerMessage::Exit { request: of, exit } if of.is(request) => {
                return match exit {
                    Exit::Success(_) if !pages.is_empty() => Ok(pages),
                    Exit::Success(_) => Err(unreachable("the backend answered a pull without a page", false)),
                    Exit::Failure(causes) => Err(of_causes(&causes, Asked::Pull)),
                };
            }
            ServerMessage::Defect { message } => return Err(of_defect(&message)),
            _ => {}
        }
    }
    Err(unreachable("the backend's answer to a pull is not complete", false))
}

/// The pages at the beginning of an answer that broke off, as far as they are whole and follow what was asked for; nothing if there is none.
pub(crate) fn read_first_pages(request: u64, bytes: &[u8], after: u64) -> Option<Vec<Page>> {
    // An end is put to what is there: it says nothing that was not said.
    let end = r#"{"_tag":"Exit","requestId":"","exit":{"_tag":"Success"}}]"#.replace(r#""""#, &format!("\"{request}\""));
    let whole = [bytes.get(..whole_messages(bytes)?)?, b",", end.as_bytes()].concat();
    let pages = read_pages(request, &whole, after).ok()?;
    pages.iter().any(|page| !page.events.is_empty()).then_some(pages)
}

/// The length of the beginning of an array that holds whole messages only; nothing if there is none.
fn whole_messages(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut in_text, mut escaped, mut end) = (0_usize, false, false, None);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 1 {
                    end = Some(at + 1);
                }
            }
            _ => {}
        }
    }
    end
}

fn pushed(client: &ClientId, own: &OwnEvent, parent: u64) -> PulledEvent {
    PulledEvent {
        seq: parent + 1,
        parent,
        client: client.clone(),
        session: own.id.session.to_string().into(),
        ids: Some(WireIds { ordinal: own.id.ordinal, commit: own.commit, last: own.last }),
        event: Arc::<Event>::clone(&own.event),
    }
}
