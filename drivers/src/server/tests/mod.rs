//! The server on real sockets, spoken to frame by frame.

mod access;
mod dialogues;
mod hostile;
mod limits;
mod pulling;
mod pushing;
mod stopping;
mod watched;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Message, WebSocket};

use super::{Limits, Running, Server};
use crate::livestore::protocol::encode_payload;

/// Nothing here takes this long unless it hangs.
const LONG: Duration = Duration::from_secs(60);

/// A server on a directory of its own.
struct Site {
    dir: tempfile::TempDir,
    running: Option<Running>,
}

impl Site {
    fn new() -> Self {
        Self::with(|server| server.no_auth())
    }

    fn with(set_up: impl FnOnce(Server) -> Server) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let running = set_up(Server::new(dir.path().join("logs"))).start().unwrap();
        Self { dir, running: Some(running) }
    }

    fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self::with(|server| server.no_auth().limits(limits))
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    fn addr(&self) -> SocketAddr {
        self.running().addr()
    }

    fn logs(&self) -> std::path::PathBuf {
        self.dir.path().join("logs")
    }

    fn client(&self, store: &str) -> Client {
        Client::dial(self.addr(), store, None).unwrap()
    }

    /// The figure of this name in the metrics.
    fn figure(&self, name: &str) -> f64 {
        figure(&get(self.running().metrics_addr().unwrap(), "/metrics").1, name)
    }
}

fn figure(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

/// A client by hand.
struct Client<S = TcpStream> {
    socket: WebSocket<S>,
    store: String,
    next: u64,
}

impl Client {
    /// Or the status and text of the refusal.
    fn dial(addr: SocketAddr, store: &str, payload: Option<&Value>) -> Result<Self, (u16, String)> {
        let payload = payload.map(|payload| format!("&payload={}", encode_payload(payload))).unwrap_or_default();
        Self::open(addr, &format!("storeId={store}{payload}&transport=ws"), store, &[])
    }

    fn open(addr: SocketAddr, query: &str, store: &str, headers: &[(&'static str, &str)]) -> Result<Self, (u16, String)> {
        let mut request = format!("ws://{addr}/?{query}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match tungstenite::client(request, tcp(addr)) {
            Ok((socket, _)) => Ok(Self { socket, store: store.to_owned(), next: 1 }),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                let text = response.body().as_ref().map(|body| String::from_utf8_lossy(body).into_owned());
                Err((response.status().as_u16(), text.unwrap_or_default()))
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl<S: Read + Write> Client<S> {
    fn says(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).unwrap();
    }

    /// The next message.
    fn hears(&mut self) -> Value {
        loop {
            match self.socket.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The code and reason that the server ends with, whatever it says before that.
    fn hears_goodbye(&mut self) -> (u16, String) {
        loop {
            match self.socket.read() {
                Ok(Message::Close(Some(frame))) => return (frame.code.into(), frame.reason.to_string()),
                Ok(Message::Close(None)) => return (0, String::new()),
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Whether the server answers, and with nothing else in between.
    fn is_well(&mut self) -> bool {
        self.says(r#"{"_tag":"Ping"}"#);
        self.hears() == json!({"_tag": "Pong"})
    }

    fn asks(&mut self, what: &str, payload: Value) -> String {
        let id = self.next.to_string();
        self.next += 1;
        let request = json!({"_tag": "Request", "id": id, "tag": format!("SyncWsRpc.{what}"), "payload": payload, "headers": []});
        self.says(request.to_string());
        id
    }

    fn pulls(&mut self, live: bool, cursor: Option<(&str, u64)>) -> String {
        let cursor = cursor.map_or(
            json!({"_tag": "None"}),
            |(backend, seq)| json!({"_tag": "Some", "value": {"backendId": backend, "eventSequenceNumber": seq}}),
        );
        let store = self.store.clone();
        self.asks("Pull", json!({"storeId": store, "live": live, "cursor": cursor}))
    }

    fn acks(&mut self, id: &str) {
        self.says(json!({"_tag": "Ack", "requestId": id}).to_string());
    }

    fn pushes(&mut self, events: &[Value]) -> String {
        let store = self.store.clone();
        self.asks("Push", json!({"storeId": store, "batch": events, "backendId": {"_tag": "None"}}))
    }

    /// Pushes, and answers with the exit.
    fn push(&mut self, events: &[Value]) -> Value {
        let id = self.pushes(events);
        loop {
            let heard = self.hears();
            if heard["_tag"] == "Exit" && heard["requestId"] == id.as_str() {
                return heard["exit"].clone();
            }
        }
    }

    /// All events of the store, by a pull that ends.
    fn history(&mut self) -> Vec<Value> {
        let id = self.pulls(false, None);
        let mut events = Vec::new();
        loop {
            let heard = self.hears();
            if heard["_tag"] == "Exit" {
                return events;
            }
            events.extend(events_of(&heard));
            self.acks(&id);
        }
    }
}

fn tcp(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// An event of ours: with ids.
fn event(seq: u64, text: &str) -> Value {
    let ids = json!({"ordinal": seq, "commit": seq, "last": true});
    json!({"name": "v1.Noted", "args": {"text": text}, "seqNum": seq, "parentSeqNum": seq - 1, "clientId": "c", "sessionId": "s",
        "countersign": ids})
}

/// An event as LiveStore's clients send it.
fn plain(seq: u64, text: &str) -> Value {
    let mut event = event(seq, text);
    event.as_object_mut().unwrap().remove("countersign");
    event
}

fn batch(seqs: std::ops::RangeInclusive<u64>) -> Vec<Value> {
    seqs.map(|seq| event(seq, "x")).collect()
}

fn success() -> Value {
    json!({"_tag": "Success", "value": {}})
}

/// The error of a failed exit.
fn error(exit: &Value) -> &Value {
    assert_eq!(exit["_tag"], "Failure", "{exit}");
    let cause = &exit["cause"];
    let cause = if cause.is_array() { &cause[0] } else { cause };
    if cause["_tag"] == "Fail" { &cause["error"] } else { cause }
}

fn events_of(chunk: &Value) -> Vec<Value> {
    assert_eq!(chunk["_tag"], "Chunk", "{chunk}");
    chunk["values"][0]["batch"].as_array().unwrap().iter().map(|item| item["eventEncoded"].clone()).collect()
}

fn seqs_of(chunk: &Value) -> Vec<u64> {
    events_of(chunk).iter().map(|event| event["seqNum"].as_u64().unwrap()).collect()
}

fn backend_of(chunk: &Value) -> String {
    chunk["values"][0]["backendId"].as_str().unwrap().to_owned()
}

/// One request over HTTP on a connection of its own; the status and the body.
fn request(addr: SocketAddr, method: &str, target: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = tcp(addr);
    let length = body.len();
    let head =
        format!("{method} {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // A refusal may come before all of it was sent.
    let _ = stream.write_all(body.as_bytes());
    answer(&mut stream)
}

fn answer(stream: &mut impl Read) -> (u16, String) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_owned() };
    (status, body)
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
}

fn get(addr: SocketAddr, target: &str) -> (u16, String) {
    request(addr, "GET", target, "", "")
}

fn post(addr: SocketAddr, store: &str, body: &str) -> (u16, String) {
    request(addr, "POST", &format!("/?storeId={store}&transport=http"), "content-type: application/json\r\n", body)
}

/// Waits for something that will come true.
fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_true() {
        assert!(Instant::now() < deadline, "{what}");
        // A look now and then: nothing announces it.
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn local() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// The files of a directory, by the end of their names.
fn files(dir: &Path, ending: &str) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    names
}
