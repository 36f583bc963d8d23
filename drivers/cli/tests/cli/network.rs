//! A server as the backend: what is remembered of it, what is not, and what is said when it is not reached.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use countersign::server::Server;
use serde_json::Value;

use super::support::{Done, Folder, created, objects};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
const TOKEN: &str = "sesame-sesame-sesame";

fn status(folder: &Folder) -> Value {
    objects(&folder.ok(&["status", "s.db", "--json"])).remove(0)
}

/// Whether any file below this folder holds the text.
fn holds(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => holds(&path, text),
            false => std::fs::read(&path).unwrap().windows(text.len()).any(|part| part == text.as_bytes()),
        }
    })
}

#[test]
fn a_server_is_remembered_and_its_token_is_not() {
    let folder = Folder::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let tokens = elsewhere.path().join("tokens.toml");
    std::fs::write(&tokens, format!("[[token]]\ntoken = \"{TOKEN}\"\nread = [\"*\"]\nwrite = [\"*\"]\n")).unwrap();
    let server = Server::new(elsewhere.path().join("logs")).tokens(&tokens).start().unwrap();
    let token_file = elsewhere.path().join("token");
    std::fs::write(&token_file, format!("{TOKEN}\n")).unwrap();
    let address = format!("ws://{}", server.addr());
    folder.ok(&[
        "init",
        "s.db",
        "--schema",
        "todo.toml",
        "--backend",
        &address,
        "--store-id",
        "shop",
        "--token-env",
        "SYNC_TOKEN",
    ]);
    let file = token_file.to_str().unwrap();
    let http = format!("http://{}", server.addr());
    folder.ok(&["init", "t.db", "--schema", "todo.toml", "--backend", &http, "--store-id", "shop", "--token-file", file]);

    let commit = ["commit", "s.db", "--event", "v1.TodoCreated", "--args", r#"{"id":"1","text":"a"}"#, "--wait", "backend"];
    let mut command = folder.command(&commit);
    let done = Done::of(command.env("SYNC_TOKEN", TOKEN).output().unwrap());
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
    assert!(done.out.contains("ok at e1"), "{}", done.out);
    folder.ok(&["sync", "t.db"]);
    assert_eq!(folder.ok(&["log", "t.db", "--json"]).lines().count(), 1);

    // Without the token the commit waits, and says for what.
    let created = created(2);
    let done = folder.run_with(&["commit", "s.db", "--stdin", "--wait", "backend", "--timeout", "1s"], &created);
    assert_eq!(done.status, 3, "{}{}", done.out, done.err);
    assert!(done.out.contains("SYNC_TOKEN: it is not set"), "{}{}", done.out, done.err);
    let mut command = folder.command(&["sync", "s.db", "--timeout", "1s"]);
    let done = Done::of(command.env("SYNC_TOKEN", "sesame-sesame-wrong").output().unwrap());
    assert_eq!(done.status, 3, "{}{}", done.out, done.err);
    assert!(done.out.contains("other credentials") && !done.out.contains("sesame"), "{}", done.out);
    assert!(!holds(folder.root(), "sesame"), "a token is in a file");
    assert!(status(&folder)["backend"] == address && !folder.ok(&["status", "s.db"]).contains("sesame"));
}

#[test]
fn the_status_says_that_the_backend_is_not_reached_why_and_when_it_is_tried_again() {
    let folder = Folder::new();
    // Nobody listens there any more.
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    folder.ok(&["init", "s.db", "--schema", "todo.toml", "--backend", &format!("ws://{addr}")]);
    assert!(status(&folder).get("sync").is_none(), "nobody syncs it yet");
    let mut syncing = folder.spawn(&["sync", "s.db", "--for", "10m"]);
    let began = Instant::now();
    let (status, text) = loop {
        let status = status(&folder);
        if status["sync"]["attempt"].as_u64() >= Some(2) {
            break (status, folder.ok(&["status", "s.db"]));
        }
        assert!(began.elapsed() < LONG, "{status}");
        // Between two looks at what a backoff of a second changes.
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status["sync"]["state"], "offline");
    assert!(status["sync"]["reason"].as_str().unwrap().contains(&addr.to_string()), "{status}");
    assert!(status["sync"]["retry_in_ms"].as_u64().is_some_and(|wait| wait <= 30_000), "{status}");
    assert!(text.contains("offline: ") && text.contains("attempt ") && text.contains("tried again"), "{text}");

    let logs = tempfile::tempdir().unwrap();
    let _server = Server::new(logs.path()).listen(addr).no_auth().start().unwrap();
    let began = Instant::now();
    while self::status(&folder)["sync"]["state"] != "connected" {
        assert!(began.elapsed() < LONG, "{}", self::status(&folder));
        // As above.
        std::thread::sleep(Duration::from_millis(50));
    }
    syncing.kill().unwrap();
    syncing.wait().unwrap();
    assert!(self::status(&folder).get("sync").is_none(), "what a process that is gone has said is of no interest");
}
