//! What LiveStore's clients of both generations said to LiveStore's servers, said to ours: it answers the same, in the same
//! order, but for identities, times and the wording of faults.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::*;

const DIALOGUES: [(&str, &str); 7] = [
    ("v040-ws-two-clients", include_str!("../fixtures/v040-ws-two-clients.txt")),
    ("v040-ws-conflict", include_str!("../fixtures/v040-ws-conflict.txt")),
    ("v040-ws-edge-cases", include_str!("../fixtures/v040-ws-edge-cases.txt")),
    ("v040-http", include_str!("../fixtures/v040-http.txt")),
    ("main-ws-client", include_str!("../fixtures/main-ws-client.txt")),
    ("main-ws-edge-cases", include_str!("../fixtures/main-ws-edge-cases.txt")),
    ("main-http", include_str!("../fixtures/main-http.txt")),
];

#[test]
fn captured_dialogues_go_the_same_way() {
    let site = Site::new();
    for (store, dialogue) in DIALOGUES {
        let answers = play(&site, store, dialogue);
        assert!(answers >= 7, "{store}: {answers}");
    }
}

/// Answers how many messages were compared.
fn play(site: &Site, store: &str, dialogue: &str) -> usize {
    let mut sockets: BTreeMap<&str, Side> = BTreeMap::new();
    // Theirs, and ours: known from the first page on.
    let mut identity: Option<(String, String)> = None;
    let mut body = None;
    let mut answers = 0;
    for line in dialogue.lines().filter(|line| !line.starts_with('#')) {
        let (who, rest) = line.split_once(' ').unwrap();
        let (way, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let translated = |text: &str| match &identity {
            Some((theirs, ours)) => text.replace(theirs, ours),
            None => text.to_owned(),
        };
        match (who, way) {
            ("HTTP", ">") => body = Some(post(site.addr(), store, &translated(text))),
            (_, ">") => {
                let side = sockets.entry(who).or_insert_with(|| Side { client: site.client(store), heard: VecDeque::new() });
                side.says(translated(text));
            }
            (_, "close") => drop(sockets.remove(who)),
            _ => {
                let said: Value = serde_json::from_str(text).unwrap();
                let heard = match who {
                    "HTTP" => {
                        let (status, body) = body.take().unwrap();
                        assert_eq!(status, 200, "{body}");
                        serde_json::from_str(&body).unwrap()
                    }
                    _ => sockets.get_mut(who).unwrap().hears(),
                };
                if let (None, Some(theirs), Some(ours)) = (&identity, backend(&said), backend(&heard)) {
                    identity = Some((theirs, ours));
                }
                let said: Value = serde_json::from_str(&match &identity {
                    Some((theirs, ours)) => text.replace(theirs, ours),
                    None => text.to_owned(),
                })
                .unwrap();
                assert_eq!(plainly(heard), plainly(said), "{store}: {line}");
                answers += 1;
            }
        }
    }
    answers
}

/// One socket of a dialogue.
struct Side {
    client: Client,
    heard: VecDeque<Value>,
}

impl Side {
    /// A push is waited for: which of two that were sent at once came first is not the server's choice.
    fn says(&mut self, text: String) {
        let asked: Value = serde_json::from_str(&text).unwrap_or_default();
        self.client.says(text);
        if asked["_tag"] == "Request" && asked["tag"].as_str().is_some_and(|tag| tag.ends_with("Push")) {
            loop {
                let heard = self.client.hears();
                let is_its_end = heard["_tag"] == "Exit" && heard["requestId"] == asked["id"];
                self.heard.push_back(heard);
                if is_its_end {
                    return;
                }
            }
        }
    }

    fn hears(&mut self) -> Value {
        self.heard.pop_front().unwrap_or_else(|| self.client.hears())
    }
}

fn backend(message: &Value) -> Option<String> {
    let message = if message.is_array() { &message[0] } else { message };
    Some(message["values"][0]["backendId"].as_str()?.to_owned())
}

/// Without times, the wording of faults, the shape of cancellations, and the arguments of events that have none.
fn plainly(mut message: Value) -> Value {
    if let Value::Array(messages) = message {
        return messages.into_iter().map(plainly).collect();
    }
    match message["_tag"].as_str() {
        Some("Defect") => message["defect"] = json!("…"),
        Some("Exit") => {
            let text = message["exit"]["cause"].to_string();
            let is_list = message["exit"]["cause"].is_array();
            for kind in ["Interrupt", "Die"] {
                if text.contains(&format!("\"_tag\":\"{kind}\"")) {
                    message["exit"]["cause"] = json!([kind, is_list]);
                }
            }
        }
        Some("Chunk") => {
            for item in message["values"][0]["batch"].as_array_mut().unwrap() {
                let at = item["metadata"]["value"]["createdAt"].as_str().unwrap();
                assert!(at.len() == 24 && at.ends_with('Z') && at.as_bytes()[10] == b'T', "{at}");
                item["metadata"]["value"]["createdAt"] = json!("…");
                let event = item["eventEncoded"].as_object_mut().unwrap();
                if event.get("args").is_some_and(Value::is_null) {
                    event.remove("args");
                }
            }
        }
        _ => {}
    }
    message
}

/// The older generation takes an event without arguments for another one than the same with `null`, and would push it again;
/// the newer one can't read it.
#[test]
fn an_event_without_arguments_comes_back_as_its_reader_needs_it() {
    let site = Site::new();
    let mut client = site.client("void");
    let mut void = plain(1, "");
    void.as_object_mut().unwrap().remove("args");
    let mut null = plain(2, "");
    null["args"] = Value::Null;
    client.pulls(true, None);
    client.hears();
    client.pushes(&[void.clone(), null.clone()]);
    assert_eq!(events_of(&client.hears()), [void.clone(), null.clone()], "live");
    assert_eq!(client.hears()["exit"], success());
    assert_eq!(site.client("void").history(), [void.clone(), null.clone()], "from memory");
    drop(client);
    let again = restarted(site);
    assert_eq!(again.client("void").history(), [void.clone(), null.clone()], "from the log");
    let mut newer = again.client("void");
    newer.says(
        json!({"_tag": "Request", "id": 7, "tag": "SyncWsRpc.Pull",
        "payload": {"storeId": "void", "live": false, "cursor": {"_tag": "None"}}})
        .to_string(),
    );
    let events = events_of(&newer.hears());
    assert_eq!(events[0].get("args"), Some(&Value::Null));
    assert_eq!(events[1], null);
}

#[test]
fn requests_that_are_none_of_sync_are_answered_clearly() {
    let site = Site::new();
    for (method, target, status, part) in [
        ("GET", "/", 200, "sync server"),
        ("GET", "/favicon.ico", 404, "storeId"),
        ("GET", "/?transport=ws", 400, "`storeId` is missing"),
        ("GET", "/?storeId=a%2Fb&transport=ws", 400, "letters, digits"),
        ("GET", "/?storeId=..&transport=http", 400, "letters, digits"),
        ("GET", &format!("/?storeId={}&transport=http", "a".repeat(101)), 400, "from 1 to 100"),
        ("GET", "/?storeId=a&transport=bogus", 400, "ws or http"),
        ("GET", "/?storeId=a&transport=ws&payload=notjson", 400, "no JSON"),
        ("GET", "/?storeId=a&transport=ws", 426, "WebSocket"),
        ("OPTIONS", "/?storeId=a&transport=http", 204, ""),
        ("POST", "/?storeId=a&transport=http", 200, "Defect"),
        ("GET", "/any/path?storeId=a&transport=http", 200, "Defect"),
    ] {
        let (got, text) = request(site.addr(), method, target, "", "");
        assert!(got == status && text.contains(part), "{method} {target}: {got} {text}");
    }
    assert_eq!(files(&site.logs(), ".eventlog"), ["a.eventlog"], "only a store's own name makes a file");
}

#[test]
fn a_ping_over_http_is_answered_in_both_forms() {
    let site = Site::new();
    assert_eq!(post(site.addr(), "a", r#"{"_tag":"Ping"}"#), (200, r#"[{"_tag":"Pong"}]"#.to_owned()));
    let ping = r#"{"_tag":"Request","id":4,"tag":"SyncHttpRpc.Ping","payload":{"storeId":"a"}}"#;
    let pong = json!([{"_tag": "Exit", "requestId": 4, "exit": {"_tag": "Success", "value": {"_tag": "SyncMessage.Pong"}}}]);
    let (status, body) = post(site.addr(), "a", ping);
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, pong));
}

/// The same directory, another server.
fn restarted(mut site: Site) -> Site {
    site.running.take().unwrap().shutdown(LONG).unwrap();
    site.running = Some(Server::new(site.logs()).no_auth().start().unwrap());
    site
}
