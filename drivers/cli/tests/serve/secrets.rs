//! Tokens are in nothing that the programs say, whatever goes wrong and however much is logged.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{LONG, command};

/// Each has a part that survives being encoded.
const GOOD: &str = "sesame-good-sesame";
const BAD: &str = "sesame-bad/+ \"sesame";

/// As clients encode it into a query: twice.
fn payload(token: &str) -> String {
    let once = |text: &str| -> String {
        text.bytes().map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
    };
    once(&once(&serde_json::json!({ "authToken": token }).to_string()))
}

fn said(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    // It may be refused before all of it was sent.
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn client(dir: &Path, token: &str, args: &[&str]) -> String {
    let mut client = Command::new(env!("CARGO_BIN_EXE_countersign"));
    let done = client.args(args).current_dir(dir).env("SYNC_TOKEN", token).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
    let done = done.stdin(Stdio::null()).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

#[test]
fn no_token_is_in_a_log_an_answer_or_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens.toml");
    std::fs::write(&tokens, format!("[[token]]\ntoken = {GOOD:?}\nread = [\"*\"]\nwrite = [\"shop\"]\n")).unwrap();
    let more = ["--tokens", tokens.to_str().unwrap(), "--metrics", "127.0.0.1:0", "--log", "trace"];
    let mut serving = command(&dir.path().join("logs"), "127.0.0.1:0", &[]);
    // The last level counts.
    let mut serving = {
        let args: Vec<_> = serving.get_args().map(ToOwned::to_owned).collect();
        let at = args.iter().position(|arg| arg == "--log").unwrap();
        serving = Command::new(env!("CARGO_BIN_EXE_countersign"));
        serving.args(args[..at].iter().chain(&args[at + 2..])).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
        serving.spawn().unwrap()
    };
    let mut out = std::io::BufReader::new(serving.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let serving_line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let at = |key: &str| -> SocketAddr { serving_line[key].as_str().unwrap().parse().unwrap() };
    let (addr, metrics) = (at("addr"), at("metrics"));

    let mut heard = line;
    let upgrade = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for token in [GOOD, BAD] {
        let payload = payload(token);
        let pull = format!(
            r#"{{"_tag":"Request","id":"1","tag":"SyncHttpRpc.Pull","payload":{{"storeId":"shop","payload":{},"cursor":7}}}}"#,
            serde_json::json!({ "authToken": token })
        );
        for request in [
            format!("GET /?storeId=shop&payload={payload}&transport=ws HTTP/1.1\r\nhost: x\r\n{upgrade}\r\n{{noise"),
            format!("GET /?storeId=other&payload={payload}&transport=ws HTTP/1.1\r\nhost: x\r\n{upgrade}\r\n"),
            format!("GET /?storeId=a/b&payload={payload}&transport=ws HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
            format!("GET /?storeId=shop&payload={payload}x&transport=ws HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
            format!("GET /{token} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"),
            format!(
                "GET /?storeId=shop&transport=ws HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
            ),
            format!("GET /?storeId=shop&payload={payload}{} HTTP/1.1\r\n\r\n", "x".repeat(20_000)),
            format!(
                "POST /?storeId=shop&payload={payload}&transport=http HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{pull}",
                pull.len()
            ),
        ] {
            // A header's own line may come back in nothing but a parser's complaint.
            heard += &said(addr, &request);
        }
    }
    heard += &said(metrics, "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");

    std::fs::write(dir.path().join("todo.toml"), include_str!("../../examples/todo.toml")).unwrap();
    for (n, (scheme, token)) in [("ws", GOOD), ("ws", BAD), ("http", GOOD), ("http", BAD)].into_iter().enumerate() {
        let (store, url) = (format!("{n}.db"), format!("{scheme}://{addr}"));
        let init =
            ["init", &store, "--schema", "todo.toml", "--backend", &url, "--store-id", "shop", "--token-env", "SYNC_TOKEN"];
        heard += &client(dir.path(), token, &init);
        heard += &client(dir.path(), token, &["commit", &store, "--event", "v1.TodoDone", "--args", "{\"id\":\"1\"}"]);
        for args in
            [&["sync", &store, "--timeout", "1s"][..], &["status", &store], &["status", &store, "--json"], &["failures", &store]]
        {
            heard += &client(dir.path(), token, args);
        }
        heard +=
            &client(dir.path(), token, &["init", "t.db", "--schema", "todo.toml", "--backend", &format!("{url}?token={token}")]);
        heard += &client(
            dir.path(),
            token,
            &["init", "t.db", "--schema", "todo.toml", "--backend", &format!("{scheme}://u:{token}@x")],
        );
        heard += &client(dir.path(), token, &["init", "t.db", "--schema", "todo.toml", "--backend", &url, "--token", token]);
        heard += &client(dir.path(), token, &["init", "t.db", "--schema", "todo.toml", "--backend", &url, "--token-env", token]);
    }
    assert!(Command::new("kill").arg(serving.id().to_string()).status().unwrap().success());
    out.read_to_string(&mut heard).unwrap();
    let ended = serving.wait_with_output().unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(
        log.contains("denied a client") && heard.contains("synced at e1") && heard.contains("other credentials"),
        "{log}\n{heard}"
    );
    for text in [heard, log] {
        let at = text.find("sesame").map(|at| text[at.saturating_sub(300)..].chars().take(500).collect::<String>());
        assert_eq!(at, None);
    }
}
