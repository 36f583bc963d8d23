//! What goes wrong, over WebSocket.

use std::time::Instant;

use super::*;
use crate::livestore::protocol::{AddressError, Exit, SuccessValue, exit};

#[test]
fn noise_and_cut_connections_are_unreachable_and_the_next_pull_dials_anew() {
    let server = Fake::new(|listener| {
        for trouble in 0..6 {
            let mut peer = Peer::accept(listener);
            let (id, _) = peer.hears_pull();
            match trouble {
                0 => peer.sends("<html>".to_owned()),
                1 => peer.socket.get_mut().write_all(&[0xff; 64]).unwrap(),
                // A frame of a hundred bytes, of which three come.
                2 => peer.socket.get_mut().write_all(&[0x81, 100, b'{', b'"', b'_']).unwrap(),
                3 => peer.socket.close(None).unwrap(),
                // Far larger than any page may be.
                4 => peer.socket.get_mut().write_all(&[0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0]).unwrap(),
                _ => peer.sends(page(&id, [1], false)),
            }
            if trouble == 0 || trouble > 4 {
                while peer.hears().is_some() {}
            }
        }
    });
    let mut lane = lanes(&server.backend("ws")).pull;
    for trouble in 0..5 {
        let (message, maybe_applied) = unreachable(lane.pull(&pull(0, true)));
        assert!(!maybe_applied, "{trouble}: {message}");
    }
    assert_eq!(seqs(&lane.pull(&pull(0, true)).unwrap()), [1]);
    drop(lane);
    server.done();
}

// Verifies: R5
#[test]
fn a_push_whose_answer_is_lost_may_have_been_applied() {
    let server = Fake::new(|listener| {
        for trouble in 0..4 {
            let mut peer = Peer::accept(listener);
            let (id, _) = peer.hears_push();
            match trouble {
                // Cut before or after it was applied: the client can't tell.
                0 => {}
                1 => peer.sends(exit(&id, &Exit::Success(SuccessValue::Pushed), Dialect::Tree).split_at(20).0.to_owned()),
                2 => {
                    // Half-open: nobody answers.
                    assert_eq!(peer.hears(), None);
                }
                _ => peer.sends(exit(&id, &Exit::Success(SuccessValue::Pushed), Dialect::Tree)),
            }
        }
    });
    let backend = server.backend("ws").timeouts(|timeouts| timeouts.answer = Duration::from_secs(1));
    let mut lane = lanes(&backend).push;
    for trouble in ["connection", "can't be read", "did not answer"] {
        let (message, maybe_applied) = unreachable(lane.push(&push(0, 1)));
        assert!(maybe_applied && message.contains(trouble), "{trouble}: {message}");
    }
    assert_eq!(lane.push(&push(0, 1)), Ok(()));
    server.done();
}

#[test]
fn a_push_that_was_never_sent_was_not_applied() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for scheme in ["ws", "wss", "http", "https"] {
        let backend = LiveStoreBackend::new(&format!("{scheme}://127.0.0.1:{port}")).unwrap();
        let (message, maybe_applied) = unreachable(lanes(&backend).push.push(&push(0, 1)));
        assert!(!maybe_applied && message.contains(&format!("{scheme}://127.0.0.1:{port}/")), "{message}");
        unreachable(lanes(&backend).pull.pull(&pull(0, true)));
    }
}

#[test]
fn a_kept_connection_that_the_server_has_closed_is_noticed_before_anything_is_sent() {
    let server = Fake::new(|listener| {
        for _ in 0..2 {
            let mut peer = Peer::accept(listener);
            let (id, _) = peer.hears_push();
            peer.sends(exit(&id, &Exit::Success(SuccessValue::Pushed), Dialect::List));
        }
    });
    let mut lane = lanes(&server.backend("ws")).push;
    assert_eq!(lane.push(&push(0, 1)), Ok(()));
    // The script has hung up when it accepts again; what it has sent by then is here at the latest with the next answer.
    let deadline = Instant::now() + LONG;
    loop {
        match lane.push(&push(1, 1)) {
            Ok(()) => break,
            // Only if the goodbye was still on its way.
            Err(BackendFailure::Unreachable { maybe_applied: true, .. }) if Instant::now() < deadline => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    server.done();
}

#[test]
fn a_peer_that_does_not_answer_pings_is_given_up() {
    let server = Fake::new(|listener| {
        let mut peer = Peer::accept(listener);
        let (id, _) = peer.hears_pull();
        peer.sends(page(&id, [1], false));
        assert_eq!(peer.hears(), Some(ClientMessage::Ack { request: id.clone() }));
        assert_eq!(peer.hears(), Some(ClientMessage::Ping));
        peer.sends(crate::livestore::protocol::pong());
        assert_eq!(peer.hears(), Some(ClientMessage::Ping));
        // Half-open from here on: the connection stands, and nobody is there.
        assert_eq!(peer.hears(), None);
    });
    let backend = server.backend("ws").timeouts(|timeouts| timeouts.pace.ping = Duration::from_millis(500));
    let mut lane = lanes(&backend).pull;
    assert_eq!(seqs(&lane.pull(&pull(0, true)).unwrap()), [1]);
    let (message, maybe_applied) = unreachable(lane.pull(&pull(1, false)));
    assert!(message.contains("not even to a ping") && !maybe_applied, "{message}");
    server.done();
}

// Verifies: L3
#[test]
fn history_that_stalls_is_asked_for_again_over_the_same_connection() {
    let server = Fake::new(|listener| {
        let mut peer = Peer::accept(listener);
        let (first, _) = peer.hears_pull();
        peer.sends(page(&first, 1..=2, true));
        assert_eq!(peer.hears(), Some(ClientMessage::Ack { request: first.clone() }));
        // The pull is forgotten, as by a server that was put to sleep and woken.
        assert_eq!(peer.hears(), Some(ClientMessage::Interrupt { request: first }));
        let (second, call) = peer.hears_pull();
        assert_eq!(call.cursor.unwrap().event_sequence_number, 2);
        peer.sends(page(&second, 3..=4, false));
        assert_eq!(peer.hears(), Some(ClientMessage::Ack { request: second }));
    });
    let backend = server.backend("ws").timeouts(|timeouts| timeouts.pace.stall = Duration::from_secs(1));
    let mut lane = lanes(&backend).pull;
    assert_eq!(seqs(&lane.pull(&pull(0, true)).unwrap()), [1, 2]);
    assert_eq!(seqs(&lane.pull(&pull(2, false)).unwrap()), [3, 4]);
    server.done();
}

#[test]
fn a_server_that_never_answers_the_upgrade_is_given_up() {
    let server = Fake::new(|listener| {
        let mut stream = tcp(listener);
        super::http::read_head(&mut stream);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    });
    let backend = server.backend("ws").timeouts(|timeouts| timeouts.dial = Duration::from_millis(500));
    let (message, maybe_applied) = unreachable(lanes(&backend).push.push(&push(0, 1)));
    assert!(message.contains("does not answer the upgrade") && !maybe_applied, "{message}");
    server.done();
}

#[test]
fn an_interruption_ends_a_dial_too() {
    let (asked, was_asked) = std::sync::mpsc::channel();
    let server = Fake::new(move |listener| {
        let mut stream = tcp(listener);
        super::http::read_head(&mut stream);
        asked.send(()).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    });
    let backend = server.backend("ws").timeouts(|timeouts| timeouts.dial = 20 * LONG);
    let mut lane = lanes(&backend).pull;
    let interrupter = lane.interrupter();
    let dials = std::thread::spawn(move || unreachable(lane.pull(&pull(0, true))));
    was_asked.recv_timeout(LONG).unwrap();
    interrupter.interrupt();
    let (message, maybe_applied) = dials.join().unwrap();
    assert!(message.contains("interrupted") && !maybe_applied, "{message}");
    server.done();
}

#[test]
fn http_answers_in_the_place_of_an_upgrade_come_in_their_classes() {
    for (status, needs_auth) in [
        ("400 Bad Request", true),
        ("401 Unauthorized", true),
        ("403 Forbidden", true),
        ("426 Upgrade Required", false),
        ("200 OK", false),
        ("503 Away", false),
    ] {
        let server = Fake::new(move |listener| {
            let mut stream = tcp(listener);
            super::http::read_head(&mut stream);
            let body = "Info: no hidden-value here";
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all((head + body).as_bytes()).unwrap();
        });
        let backend = server.backend("ws").payload(serde_json::json!({"any": "hidden-value"}));
        let failure = lanes(&backend).push.push(&push(0, 1)).unwrap_err();
        let message = match &failure {
            BackendFailure::NeedsAuth { message } if needs_auth => message,
            BackendFailure::Unreachable { message, maybe_applied: false } if !needs_auth => message,
            other => panic!("{status}: {other:?}"),
        };
        assert!(message.contains(&status[..3]) && !message.contains("hidden-value"), "{message}");
        server.done();
    }
}

#[test]
fn nothing_secret_is_shown() {
    let backend = LiveStoreBackend::new("wss://sync.example/path").unwrap().payload(serde_json::json!({"k": "secret-1"}));
    let backend = backend.auth_token(|| Ok("secret-2".into())).header("authorization", "Bearer secret-3").unwrap();
    assert_eq!(backend.describe(), "wss://sync.example/path");
    assert!(!format!("{backend:?} {:?}", lanes(&backend)).contains("secret"));
    let refused = backend.lanes(&Who { store_id: "a/b".into(), client: "c".into() }).map(drop);
    assert!(unreachable(refused).0.contains("store id"));
    for (name, value) in [("host", "x"), ("Sec-WebSocket-Key", "x"), ("a b", "x"), ("x", "secret\n")] {
        let error = backend.clone().header(name, value).unwrap_err();
        assert!(matches!(error, AddressError::Header(..)) && !error.to_string().contains("secret"), "{error}");
    }
    assert!(matches!(backend.root_certificates(b"none"), Err(AddressError::Certificate(_))));
}
