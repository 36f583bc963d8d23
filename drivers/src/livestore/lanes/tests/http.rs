//! The fallback over HTTP.

use std::sync::mpsc;

use super::*;
use crate::livestore::protocol::{Cause, Exit, Fail, Ours, SuccessValue, exit, http_body};

/// The head of a request, as text.
pub(super) fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// One request, answered as `answer` says, on a connection of its own.
fn serve(listener: &TcpListener, status: &str, answer: impl FnOnce(RequestId, Call) -> String) {
    let mut stream = tcp(listener);
    let head = read_head(&mut stream).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    assert!(head.starts_with("post /sync?storeid=store-1&transport=http "), "{head}");
    assert!(head.contains("content-type: application/json\r\n") && head.contains("x-livestore-store-id: store-1\r\n"));
    let Some(ClientMessage::Request(Request { id, call: Ok(call) })) = decode_client(&body).unwrap().pop() else { panic!() };
    let body = answer(id, call);
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).unwrap();
}

/// One request, answered by these bytes, on a connection of its own.
fn serve_raw(listener: &TcpListener, answer: impl FnOnce(RequestId, Call) -> String) {
    let mut stream = tcp(listener);
    let head = read_head(&mut stream).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let Some(ClientMessage::Request(Request { id, call: Ok(call) })) = decode_client(&body).unwrap().pop() else { panic!() };
    stream.write_all(answer(id, call).as_bytes()).unwrap();
}

fn after(call: Call) -> u64 {
    match call {
        Call::Pull(PullCall { live: false, cursor, .. }) => cursor.map_or(0, |cursor| cursor.event_sequence_number),
        other => panic!("{other:?}"),
    }
}

fn pages(pages: &[(Vec<u64>, bool)], dialect: Dialect) -> impl FnOnce(RequestId) -> String {
    move |id| {
        let mut messages: Vec<_> = pages.iter().map(|(seqs, more)| page(&id, seqs.clone(), *more)).collect();
        messages.push(exit(&id, &Exit::Success(SuccessValue::Nothing), dialect));
        http_body(&messages)
    }
}

#[test]
fn a_pull_asks_again_until_there_is_something() {
    for dialect in BOTH {
        let server = Fake::new(move |listener| {
            let mut asked = Vec::new();
            for answer in [vec![(vec![5, 6], true), (vec![7], false)], vec![(vec![], false)], vec![(vec![8], false)]] {
                serve(listener, "200 OK", |id, call| {
                    asked.push(after(call));
                    pages(&answer, dialect)(id)
                });
            }
            assert_eq!(asked, [4, 7, 7]);
        });
        let backend = server.backend("http").poll_interval(Duration::from_millis(1));
        let mut lane = lanes(&backend).pull;
        let first = lane.pull(&pull(4, true)).unwrap();
        assert_eq!((seqs(&first), first.more), (vec![5, 6], true));
        let second = lane.pull(&pull(6, false)).unwrap();
        assert_eq!((seqs(&second), second.more), (vec![7], false));
        assert_eq!(seqs(&lane.pull(&pull(7, false)).unwrap()), [8]);
        server.done();
    }
}

#[test]
fn a_fresh_pull_is_answered_at_once_and_an_interruption_ends_the_wait_and_the_request() {
    let (holds, held) = mpsc::channel();
    let (lets_go, let_go) = mpsc::channel::<()>();
    let server = Fake::new(move |listener| {
        serve(listener, "200 OK", |id, _| pages(&[(vec![], false)], Dialect::Tree)(id));
        serve(listener, "200 OK", |id, _| {
            holds.send(()).unwrap();
            let_go.recv_timeout(LONG).unwrap();
            pages(&[(vec![], false)], Dialect::Tree)(id)
        });
    });
    let backend = server.backend("http").poll_interval(LONG * 20);
    let mut lane = lanes(&backend).pull;
    let interrupter = lane.interrupter();
    assert_eq!(seqs(&lane.pull(&pull(0, true)).unwrap()), [] as [u64; 0]);
    // While it waits for the time to ask again, or before: both end it.
    let waits = std::thread::spawn(move || {
        let result = lane.pull(&pull(0, false));
        (lane, result)
    });
    interrupter.interrupt();
    let (mut lane, result) = waits.join().unwrap();
    assert!(unreachable(result).0.contains("interrupted"));
    let asks = std::thread::spawn(move || unreachable(lane.pull(&pull(0, true))));
    held.recv_timeout(LONG).unwrap();
    interrupter.interrupt();
    assert!(asks.join().unwrap().0.contains("interrupted"));
    lets_go.send(()).unwrap();
    server.done();
}

#[test]
fn answers_over_http_come_in_their_classes() {
    let unknown = || Exit::fail(Fail::Unknown { message: "full".into(), ours: None });
    let ahead = || Exit::fail(Fail::ServerAhead { minimum_expected: 9, provided: 4 });
    let other = || Exit::fail(Fail::BackendIdMismatch { expected: "another".into(), received: "the-backend".into() });
    let ours = |ours| Exit::fail(Fail::Unknown { message: "no".into(), ours: Some(ours) });
    let refused = move || ours(Ours::Refused(vec![(1, "not yours".into())]));
    let locked = move || ours(Ours::NeedsAuth("who are you?".into()));
    let server = Fake::new(move |listener| {
        for dialect in BOTH {
            let interrupt = Exit::Failure(vec![Cause::Interrupt]);
            for answer in [Exit::Success(SuccessValue::Pushed), ahead(), unknown(), other(), refused(), locked(), interrupt] {
                serve(listener, "200 OK", |id, call| {
                    assert!(matches!(call, Call::Push(call) if call.events.len() == 2));
                    http_body(&[exit(&id, &answer, dialect)])
                });
            }
        }
        serve(listener, "401 Unauthorized", |_, _| "who are you?".to_owned());
        serve(listener, "404 Not Found", |_, _| String::new());
        serve(listener, "500 Oops", |_, _| String::new());
        serve(listener, "307 Elsewhere", |_, _| String::new());
        serve(listener, "200 OK", |_, _| "<html>".to_owned());
        serve(listener, "200 OK", |_, _| "[]".to_owned());
        // Gone in the middle.
        read_head(&mut tcp(listener));
    });
    let mut lane = lanes(&server.backend("http")).push;
    let mut push = || lane.push(&push(4, 2));
    for _ in BOTH {
        assert_eq!(push(), Ok(()));
        assert_eq!(push(), Err(BackendFailure::ServerAhead { head: 9 }));
        assert_eq!(push(), Err(BackendFailure::Unknown { message: "full".into() }));
        assert_eq!(push(), Err(BackendFailure::Identity { theirs: "another".into() }));
        assert_eq!(push(), Err(BackendFailure::Refused { events: vec![(1, "not yours".into())] }));
        assert_eq!(push(), Err(BackendFailure::NeedsAuth { message: "who are you?".into() }));
        assert!(unreachable(push()).1);
    }
    assert_eq!(push(), Err(BackendFailure::NeedsAuth { message: "the server answered 401: who are you?".into() }));
    for (part, maybe_applied) in
        [("404", false), ("500", true), ("307", true), ("can't be read", true), ("nothing of the push", true), ("", true)]
    {
        let (message, applied) = unreachable(push());
        assert!(message.contains(part) && applied == maybe_applied, "{part}: {message}");
    }
    server.done();
}

/// A history that is larger than one answer may be, or that a connection does not live to bring whole, is got all the same.
// Verifies: V1
#[test]
fn an_answer_that_breaks_off_counts_as_far_as_it_came() {
    let server = Fake::new(move |listener| {
        for dialect in BOTH {
            serve_raw(listener, |id, call| {
                assert_eq!(after(call), 0);
                let whole = pages(&[(vec![1, 2], true), (vec![3], true), (vec![4], false)], dialect)(id);
                // In the middle of the third page.
                let cut = whole.rfind("pageInfo").unwrap();
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}", whole.len(), &whole[..cut])
            });
            serve(listener, "200 OK", |id, call| {
                assert_eq!(after(call), 3);
                pages(&[(vec![4], false)], dialect)(id)
            });
        }
        serve_raw(listener, |id, _| {
            let whole = pages(&[(vec![1], false)], Dialect::Tree)(id);
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}", whole.len(), &whole[..40])
        });
    });
    // Whoever knows that there is more does not wait.
    let backend = server.backend("http").poll_interval(LONG * 20);
    for _ in BOTH {
        let mut lane = lanes(&backend).pull;
        for (after, expected, more) in [(0, vec![1, 2], true), (2, vec![3], true), (3, vec![4], false)] {
            let page = lane.pull(&pull(after, after == 0)).unwrap();
            assert_eq!((seqs(&page), page.more), (expected, more));
        }
    }
    let (message, _) = unreachable(lanes(&backend).pull.pull(&pull(0, true)));
    assert!(message.contains("broke off after 40 bytes"), "{message}");
    server.done();
}

#[test]
fn what_is_in_the_place_of_a_server_is_told_with_what_to_do() {
    let server = Fake::new(move |listener| {
        for answer in [
            "HTTP/1.1 308 Elsewhere\r\nlocation: https://new.example/sync?payload=hidden-value\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 431 Too Large\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
        ] {
            serve_raw(listener, |_, _| answer.to_owned());
        }
        let mut stream = tcp(listener);
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 301 Moved\r\nlocation: wss://new.example/\r\ncontent-length: 0\r\n\r\n").unwrap();
    });
    let backend = server.backend("http");
    for part in ["308: it points to another address", "too long for it: use shorter ones", "encoded (gzip)"] {
        let (message, _) = unreachable(lanes(&backend).push.push(&push(0, 1)));
        assert!(message.contains(part) && !message.contains("hidden"), "{message}");
        assert!(part != "308: it points to another address" || message.contains("(https://new.example/sync)"), "{message}");
    }
    let (message, maybe_applied) = unreachable(lanes(&server.backend("ws")).push.push(&push(0, 1)));
    assert!(message.contains("(wss://new.example/)") && !maybe_applied, "{message}");
    server.done();
}

#[test]
fn an_answer_without_its_end_is_no_answer() {
    let server = Fake::new(move |listener| {
        serve(listener, "200 OK", |id, _| http_body(&[page(&id, [1], true)]));
        serve(listener, "200 OK", |id, _| http_body(&[exit(&id, &Exit::Success(SuccessValue::Nothing), Dialect::List)]));
    });
    let mut lane = lanes(&server.backend("http")).pull;
    for part in ["not complete", "without a page"] {
        let (message, maybe_applied) = unreachable(lane.pull(&pull(0, true)));
        assert!(message.contains(part) && !maybe_applied, "{message}");
    }
    server.done();
}
