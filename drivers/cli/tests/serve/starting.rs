//! How it starts, and how it ends.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign::{Settled, Waited};
use serde_json::{Value, json};

use crate::support::{LONG, Noted, Server, command, log, store, until};

fn refused(command: &mut Command) -> (i32, Value) {
    let done = command.output().unwrap();
    let error: Value = serde_json::from_slice(&done.stderr).unwrap_or_else(|_| panic!("{done:?}"));
    (done.status.code().unwrap(), error["error"].clone())
}

#[test]
fn what_can_t_be_served_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let any = "127.0.0.1:0";
    let tokens = dir.path().join("tokens.toml");
    std::fs::write(&tokens, "[[token]]\ntoken = \"short-secret\"\nread = [\"*\"]\n").unwrap();
    let tokens = tokens.to_str().unwrap();
    for (more, code, status, part) in [
        (&[][..], "no_access", 2, "--no-auth"),
        (&["--tokens", tokens], "tokens", 2, "16 characters"),
        (&["--tokens", "none.toml"], "tokens", 2, "can't read the token file"),
        (&["--tokens", tokens, "--no-auth"], "usage", 2, "cannot be used with"),
        (&["--no-auth", "--tls-cert", "x"], "usage", 2, "--tls-key"),
        (&["--no-auth", "--tls-cert", "x", "--tls-key", "y"], "tls", 2, "check the path"),
        (&["--no-auth", "--max-message", "1"], "limit", 2, "message_bytes"),
    ] {
        let (exit, error) = refused(&mut command(&logs, any, more));
        assert_eq!((exit, &error["code"]), (status, &json!(code)), "{error}");
        let text = error["message"].as_str().unwrap();
        assert!(text.contains(part) && !text.contains("short-secret"), "{text}");
    }
    let serving = Server::start(&logs, any, &["--no-auth"]);
    let (exit, error) = refused(&mut command(&logs, any, &["--no-auth"]));
    assert_eq!((exit, &error["code"]), (1, &json!("locked")), "{error}");
    assert!(error["message"].as_str().unwrap().contains(&format!("process {}", serving.pid)), "{error}");
    let taken = serving.addr.to_string();
    let (exit, error) = refused(&mut command(&dir.path().join("other"), &taken, &["--no-auth"]));
    assert_eq!((exit, &error["code"]), (1, &json!("listen")), "{error}");
}

#[test]
fn people_are_told_where_it_is_and_what_to_do_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut serving = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["serve", "--dir", "logs", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--no-auth"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut out = std::io::BufReader::new(serving.stdout.take().unwrap());
    while !said.contains("stop ") {
        assert_ne!(std::io::BufRead::read_line(&mut out, &mut said).unwrap(), 0, "{said}");
    }
    for part in
        ["serving ws://127.0.0.1:", " from logs", "everybody who can reach it", "/metrics", "countersign init", "--backend ws://"]
    {
        assert!(said.contains(part), "{said}");
    }
    assert!(Command::new("kill").arg(serving.id().to_string()).status().unwrap().success());
    std::io::Read::read_to_string(&mut out, &mut said).unwrap();
    let ended = serving.wait_with_output().unwrap();
    assert!(ended.status.success() && said.ends_with("stopped\n"), "{said}");
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(log.contains("the server listens") && log.contains("the server stops"), "{log}");
}

/// Where the system allows few open files, there are fewer places, and everybody is told so who gets none.
#[test]
fn few_open_files_are_few_places_and_no_silence() {
    use std::io::{Read as _, Write as _};
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let mut limited = Command::new("sh");
    let inner = command(&logs, "127.0.0.1:0", &["--no-auth"]);
    limited.args(["-c", "ulimit -n 200; exec \"$0\" \"$@\""]).arg(inner.get_program()).args(inner.get_args());
    let serving = Server::spawn(limited);
    let mut kept = Vec::new();
    let (mut taken, mut told) = (0, 0);
    for n in 0..150 {
        let mut stream = std::net::TcpStream::connect(serving.addr).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let upgrade = format!(
            "GET /?storeId=s{n}&transport=ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(upgrade.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        match &answer {
            b"HTTP/1.1 101" => taken += 1,
            b"HTTP/1.1 503" => told += 1,
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
        kept.push(stream);
    }
    assert!(taken >= 5 && told >= 5, "{taken} {told}");
    drop(kept);
    serving.signal("-TERM");
    assert_eq!(serving.ended().1.code(), Some(0));
}

/// What was acknowledged when the signal came is in the log once; what was not is taken by the next server.
// Verifies: R4, R5, L4, L6
#[test]
fn a_signal_in_the_middle_of_pushes_ends_it_well() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    for (round, signal) in ["-TERM", "-INT"].into_iter().enumerate() {
        let serving = Server::start(&logs, "127.0.0.1:0", &["--no-auth", "--grace", "60s"]);
        let addr = serving.addr;
        let stores: Vec<_> = (0..3).map(|n| store(&dir.path().join(format!("{n}-{round}.db")), addr)).collect();
        let confirmed = AtomicUsize::new(0);
        let mut acknowledged: Vec<String> = Vec::new();
        std::thread::scope(|scope| {
            let writers: Vec<_> = stores
                .iter()
                .enumerate()
                .map(|(n, store)| {
                    let confirmed = &confirmed;
                    scope.spawn(move || {
                        let mut receipts = Vec::new();
                        for i in 0..200 {
                            let text = format!("{round} {n} {i}");
                            let receipt = store.commit(Noted { text: text.clone() }).unwrap();
                            if i % 4 == 0
                                && matches!(
                                    receipt.backend_sync.wait_timeout(std::time::Duration::from_millis(200)),
                                    Waited::Settled(Ok(_))
                                )
                            {
                                confirmed.fetch_add(1, Ordering::SeqCst);
                            }
                            receipts.push((text, receipt));
                        }
                        receipts
                    })
                })
                .collect();
            until("pushes are under way", || confirmed.load(Ordering::SeqCst) > 10);
            serving.signal(signal);
            let (said, status) = serving.ended();
            assert_eq!((status.code(), &said["stopped"], &said["cut"]), (Some(0), &json!(true), &json!(0)));
            for (text, receipt) in writers.into_iter().flat_map(|writer| writer.join().unwrap()) {
                match receipt.backend_sync.peek() {
                    Some(Ok(Settled::Confirmed(_))) => acknowledged.push(text),
                    None => {}
                    other => panic!("{other:?}"),
                }
            }
        });
        let log = log(&logs);
        for text in &acknowledged {
            assert_eq!(log.iter().filter(|noted| *noted == text).count(), 1, "{text}");
        }
        drop(stores);
        let serving = Server::start(&logs, &addr.to_string(), &["--no-auth"]);
        for n in 0..3 {
            let store = store(&dir.path().join(format!("{n}-{round}.db")), serving.addr);
            until("the rest is taken", || store.status().pending_events == 0);
        }
        serving.signal("-TERM");
        assert_eq!(serving.ended().1.code(), Some(0));
        let mut log = crate::support::log(&logs);
        assert_eq!(log.len(), 600 * (round + 1));
        log.sort();
        log.dedup();
        assert_eq!(log.len(), 600 * (round + 1), "none twice");
    }
    let _ = LONG;
}
