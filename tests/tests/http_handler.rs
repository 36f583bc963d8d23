//! The example on tokio, asked over real HTTP.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "its `main` is for people")]
#[path = "../examples/http_handler.rs"]
mod example;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use countersign::server::Server;
use serde_json::Value;
use tests::todos::LONG;

fn post(addr: SocketAddr, text: &str) -> (String, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let head = format!("POST /notes HTTP/1.1\r\nhost: {addr}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
    stream.write_all((head + text).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// Verifies: R4 (what a receipt is for: an answer that says where the write stands)
#[test]
fn the_answer_is_the_confirmed_position() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(dir.path().join("logs")).no_auth().start().unwrap();
    let store = example::open(&dir.path().join("notes.db"), server.addr()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    runtime.spawn(example::serve(listener, store.clone()));

    let answers: Vec<Value> = thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|n| scope.spawn(move || post(addr, &format!("note {n}")))).collect();
        let answered = asked.into_iter().map(|asked| asked.join().unwrap());
        answered
            .map(|(status, body)| {
                assert_eq!(status, "HTTP/1.1 200 OK", "{body}");
                serde_json::from_str(&body).unwrap()
            })
            .collect()
    });
    let mut positions: Vec<_> = answers.iter().map(|answer| answer["position"].as_u64().unwrap()).collect();
    positions.sort_unstable();
    assert_eq!(positions, (1..=8).collect::<Vec<_>>());

    // A client elsewhere finds each of them where it was said to be.
    let other = example::open(&dir.path().join("other.db"), server.addr()).unwrap();
    other.wait_until(LONG, |status| status.upstream_head.global >= 8 && status.stored).unwrap();
    let backend = other.status().backend.unwrap();
    assert!(answers.iter().all(|answer| answer["backend"] == *backend));
    runtime.shutdown_background();
}
