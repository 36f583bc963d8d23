//! Figures, health, and encryption.

use std::io::Write as _;
use std::sync::Arc;

use super::*;

#[test]
fn figures_and_health_are_told_beside_the_service() {
    let site = Site::with(|server| server.no_auth().metrics(local()));
    let at = site.running().metrics_addr().unwrap();
    assert_eq!(get(at, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(at, "/").0, 404);
    let mut client = site.client("a");
    client.pulls(true, None);
    client.hears();
    assert_eq!(client.push(&batch(1..=3)), success());
    assert_eq!(error(&client.push(&[plain(1, "x")]))["minimumExpectedNum"], 3);
    let figures = get(at, "/metrics").1;
    for (name, value) in [
        ("countersign_connections", 1.0),
        ("countersign_websockets", 1.0),
        ("countersign_pulls", 1.0),
        ("countersign_stores_open", 1.0),
        ("countersign_appends_under_way", 0.0),
        ("countersign_events_taken_total", 3.0),
        ("countersign_events_sent_total", 3.0),
        ("countersign_pushes_total{outcome=\"taken\"}", 1.0),
        ("countersign_pushes_total{outcome=\"server_ahead\"}", 1.0),
        ("countersign_append_seconds_count", 1.0),
    ] {
        assert_eq!(figure(&figures, name), value, "{name}");
    }
    drop(client);
    until("it has gone", || {
        ["connections", "websockets", "pulls"].iter().all(|name| site.figure(&format!("countersign_{name}")) == 0.0)
    });
}

#[test]
fn an_encrypted_server_serves_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&certificate, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let limits = Limits { handshake: Duration::from_secs(3), ..Limits::default() };
    let site = Site::with(|server| server.no_auth().tls(&certificate, &key).limits(limits).metrics(local()));

    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let dial = || {
        let session = rustls::ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
        rustls::StreamOwned::new(session, tcp(site.addr()))
    };
    let connect = || {
        let (socket, _) = tungstenite::client("ws://localhost/?storeId=a&transport=ws", dial()).unwrap();
        Client { socket, store: "a".to_owned(), next: 1 }
    };
    let mut client = connect();
    let large = event(2, &"x".repeat(500_000));
    assert_eq!(client.push(&[event(1, "x"), large.clone()]), success());
    assert_eq!(connect().history(), [event(1, "x"), large]);
    let mut http = dial();
    http.write_all(b"POST /?storeId=a&transport=http HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 15\r\n\r\n{\"_tag\":\"Ping\"}").unwrap();
    assert_eq!(answer(&mut http), (200, r#"[{"_tag":"Pong"}]"#.to_owned()));

    // Who does not encrypt, or says nothing, is not waited for.
    for start in ["GET / HTTP/1.1\r\n\r\n", ""] {
        let mut plain = tcp(site.addr());
        plain.write_all(start.as_bytes()).unwrap();
        let _ = plain.read_to_end(&mut Vec::new());
    }
    assert_eq!(site.figure("countersign_refusals_total{reason=\"tls\"}"), 2.0);
    assert!(client.is_well());
}
