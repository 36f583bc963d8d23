//! Bytes that no client would send: they cost their sender the connection at most.

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
