//! What works, over WebSocket.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use serde_json::json;

use super::*;
use crate::livestore::protocol::{Exit, Fail, Ours, Query, SuccessValue, Transport, exit};

#[test]
fn pages_come_in_order_over_one_connection() {
    for dialect in BOTH {
        let server = Fake::new(move |listener| {
            let mut peer = Peer::accept(listener);
            let payload = json!({"authToken": "tok en&1", "more": 1});
            let query = Query::parse(peer.uri.split_once('?').unwrap().1).unwrap();
            assert!(peer.uri.starts_with("/sync?"));
            assert_eq!(query, Query { store_id: "store-1".into(), payload: Some(payload.clone()), transport: Transport::Ws });
            assert_eq!(peer.token.as_deref(), Some("hidden header"));
            let (id, call) = peer.hears_pull();
            let cursor = call.cursor.clone().unwrap();
            assert_eq!((&*cursor.backend_id, cursor.event_sequence_number), ("the-backend", 4));
            assert_eq!((call.live, call.payload), (true, Some(payload)));
            // A call that is long over, and noise that a later version may send.
            peer.sends(page(&RequestId::of(99), 1..=3, false));
            peer.sends(r#"{"_tag":"ClientEnd"}"#.to_owned());
            // A broadcast overtakes, and comes again at the end.
            peer.sends(page(&id, [8], false));
            peer.sends(page(&id, 5..=6, true));
            for _ in 0..2 {
                assert_eq!(peer.hears(), Some(ClientMessage::Ack { request: id.clone() }));
            }
            peer.sends(page(&id, 7..=8, false));
            assert_eq!(peer.hears(), Some(ClientMessage::Ack { request: id.clone() }));
            let binary = page(&id, [9], false).into_bytes();
            peer.socket.send(Message::binary(binary)).unwrap();
            assert_eq!(peer.hears(), Some(ClientMessage::Ack { request: id.clone() }));
            peer.sends(exit(&id, &Exit::fail(Fail::Unknown { message: "tok en&1 is old".into(), ours: None }), dialect));
            assert_eq!(peer.hears(), None);
        });
        let backend = server.backend("ws").payload(json!({"more": 1})).auth_token(|| Ok("tok en&1".to_owned()));
        let backend = backend.header("X-Token", "hidden header").unwrap();
        let mut lane = lanes(&backend).pull;
        let first = lane.pull(&pull(4, true)).unwrap();
        assert_eq!((seqs(&first), first.more, &*first.backend), (vec![5, 6], true, "the-backend"));
        assert_eq!(seqs(&lane.pull(&pull(6, false)).unwrap()), [7, 8]);
        assert_eq!(seqs(&lane.pull(&pull(8, false)).unwrap()), [9]);
        let failure = lane.pull(&pull(9, false)).unwrap_err();
        assert_eq!(failure, BackendFailure::Unknown { message: "… is old".into() });
        drop(lane);
        server.done();
    }
}

#[test]
fn pushes_share_a_connection_and_are_answered_in_classes() {
    for dialect in BOTH {
        let refused = vec![(1, "not yours".into())];
        let ours = Fail::Unknown { message: "no".into(), ours: Some(Ours::Refused(refused.clone())) };
        let ahead = Fail::ServerAhead { minimum_expected: 9, provided: 4 };
        let other = Fail::BackendIdMismatch { expected: "another".into(), received: "the-backend".into() };
        let unknown = Fail::Unknown { message: "full".into(), ours: None };
        let answers =
            [Exit::Success(SuccessValue::Pushed), Exit::fail(ahead), Exit::fail(other), Exit::fail(unknown), Exit::fail(ours)];
        let server = Fake::new(move |listener| {
            let mut peer = Peer::accept(listener);
            for answer in answers {
                let (id, call) = peer.hears_push();
                assert_eq!(call.events.iter().map(|event| (event.seq, event.parent)).collect::<Vec<_>>(), [(5, 4), (6, 5)]);
                let [first, second] = [0, 1].map(|i| call.events[i].ids.unwrap());
                assert_eq!((first.ordinal, first.last, second.ordinal, second.last), (1, false, 2, true));
                assert_eq!(call.backend.as_deref(), Some("the-backend"));
                // The answer to something else comes first.
                peer.sends(exit(&RequestId::of(77), &Exit::Success(SuccessValue::Pushed), dialect));
                peer.sends(exit(&id, &answer, dialect));
            }
            assert_eq!(peer.hears(), None);
        });
        let mut lane = lanes(&server.backend("ws")).push;
        let results: Vec<_> = (0..5).map(|_| lane.push(&push(4, 2))).collect();
        let expected = [
            Ok(()),
            Err(BackendFailure::ServerAhead { head: 9 }),
            Err(BackendFailure::Identity { theirs: "another".into() }),
            Err(BackendFailure::Unknown { message: "full".into() }),
            Err(BackendFailure::Refused { events: refused }),
        ];
        assert_eq!(results, expected);
        drop(lane);
        server.done();
    }
}

#[test]
fn a_pull_is_refused_in_classes_and_by_the_server_s_own_words() {
    for dialect in BOTH {
        let other = Fail::BackendIdMismatch { expected: "another".into(), received: "the-backend".into() };
        let locked = Fail::Unknown { message: "no".into(), ours: Some(Ours::NeedsAuth("who are you?".into())) };
        let unknown = Fail::Unknown { message: "full".into(), ours: None };
        let server = Fake::new(move |listener| {
            let mut peer = Peer::accept(listener);
            for fail in [other, unknown, locked] {
                let (id, _) = peer.hears_pull();
                peer.sends(exit(&id, &Exit::fail(fail), dialect));
            }
            assert_eq!(peer.hears(), None, "without credentials there is nothing more to say");
        });
        let mut lane = lanes(&server.backend("ws")).pull;
        let results: Vec<_> = (0..3).map(|_| lane.pull(&pull(0, true)).unwrap_err()).collect();
        let expected = [
            BackendFailure::Identity { theirs: "another".into() },
            BackendFailure::Unknown { message: "full".into() },
            BackendFailure::NeedsAuth { message: "who are you?".into() },
        ];
        assert_eq!(results, expected);
        server.done();
    }
}

#[test]
fn an_interruption_ends_one_pull_and_costs_no_connection() {
    let (waits, waiting) = mpsc::channel();
    let server = Fake::new(move |listener| {
        let mut peer = Peer::accept(listener);
        let (id, _) = peer.hears_pull();
        peer.sends(page(&id, [1], false));
        assert_eq!(peer.hears(), Some(ClientMessage::Ack { request: id.clone() }));
        waits.send(()).unwrap();
        assert_eq!(peer.hears(), Some(ClientMessage::Interrupt { request: id.clone() }));
        let (second, _) = peer.hears_pull();
        assert_ne!(second, id);
        peer.sends(page(&id, [2], false));
        peer.sends(page(&second, 1..=2, false));
    });
    let mut lane = lanes(&server.backend("ws")).pull;
    let interrupter = lane.interrupter();
    // Before any pull: it is meant for the next one.
    interrupter.interrupt();
    let (message, applied) = unreachable(lane.pull(&pull(0, true)));
    assert!(message.contains("interrupted") && !applied);
    assert_eq!(seqs(&lane.pull(&pull(0, true)).unwrap()), [1]);
    let waiter = std::thread::spawn(move || {
        let result = lane.pull(&pull(1, false));
        (lane, result)
    });
    waiting.recv_timeout(LONG).unwrap();
    interrupter.interrupt();
    let (mut lane, result) = waiter.join().unwrap();
    let (message, applied) = unreachable(result);
    assert!(message.contains("interrupted") && !applied);
    assert_eq!(seqs(&lane.pull(&pull(0, true)).unwrap()), [1, 2]);
    drop(lane);
    interrupter.interrupt();
    server.done();
}

#[test]
fn a_page_that_comes_byte_by_byte_is_a_page() {
    let server = Fake::new(|listener| {
        let mut peer = Peer::accept(listener);
        let (id, _) = peer.hears_pull();
        let text = page(&id, 1..=3, false);
        let mut frame = vec![0x81, 126];
        frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend(text.into_bytes());
        for byte in frame {
            peer.socket.get_mut().write_all(&[byte]).unwrap();
        }
        assert_eq!(peer.hears(), Some(ClientMessage::Ack { request: id }));
    });
    let mut lane = lanes(&server.backend("ws")).pull;
    assert_eq!(seqs(&lane.pull(&pull(0, true)).unwrap()), [1, 2, 3]);
    server.done();
}

#[test]
fn a_large_batch_goes_out_whole() {
    let server = Fake::new(|listener| {
        let mut peer = Peer::accept(listener);
        let (id, call) = peer.hears_push();
        assert_eq!(call.events[0].event.args.len(), 800_002);
        peer.sends(exit(&id, &Exit::Success(SuccessValue::Pushed), Dialect::Tree));
    });
    let mut lane = lanes(&server.backend("ws")).push;
    let mut batch = push(0, 1);
    let args = format!("\"{}\"", "x".repeat(800_000)).into();
    batch.events[0].event = Arc::new(Event { name: "v1.Noted".into(), args, client_only: false });
    assert_eq!(lane.push(&batch), Ok(()));
    server.done();
}

#[test]
fn an_idle_push_connection_is_hung_up_and_dialled_again() {
    let (gone, went) = mpsc::channel();
    let server = Fake::new(move |listener| {
        for _ in 0..2 {
            let mut peer = Peer::accept(listener);
            let (id, _) = peer.hears_push();
            peer.sends(exit(&id, &Exit::Success(SuccessValue::Pushed), Dialect::Tree));
            assert_eq!(peer.hears(), None, "the client has hung up");
            gone.send(()).unwrap();
        }
    });
    let backend = server.backend("ws").timeouts(|timeouts| timeouts.idle = Duration::from_millis(20));
    let mut lane = lanes(&backend).push;
    for parent in 0..2 {
        assert_eq!(lane.push(&push(parent, 1)), Ok(()));
        // As the driver does that has nothing to push.
        while let Some(until) = lane.idle() {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        }
        went.recv_timeout(LONG).unwrap();
    }
    server.done();
}

#[test]
fn a_new_token_is_tried_at_once_and_an_old_one_is_not() {
    let refuse = |listener: &TcpListener| {
        let mut stream = tcp(listener);
        let request = super::http::read_head(&mut stream);
        let token = request.split("payload=").nth(1).unwrap().split('&').next().unwrap();
        let body = format!("UnknownError: {{ \"cause\": Error: Invalid auth token {token} }}");
        let head = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
    };
    let server = Fake::new(move |listener| {
        refuse(listener);
        let mut peer = Peer::accept(listener);
        assert!(peer.uri.contains("token-2"), "{}", peer.uri);
        let (id, _) = peer.hears_pull();
        peer.sends(page(&id, [1], false));
        peer.hears();
        drop(peer);
        refuse(listener);
        refuse(listener);
    });
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let backend = server.backend("ws").auth_token(move || Ok(format!("token-{}", counted.fetch_add(1, Ordering::SeqCst) + 1)));
    let mut lane = lanes(&backend).pull;
    assert_eq!(seqs(&lane.pull(&pull(0, true)).unwrap()), [1]);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    unreachable(lane.pull(&pull(1, false)));
    let Err(BackendFailure::NeedsAuth { message }) = lane.pull(&pull(1, true)) else { panic!() };
    assert!(message.contains("400") && message.contains("Invalid auth token …") && !message.contains("token-"), "{message}");
    server.done();
    let none = LiveStoreBackend::new("ws://127.0.0.1:9").unwrap().auth_token(|| Err("the keyring is locked".to_owned()));
    let Err(BackendFailure::NeedsAuth { message }) = lanes(&none).push.push(&push(0, 1)) else { panic!() };
    assert!(message.contains("the keyring is locked"), "{message}");
}
