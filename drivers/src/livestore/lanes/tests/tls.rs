//! Encrypted connections, with a certificate that only this test trusts.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::livestore::protocol::{Exit, SuccessValue, exit, http_body};

fn server_config() -> (Arc<ServerConfig>, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let chain = vec![CertificateDer::from(cert.der().to_vec())];
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    (Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()), cert.pem())
}

fn encrypted(config: &Arc<ServerConfig>, listener: &TcpListener) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), tcp(listener))
}

/// The backend by its name: the certificate is for the name, and looking a name up is part of dialling.
fn backend(server: &Fake, scheme: &str, pem: &str) -> LiveStoreBackend {
    let backend = LiveStoreBackend::new(&format!("{scheme}://localhost:{}/sync", server.port)).unwrap();
    backend.root_certificates(pem.as_bytes()).unwrap()
}

#[test]
fn a_websocket_over_tls_carries_pages_and_interruptions() {
    let (config, pem) = server_config();
    let server = Fake::new(move |listener| {
        let mut peer = Peer::over(encrypted(&config, listener));
        let (id, _) = peer.hears_pull();
        peer.sends(page(&id, 1..=100, true));
        assert_eq!(peer.hears(), Some(ClientMessage::Ack { request: id.clone() }));
        peer.sends(page(&id, 101..=150, false));
        assert_eq!(peer.hears(), Some(ClientMessage::Ack { request: id.clone() }));
        assert_eq!(peer.hears(), Some(ClientMessage::Interrupt { request: id }));
        let (id, _) = peer.hears_pull();
        peer.sends(page(&id, [1], false));
    });
    let mut lane = lanes(&backend(&server, "wss", &pem)).pull;
    assert_eq!(seqs(&lane.pull(&pull(0, true)).unwrap()).len(), 100);
    assert_eq!(seqs(&lane.pull(&pull(100, false)).unwrap()).len(), 50);
    let interrupter = lane.interrupter();
    let waits = std::thread::spawn(move || {
        let result = lane.pull(&pull(150, false));
        (lane, result)
    });
    interrupter.interrupt();
    let (mut lane, result) = waits.join().unwrap();
    assert!(unreachable(result).0.contains("interrupted"));
    assert_eq!(seqs(&lane.pull(&pull(0, true)).unwrap()), [1]);
    server.done();
}

#[test]
fn a_push_over_https_is_answered() {
    let (config, pem) = server_config();
    let server = Fake::new(move |listener| {
        let mut stream = encrypted(&config, listener);
        let head = super::http::read_head(&mut stream).to_ascii_lowercase();
        let length: usize = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        let Some(ClientMessage::Request(Request { id, .. })) = decode_client(&body).unwrap().pop() else { panic!() };
        let body = http_body(&[exit(&id, &Exit::Success(SuccessValue::Pushed), Dialect::List)]);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
    });
    assert_eq!(lanes(&backend(&server, "https", &pem)).push.push(&push(0, 1)), Ok(()));
    server.done();
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    for scheme in ["wss", "https"] {
        let (config, _) = server_config();
        let server = Fake::new(move |listener| {
            let mut stream = encrypted(&config, listener);
            let mut byte = [0];
            assert!(stream.read_exact(&mut byte).is_err());
        });
        let url = format!("{scheme}://localhost:{}/sync", server.port);
        let (message, maybe_applied) = unreachable(lanes(&LiveStoreBackend::new(&url).unwrap()).push.push(&push(0, 1)));
        assert!(message.contains("certificate is not accepted (UnknownIssuer)") && !maybe_applied, "{message}");
        assert!(message.contains("for localhost") && message.contains("root certificates"), "{message}");
        server.done();
    }
}

#[test]
fn who_wants_encryption_is_told_so() {
    for scheme in ["ws", "http"] {
        let (config, _) = server_config();
        let server = Fake::new(move |listener| {
            let mut stream = encrypted(&config, listener);
            // The library answers with an alert.
            let _ = stream.read_to_end(&mut Vec::new());
            let _ = stream.conn.write_tls(&mut stream.sock);
        });
        let url = format!("{scheme}://localhost:{}/sync", server.port);
        let (message, _) = unreachable(lanes(&LiveStoreBackend::new(&url).unwrap()).push.push(&push(0, 1)));
        assert!(message.contains("no HTTP") && message.contains("wss:// or https://"), "{message}");
        server.done();
    }
}

#[test]
fn who_does_not_speak_tls_is_told_so() {
    for scheme in ["wss", "https"] {
        let server = Fake::new(|listener| {
            let mut stream = tcp(listener);
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let url = format!("{scheme}://localhost:{}/sync", server.port);
        let (message, maybe_applied) = unreachable(lanes(&LiveStoreBackend::new(&url).unwrap()).push.push(&push(0, 1)));
        assert!(message.contains("does not speak TLS") && message.contains("ws:// or http://") && !maybe_applied, "{message}");
        server.done();
    }
}
