//! How a server starts and ends.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::server::{StartError, Stopped};

#[test]
fn a_second_server_of_one_directory_is_refused() {
    let mut site = Site::new();
    let second = || Server::new(site.logs()).no_auth().start();
    let error = second().unwrap_err();
    assert!(matches!(error, StartError::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
    assert!(error.to_string().contains("another server"), "{error}");
    assert!(site.client("a").is_well());
    let addr = site.addr();
    site.running.take().unwrap().shutdown(LONG).unwrap();
    assert!(std::net::TcpStream::connect(addr).is_err());
    Server::new(site.logs()).no_auth().listen(addr).start().unwrap();
}

#[test]
fn what_can_t_be_started_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let server = || Server::new(dir.path().join("logs"));
    let file = dir.path().join("file");
    std::fs::write(&file, "no certificate").unwrap();
    let taken = Site::new();
    for (server, part) in [
        (server(), "token file"),
        (server().tokens(dir.path().join("none")), "can't read the token file"),
        (server().tokens(&file), "line 1"),
        (server().no_auth().tls(&file, &file), "no certificate"),
        (server().no_auth().tls(dir.path().join("none"), &file), "check the path"),
        (server().no_auth().listen(taken.addr()), "choose another address"),
        (Server::new(&file).no_auth(), "has to be a directory"),
    ] {
        let error = server.start().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

// Verifies: R4, L4
#[test]
fn what_was_admitted_is_answered_before_the_end() {
    for round in 0..5 {
        let mut site = Site::new();
        let addr = site.addr();
        let is_over = AtomicBool::new(false);
        let acknowledged = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut client = Client::dial(addr, "a", None).unwrap();
                let mut seq = 0;
                loop {
                    let id = client.pushes(&batch(seq + 1..=seq + 5));
                    match client.socket.read() {
                        Ok(Message::Text(text)) => {
                            let heard: serde_json::Value = serde_json::from_str(&text).unwrap();
                            assert_eq!((heard["requestId"].as_str(), &heard["exit"]), (Some(id.as_str()), &success()));
                            seq += 5;
                        }
                        Ok(Message::Close(Some(frame))) => {
                            assert_eq!(u16::from(frame.code), 1001, "{frame}");
                            return seq;
                        }
                        other => panic!("{other:?}"),
                    }
                    if seq == 50 + 10 * round {
                        is_over.store(true, Ordering::SeqCst);
                    }
                }
            });
            until("some were taken", || is_over.load(Ordering::SeqCst));
            let stopped = site.running.take().unwrap().shutdown(LONG).unwrap();
            assert_eq!(stopped, Stopped { cut: 0 });
            writer.join().unwrap()
        });
        let again = Server::new(site.logs()).no_auth().start().unwrap();
        let history = Client::dial(again.addr(), "a", None).unwrap().history();
        assert_eq!(history.len() as u64, acknowledged, "all that was acknowledged, and nothing that was not");
    }
}

#[test]
fn idle_clients_are_told_and_those_who_do_not_go_are_cut_off() {
    let mut site = Site::new();
    let mut listens = site.client("a");
    listens.pulls(true, None);
    listens.hears();
    let idle = tcp(site.addr());
    let running = site.running.take().unwrap();
    let stopper = running.stopper();
    let told = std::thread::spawn(move || listens.hears_goodbye());
    stopper.stop(LONG);
    let (code, reason) = told.join().unwrap();
    assert!(code == 1001 && reason.contains("stopped"), "{code} {reason}");
    drop(idle);
    assert_eq!(running.wait().unwrap(), Stopped { cut: 0 });

    let mut site = Site::new();
    let mut deaf = site.client("a");
    assert!(deaf.is_well());
    let running = site.running.take().unwrap();
    let stopper = running.stopper();
    stopper.stop(LONG);
    // It is not waited for: the earlier moment counts.
    stopper.stop(Duration::ZERO);
    assert!(running.wait().unwrap().cut <= 1);
}

#[test]
fn a_server_that_is_dropped_is_stopped() {
    let mut site = Site::new();
    let addr = site.addr();
    assert_eq!(site.client("a").push(&batch(1..=1)), success());
    site.running = None;
    assert!(std::net::TcpStream::connect(addr).is_err());
    let again = Server::new(site.logs()).no_auth().start().unwrap();
    assert_eq!(Client::dial(again.addr(), "a", None).unwrap().history().len(), 1);
}
