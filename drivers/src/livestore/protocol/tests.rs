//! The codec against what LiveStore's clients and servers of both generations really said, and against noise.

use serde_json::{Value, json};

use super::*;
use crate::livestore::protocol::from_server::frames;

const FROM_CLIENTS: [&str; 2] = [include_str!("../fixtures/v040-client.jsonl"), include_str!("../fixtures/main-client.jsonl")];
const FROM_SERVERS: [(Dialect, &str); 2] = [
    (Dialect::Tree, include_str!("../fixtures/v040-server.jsonl")),
    (Dialect::List, include_str!("../fixtures/main-server.jsonl")),
];

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The same event over the wire and back, as our own client writes it.
fn written(event: &countersign_core::PulledEvent) -> Value {
    value(encode_event(event).unwrap().get())
}

#[test]
fn what_the_clients_said_is_read_and_written_back() {
    let (mut pulls, mut pushes, mut refused) = (0, 0, 0);
    for line in FROM_CLIENTS.iter().flat_map(|file| file.lines()) {
        for (message, raw) in decode_client(line.as_bytes()).unwrap().into_iter().zip(frames(line).unwrap()) {
            let said = value(raw.get());
            let ClientMessage::Request(Request { id, call }) = message else {
                let again = match message {
                    ClientMessage::Ping => value(&ping()),
                    ClientMessage::Eof => value(&eof()),
                    ClientMessage::Ack { request } => json!({"_tag": "Ack", "requestId": request}),
                    ClientMessage::Interrupt { request } => json!({"_tag": "Interrupt", "requestId": request}),
                    ClientMessage::Unknown { tag } => json!({"_tag": tag}),
                    ClientMessage::Request(_) => unreachable!(),
                };
                assert_eq!(again, said);
                continue;
            };
            assert_eq!(json!(id), said["id"], "given back as it came");
            let transport = if said["tag"].as_str().unwrap().starts_with("SyncHttp") { Transport::Http } else { Transport::Ws };
            let (again, mut payload) = match call {
                Ok(Call::Pull(PullCall { store_id, payload, live, cursor })) => {
                    pulls += 1;
                    (pull_call(transport, 7, &store_id, payload.as_ref(), live, cursor), said["payload"].clone())
                }
                Ok(Call::Push(PushCall { store_id, payload, events, void, backend })) => {
                    pushes += 1;
                    let written = |(i, event)| {
                        if void.contains(&i) { encode_void_event(event).unwrap() } else { encode_event(event).unwrap() }
                    };
                    let batch: Vec<_> = events.iter().enumerate().map(written).collect();
                    let mut said = said["payload"].clone();
                    for event in said["batch"].as_array_mut().unwrap() {
                        let event = event.as_object_mut().unwrap();
                        event.remove("foo");
                    }
                    (push_call(transport, 7, &store_id, payload.as_ref(), &batch, backend.as_ref()), said)
                }
                Ok(Call::Ping) => (
                    ping_call(7, said["payload"]["storeId"].as_str().unwrap(), said["payload"].get("payload")),
                    said["payload"].clone(),
                ),
                Ok(Call::Unknown { tag }) => {
                    assert!(tag.ends_with("Nope"));
                    continue;
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().starts_with("payload"), "{error}");
                    continue;
                }
            };
            payload.as_object_mut().unwrap().remove("extraField");
            if let Some(cursor) = payload.get_mut("cursor").filter(|cursor| cursor["_tag"] == "None") {
                *cursor = json!({"_tag": "None"});
            }
            assert_eq!(value(&again)["payload"], payload);
            assert_eq!(value(&again)["tag"], said["tag"]);
            assert_eq!(value(&again)["id"], "7");
        }
    }
    assert!(pulls > 20 && pushes > 20 && refused >= 5, "{pulls} pulls, {pushes} pushes, {refused} refused");
}

#[test]
fn what_the_servers_said_is_read_and_written_back() {
    let (mut chunks, mut exits, mut defects) = (0, 0, 0);
    for (dialect, file) in FROM_SERVERS {
        for line in file.lines() {
            for (message, raw) in decode_server(line.as_bytes()).unwrap().into_iter().zip(frames(line).unwrap()) {
                let said = value(raw.get());
                match message {
                    ServerMessage::Pong => assert_eq!(value(&pong()), said),
                    ServerMessage::Chunk(arrived) => {
                        chunks += 1;
                        let responses = arrived.responses().unwrap();
                        let [response] = &responses[..] else { panic!("one page a chunk") };
                        let batch = said["values"][0]["batch"].as_array().unwrap();
                        let items: Vec<_> = response
                            .events
                            .iter()
                            .zip(batch)
                            .map(|(event, said)| {
                                encode_item(&encode_event(event).unwrap(), said["metadata"]["value"]["createdAt"].as_str())
                            })
                            .collect();
                        let mut again = value(&chunk(&arrived.request, &items, response.info, &response.backend));
                        for (event, said) in again["values"][0]["batch"].as_array_mut().unwrap().iter_mut().zip(batch) {
                            if said["eventEncoded"].get("args").is_none() {
                                event["eventEncoded"].as_object_mut().unwrap().remove("args");
                            }
                        }
                        assert_eq!(again, said);
                    }
                    ServerMessage::Exit { request, exit: ended } => {
                        exits += 1;
                        let again = exit(&request, &ended, dialect);
                        let [ServerMessage::Exit { exit: twice, .. }] = &decode_server(again.as_bytes()).unwrap()[..] else {
                            panic!("{again}")
                        };
                        assert_eq!(*twice, ended);
                        let typed = match &ended {
                            Exit::Success(_) => true,
                            Exit::Failure(causes) => {
                                matches!(causes[..], [Cause::Fail(Fail::ServerAhead { .. } | Fail::BackendIdMismatch { .. })])
                            }
                        };
                        if typed {
                            assert_eq!(value(&again), said, "in the peer's own words");
                        }
                    }
                    ServerMessage::Defect { message } => {
                        defects += 1;
                        assert!(
                            ["SyntaxError", "Unknown request tag", "JSON"].iter().any(|part| message.contains(part)),
                            "{message}"
                        );
                    }
                    ServerMessage::Unknown { tag } => panic!("{tag}"),
                }
            }
        }
    }
    assert!(chunks > 8 && exits > 20 && defects > 3, "{chunks} chunks, {exits} exits, {defects} defects");
}

/// The causes of an exit with this `cause`.
fn causes(cause: &Value) -> Vec<Cause> {
    let text = json!({"_tag": "Exit", "requestId": 3, "exit": {"_tag": "Failure", "cause": cause}}).to_string();
    match decode_server(text.as_bytes()).unwrap().pop() {
        Some(ServerMessage::Exit { request, exit: Exit::Failure(causes) }) if request.is(3) => causes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_forms_of_causes_say_the_same() {
    let ahead = json!({"_tag": "Fail", "error": {"_tag": "ServerAheadError", "minimumExpectedNum": 3, "providedNum": 0}});
    let die = json!({"_tag": "Die", "defect": "Expected"});
    let stop = json!({"_tag": "Interrupt", "fiberId": {"_tag": "Runtime", "id": -5, "startTimeMillis": 0}});
    let tree = json!({"_tag": "Sequential", "left": {"_tag": "Parallel", "left": {"_tag": "Empty"}, "right": ahead},
        "right": {"_tag": "Parallel", "left": die, "right": stop}});
    let found = causes(&tree);
    assert_eq!(found, causes(&json!([ahead, die, {"_tag": "Interrupt", "fiberId": 5}])));
    let ahead = Cause::Fail(Fail::ServerAhead { minimum_expected: 3, provided: 0 });
    assert_eq!(found, [ahead, Cause::Die("Expected".into()), Cause::Interrupt]);
}

#[test]
fn an_unknown_error_says_what_is_behind_it() {
    let fail = |error: Value| match causes(&json!([{"_tag": "Fail", "error": error}])).pop() {
        Some(Cause::Fail(Fail::Unknown { message, ours })) => (message, ours),
        other => panic!("{other:?}"),
    };
    for (error, text) in [
        (json!({"_tag": "UnknownError", "cause": {"name": "Error", "message": "rejected by onPush"}}), "rejected by onPush"),
        (
            json!({"_tag": "UnknownError", "cause": {"name": "UnknownError", "message": "outer", "cause": {"message": "inner"}}}),
            "outer: inner",
        ),
        (json!({"_tag": "UnknownError", "note": "while inserting", "cause": "full"}), "while inserting: full"),
        (json!({"_tag": "OversizeChunkItemError"}), "OversizeChunkItemError"),
        (json!({"_tag": "ServerAheadError", "minimumExpectedNum": "x"}), "ServerAheadError"),
        (json!(null), "null"),
    ] {
        assert_eq!(fail(error), (text.to_owned(), None));
    }
    for ours in [Ours::Refused(vec![(2, "too old".into()), (5, "no".into())]), Ours::NeedsAuth("expired".into())] {
        let said = Exit::fail(Fail::Unknown { message: "refused".into(), ours: Some(ours.clone()) });
        for dialect in [Dialect::Tree, Dialect::List] {
            let text = exit(&RequestId::of(1), &said, dialect);
            let [ServerMessage::Exit { exit, .. }] = &decode_server(text.as_bytes()).unwrap()[..] else { panic!("{text}") };
            assert_eq!(*exit, said);
        }
    }
    let foreign = json!({"_tag": "UnknownError", "cause": "x", "countersign": {"refused": [{"index": -1}]}});
    assert_eq!(fail(foreign), ("x".to_owned(), None));
}

// Verifies: R8
#[test]
fn an_event_keeps_its_ids_and_its_canonical_arguments() {
    let text = r#"{"_tag":"Chunk","requestId":0,"values":[{"batch":[
        {"eventEncoded":{"name":"n","args":{"b":1e2,"a":[9007199254740993]},"seqNum":2,"parentSeqNum":1,"clientId":"c","sessionId":"s",
          "countersign":{"ordinal":4,"commit":2,"last":true,"more":1},"other":1},"metadata":{"_tag":"None"}},
        {"eventEncoded":{"name":"n","seqNum":3,"parentSeqNum":2,"clientId":"c","sessionId":"s","countersign":{"ordinal":-4}}}
      ],"pageInfo":{"_tag":"MoreOfAKind"},"backendId":"b","more":[]}],"more":1}"#;
    let [ServerMessage::Chunk(chunk)] = &decode_server(text.as_bytes()).unwrap()[..] else { panic!() };
    let pages = chunk.responses().unwrap();
    let [first, second] = &pages[0].events[..] else { panic!() };
    assert_eq!(&*first.event.args, r#"{"a":[9007199254740992],"b":100}"#);
    assert_eq!(first.ids, Some(countersign_core::WireIds { ordinal: 4, commit: 2, last: true }));
    assert_eq!((&*second.event.args, second.ids), ("null", None));
    assert_eq!(pages[0].info, PageInfo::MoreUnknown);
    let again = written(first);
    assert_eq!(again["countersign"], json!({"ordinal": 4, "commit": 2, "last": true}));
    assert_eq!(written(second)["args"], Value::Null);
    assert!(written(second).as_object().unwrap().contains_key("args") && written(second).get("countersign").is_none());
}

// Verifies: L7
#[test]
fn the_limits_of_the_machine_leave_room_for_the_wire() {
    let session = countersign_core::SessionId([255; 16]).to_string();
    let event = countersign_core::PulledEvent {
        seq: countersign_core::GLOBAL_MAX,
        parent: countersign_core::GLOBAL_MAX,
        client: "c".repeat(40).into(),
        session: session.into(),
        ids: Some(countersign_core::WireIds { ordinal: u64::MAX, commit: u64::MAX, last: false }),
        event: std::sync::Arc::new(countersign_core::Event {
            name: "\u{1}".repeat(9).into(),
            args: "[1,2]".into(),
            client_only: false,
        }),
    };
    let encoded = encode_event(&event).unwrap();
    assert!(encoded.get().len() < event.event.encoded_bytes(), "{} bytes", encoded.get().len());
}

#[test]
fn an_error_says_what_and_where() {
    let chunk = |event: &str| {
        format!(
            r#"{{"_tag":"Chunk","requestId":"1","values":[{{"batch":[{{"eventEncoded":{event}}}],"pageInfo":{{"_tag":"NoMore"}},"backendId":"b"}}]}}"#
        )
    };
    let event = |seq: &str, args: &str| {
        format!(r#"{{"name":"n","args":{args},"seqNum":{seq},"parentSeqNum":0,"clientId":"c","sessionId":"s"}}"#)
    };
    for (text, at, part) in [
        ("{not json".to_owned(), "the message", "not JSON"),
        ("7".to_owned(), "the message", "invalid type"),
        (r#"{"_tag":7}"#.to_owned(), "the message._tag", "invalid type"),
        (r#"{"_tag":"Chunk","values":[]}"#.to_owned(), "Chunk", "`requestId` is missing"),
        (r#"{"_tag":"Chunk","requestId":{}}"#.to_owned(), "Chunk.requestId", "invalid type"),
        (r#"{"_tag":"Chunk","requestId":"1"}"#.to_owned(), "Chunk", "`values` is missing"),
        (r#"{"_tag":"Exit","requestId":"1","exit":{}}"#.to_owned(), "Exit.exit", "neither"),
        (r#"{"_tag":"Chunk","requestId":"1","values":[{}]}"#.to_owned(), "Chunk.values[0]", "missing field `batch`"),
        (chunk(&event("-1", "1")), "Chunk.values[0].batch[0].eventEncoded.seqNum", "-1"),
        (chunk(&event("1.5", "1")), "Chunk.values[0].batch[0].eventEncoded.seqNum", "1.5"),
        (chunk(&event("9007199254740992", "1")), "Chunk.values[0].batch[0].eventEncoded.seqNum", "2^53"),
        (chunk("{}"), "Chunk.values[0].batch[0].eventEncoded", "missing field"),
    ] {
        let error = match decode_server(text.as_bytes()).as_deref() {
            Ok([ServerMessage::Chunk(chunk)]) => chunk.responses().unwrap_err(),
            Ok(other) => panic!("{text}: {other:?}"),
            Err(error) => error.clone(),
        };
        assert_eq!(error.at, at, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(matches!(decode_server(&[0xff]).unwrap_err().problem, Problem::NotText(_)));
    let long = format!(r#"{{"_tag":"Ack","requestId":"{}"}}"#, "1".repeat(200));
    assert!(matches!(decode_client(long.as_bytes()).unwrap_err().problem, Problem::TooLong { .. }));
}

#[test]
fn a_message_of_a_later_version_is_no_error() {
    let text = br#"{"_tag":"ClientProtocolError","error":{}}"#;
    assert!(matches!(&decode_server(text).unwrap()[..], [ServerMessage::Unknown { tag }] if tag == "ClientProtocolError"));
    assert_eq!(decode_client(br#"{"_tag":"Hello"}"#).unwrap(), [ClientMessage::Unknown { tag: "Hello".into() }]);
    let payloads = decode_client(br#"{"_tag":"Request","id":"1","tag":"SyncWsRpc.Later","payload":[1]}"#).unwrap();
    assert!(matches!(&payloads[..], [ClientMessage::Request(Request { call: Ok(Call::Unknown { .. }), .. })]));
}

#[test]
fn nothing_shows_a_payload() {
    let text = br#"{"_tag":"Request","id":"1","tag":"SyncWsRpc.Pull","payload":{"storeId":"s","payload":{"authToken":"hidden"},"live":true,"cursor":{"_tag":"None"}}}"#;
    let messages = decode_client(text).unwrap();
    assert!(!format!("{messages:?}").contains("hidden"));
}

/// Everything that can be asked of a frame, so that nothing is left unread.
fn read(bytes: &[u8]) {
    for message in decode_server(bytes).unwrap_or_default() {
        match message {
            ServerMessage::Chunk(chunk) => {
                for event in chunk.responses().unwrap_or_default().iter().flat_map(|page| &page.events) {
                    encode_event(event).unwrap();
                }
            }
            ServerMessage::Exit { request, exit: ended } => {
                for dialect in [Dialect::Tree, Dialect::List] {
                    exit(&request, &ended, dialect);
                }
            }
            _ => {}
        }
    }
    for message in decode_client(bytes).unwrap_or_default() {
        if let ClientMessage::Request(Request { call: Ok(Call::Push(push)), .. }) = message {
            for event in &push.events {
                encode_event(event).unwrap();
            }
        }
    }
    if let Ok(text) = str::from_utf8(bytes) {
        let _ = Query::parse(text);
        let _ = Address::parse(text);
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let corpus: Vec<&str> =
        FROM_CLIENTS.iter().chain(FROM_SERVERS.iter().map(|(_, file)| file)).flat_map(|file| file.lines()).collect();
    let scraps =
        ["null", "-1", "1e999", "\"", "{", "[[[[", "\\ud800", "{}", "[]", "18446744073709551616", "\u{0}", "_tag", "%zz", "é"];
    for round in 0..20_000 {
        let mut bytes = corpus[random.below(corpus.len())].as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len().max(1)).min(bytes.len());
            match random.below(5) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, random.below(256) as u8),
                2 if at < bytes.len() => bytes[at] = random.below(256) as u8,
                3 => {
                    let scrap = scraps[random.below(scraps.len())].bytes();
                    let end = (at + random.below(12)).min(bytes.len());
                    bytes.splice(at..end, scrap);
                }
                _ => {
                    let other = corpus[random.below(corpus.len())].as_bytes();
                    bytes.truncate(at);
                    bytes.extend(&other[random.below(other.len())..]);
                }
            }
        }
        if round % 100 == 0 {
            bytes = (0..random.below(300)).map(|_| random.below(256) as u8).collect();
        }
        read(&bytes);
    }
    for deep in ["[", "{\"a\":", "{\"_tag\":\"Exit\",\"requestId\":1,\"exit\":{\"_tag\":\"Failure\",\"cause\":{\"left\":"] {
        read(deep.repeat(5_000).as_bytes());
    }
}

/// Marsaglia's xorshift: noise that is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}
