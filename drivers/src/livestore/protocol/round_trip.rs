//! What fuzzing asks of the codec: nothing panics on any bytes, and what was read and is written again reads the same.

use super::{
    Address, Call, Chunk, ClientMessage, Dialect, Exit, PullCall, PushCall, Query, Request, RequestId, ServerMessage, Transport,
    chunk, decode_client, decode_server, encode_event, encode_item, encode_payload, exit, pull_call, push_call,
};

/// Reads bytes as everything that comes over a wire, and writes and reads again what could be read.
///
/// # Errors
///
/// Says what does not read the same the second time.
pub(crate) fn round_trip(bytes: &[u8]) -> Result<(), String> {
    if let Ok(messages) = decode_client(bytes) {
        messages.iter().try_for_each(from_client)?;
    }
    if let Ok(messages) = decode_server(bytes) {
        messages.iter().try_for_each(from_server)?;
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    if let Ok(address) = Address::parse(text) {
        let url = address.url("a-store", None).map_err(|error| format!("{text} is an address, and can't be asked: {error}"))?;
        let query = url.split_once('?').map_or("", |(_, query)| query);
        Query::parse(query).map_err(|error| format!("our own query {query} is not read: {error}"))?;
    }
    if let Ok(query) = Query::parse(text)
        && let Some(payload) = &query.payload
    {
        let transport = if query.transport == Transport::Ws { "ws" } else { "http" };
        let again = format!("storeId={}&transport={transport}&payload={}", query.store_id, encode_payload(payload));
        let read = Query::parse(&again).map_err(|error| format!("{again} is not read: {error}"))?;
        same("a query", &read.payload, &query.payload)?;
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, again: &T, first: &T) -> Result<(), String> {
    if again == first { Ok(()) } else { Err(format!("{what} was {first:?}, and is then {again:?}")) }
}

fn from_client(message: &ClientMessage) -> Result<(), String> {
    let ClientMessage::Request(Request { call: Ok(call), .. }) = message else { return Ok(()) };
    let text = match call {
        Call::Pull(PullCall { store_id, payload, live, cursor }) => {
            // Over HTTP a pull is never live, and both ways it is read the same.
            let transport = if *live { Transport::Ws } else { Transport::Http };
            pull_call(transport, 7, store_id, payload.as_ref(), *live, cursor.clone())
        }
        Call::Push(PushCall { store_id, payload, events, backend, .. }) => {
            let events: Result<Vec<_>, _> = events.iter().map(encode_event).collect();
            let events = events.map_err(|error| format!("what was read can't be written: {error}"))?;
            push_call(Transport::Ws, 7, store_id, payload.as_ref(), &events, backend.as_ref())
        }
        Call::Ping | Call::Unknown { .. } => return Ok(()),
    };
    let again = decode_client(text.as_bytes()).map_err(|error| format!("{text} is not read: {error}"))?;
    let again = match <[ClientMessage; 1]>::try_from(again) {
        Ok([ClientMessage::Request(Request { call: Ok(call), .. })]) => call,
        other => return Err(format!("{text} is read as {other:?}")),
    };
    // Arguments that were missing are `null` by then.
    let without_void = |call: &Call| match call {
        Call::Push(push) => Call::Push(PushCall { void: Default::default(), ..push.clone() }),
        other => other.clone(),
    };
    same("a call", &without_void(&again), &without_void(call))
}

fn from_server(message: &ServerMessage<'_>) -> Result<(), String> {
    match message {
        ServerMessage::Chunk(read) => read.responses().map_or(Ok(()), |_| pages(read)),
        ServerMessage::Exit { request, exit } => {
            [Dialect::Tree, Dialect::List].iter().try_for_each(|&dialect| ends(request, exit, dialect))
        }
        _ => Ok(()),
    }
}

fn pages(read: &Chunk<'_>) -> Result<(), String> {
    for page in read.responses().unwrap_or_default() {
        let items: Result<Vec<String>, _> =
            page.events.iter().map(|event| encode_event(event).map(|event| encode_item(&event, None))).collect();
        let items = items.map_err(|error| format!("what was read can't be written: {error}"))?;
        let text = chunk(&read.request, &items, page.info, &page.backend);
        let again = decode_server(text.as_bytes()).map_err(|error| format!("{text} is not read: {error}"))?;
        let [ServerMessage::Chunk(again)] = &again[..] else { return Err(format!("{text} is no chunk")) };
        let again = again.responses().map_err(|error| format!("{text} is not read: {error}"))?;
        same("a page", &again, &vec![page])?;
    }
    Ok(())
}

/// What a failure says may be cut the first time, and not any more after that.
fn ends(request: &RequestId, first: &Exit, dialect: Dialect) -> Result<(), String> {
    let read = |exit_: &Exit| {
        let text = exit(request, exit_, dialect);
        let read = decode_server(text.as_bytes()).map_err(|error| format!("{text} is not read: {error}"))?;
        match &read[..] {
            [ServerMessage::Exit { request: again, exit }] if again == request => Ok(exit.clone()),
            other => Err(format!("{text} is read as {other:?}")),
        }
    };
    let once = read(first)?;
    if let (Exit::Success(before), Exit::Success(after)) = (first, &once) {
        same("a success", after, before)?;
    }
    same("an end", &read(&once)?, &once)
}
