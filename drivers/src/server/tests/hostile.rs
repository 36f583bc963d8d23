//! Bytes that no client would send: they cost their sender the connection at most.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::*;

#[test]
fn noise_costs_its_sender_the_connection_and_nobody_else_anything() {
    let site = Site::new();
    let mut witness = site.client("a");
    let id = witness.pulls(true, None);
    witness.hears();
    witness.acks(&id);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let upgrade = "GET /?storeId=a&transport=ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for round in 0..120 {
        let mut bytes = if round % 2 == 0 { upgrade.as_bytes().to_vec() } else { Vec::new() };
        bytes.extend((0..random.below(2_000)).map(|_| random.below(256) as u8));
        let mut stream = tcp(site.addr());
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        // Until the server has closed it.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(site.client("a").push(&batch(1..=1)), success());
    assert_eq!(seqs_of(&witness.hears()), [1]);
    assert!(witness.is_well());
}

/// Whoever sends without end, and faster than it can be handled, has his turn and no more.
#[test]
fn floods_keep_nobody_else_from_being_heard() {
    let site = Site::new();
    let ping = frame(br#"{"_tag":"Ping"}"#);
    let floods = [
        ping.repeat(2_000),
        // One message of very many.
        frame(format!("[{}]", [r#"{"_tag":"Ping"}"#; 20_000].join(",")).as_bytes()),
        // A message that goes on and on, and gets no longer.
        [&[0x01, 0x80, 0, 0, 0, 0][..], &[0x00, 0x80, 0, 0, 0, 0].repeat(5_000)].concat(),
        // Pings of the protocol below.
        [0x89, 0x80, 0, 0, 0, 0].repeat(5_000),
    ];
    for flood in floods {
        let is_over = AtomicBool::new(false);
        let dialled = site.client("flood").socket.into_inner();
        let (mut sends, mut reads) = (dialled.try_clone().unwrap(), dialled.try_clone().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // All that follows the first part of a fragmented message is more of it.
                let mut part = &flood[..];
                while !is_over.load(Ordering::SeqCst) && sends.write_all(part).is_ok() {
                    part = if flood[0] == 0x01 { &flood[6..] } else { &flood[..] };
                }
            });
            scope.spawn(|| while reads.read(&mut [0; 64 << 10]).is_ok_and(|read| read > 0) {});
            for _ in 0..20 {
                assert!(site.client("a").is_well());
            }
            is_over.store(true, Ordering::SeqCst);
            let _ = dialled.shutdown(std::net::Shutdown::Both);
        });
    }
}

#[test]
fn frames_that_break_the_protocol_are_answered_with_why() {
    let site = Site::new();
    for (bytes, code) in [
        // Not masked; a reserved bit; a continuation of nothing; no UTF-8.
        (&[0x81, 0x02, b'{', b'}'][..], 1002),
        (&[0xf1, 0x80, 0, 0, 0, 0], 1002),
        (&[0x80, 0x80, 0, 0, 0, 0], 1002),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
    ] {
        let mut client = site.client("a");
        client.socket.get_mut().write_all(bytes).unwrap();
        assert_eq!(client.hears_goodbye().0, code, "{bytes:?}");
    }
    assert!(site.client("a").is_well());
}

#[test]
fn messages_that_are_none_are_answered_and_not_for_ever() {
    let site = Site::new();
    let mut client = site.client("a");
    for text in ["{not json", "[]x", "7", r#"{"_tag":7}"#, r#"{"_tag":"Ack"}"#, r#"{"_tag":"Hello"}"#] {
        client.says(text);
        assert_eq!(client.hears()["_tag"], "Defect", "{text}");
    }
    assert!(client.is_well(), "the connection goes on");
    client.socket.send(Message::binary(r#"{"_tag":"Ping"}"#)).unwrap();
    assert_eq!(client.hears(), json!({"_tag": "Pong"}), "in a binary frame as well");
    client.says(r#"[{"_tag":"Ping"},{"_tag":"Ping"}]"#);
    assert_eq!([client.hears(), client.hears()], [json!({"_tag": "Pong"}), json!({"_tag": "Pong"})]);
    for _ in 0..16 {
        client.says("{not json");
    }
    let (code, reason) = client.hears_goodbye();
    assert!(code == 1008 && reason.contains("can't be read"), "{code} {reason}");
}

#[test]
fn calls_that_can_t_be_read_fail_alone() {
    let site = Site::new();
    let mut client = site.client("a");
    for (what, payload) in [
        ("Pull", "{}".to_owned()),
        ("Push", r#"{"storeId":"a","batch":[{"name":1}],"backendId":{"_tag":"None"}}"#.to_owned()),
        ("Push", r#"{"storeId":"a","batch":{},"backendId":{"_tag":"None"}}"#.to_owned()),
    ] {
        client.says(format!(r#"{{"_tag":"Request","id":"9","tag":"SyncWsRpc.{what}","payload":{payload}}}"#));
        let heard = client.hears();
        assert_eq!((&heard["requestId"], &error(&heard["exit"])["_tag"]), (&json!("9"), &json!("Die")), "{heard}");
    }
    let running = client.pulls(true, None);
    client.hears();
    client.says(
        json!({"_tag": "Request", "id": running, "tag": "SyncWsRpc.Push", "payload": {"storeId": "a", "batch": [],
        "backendId": {"_tag": "None"}}})
        .to_string(),
    );
    assert_eq!(client.hears()["_tag"], "Defect", "an id that is in use");
    assert!(client.is_well());
}

/// Not every client can read everything: what is JSON goes through as it came, and nobody's pull stops there.
#[test]
fn arguments_that_are_nested_very_deep_come_back_as_they_came() {
    let site = Site::new();
    let mut client = site.client("a");
    let deep = format!("{}1e999{}", "[".repeat(5_000), "]".repeat(5_000));
    client.says(format!(
        r#"{{"_tag":"Request","id":"9","tag":"SyncWsRpc.Push","payload":{{"storeId":"a","batch":[{{"name":"n","args":{deep},"seqNum":1,"parentSeqNum":0,"clientId":"c","sessionId":"s"}}],"backendId":{{"_tag":"None"}}}}}}"#
    ));
    assert_eq!(client.hears()["exit"], success());
    client.pulls(false, None);
    let page = client.socket.read().unwrap().into_text().unwrap();
    assert!(page.contains(&deep), "{page}");
}

/// A text message, masked with zeros.
fn frame(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()) {
        Ok(length @ ..126) => frame.push(0x80 | length as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((text.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text);
    frame
}

/// Marsaglia's xorshift: noise that is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
