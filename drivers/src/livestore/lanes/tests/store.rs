//! Whole stores over the wire: against a small server as each generation would behave, and against nobody.

use std::sync::Mutex;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::*;
use crate::livestore::protocol::{Exit, Fail, SuccessValue, exit, pong};
use crate::{EventType, Schema, Store, Waited};

#[derive(Serialize, Deserialize)]
struct Noted {
    text: String,
}

impl EventType for Noted {
    const NAME: &'static str = "v1.Noted";
}

fn schema() -> Schema {
    Schema::builder(1)
        .state_sql("CREATE TABLE notes (text TEXT NOT NULL) STRICT")
        .event(|db, noted: Noted| db.execute("INSERT INTO notes (text) VALUES (?1)", [&noted.text]).map(drop))
        .build()
        .unwrap()
}

fn store(dir: &std::path::Path, name: &str, backend: LiveStoreBackend) -> Store {
    open(Store::open(dir.join(name)).schema(schema()).backend(backend).store_id("store-1"))
}

fn settled(waited: Waited) {
    assert!(matches!(waited, Waited::Settled(Ok(_))), "{waited:?}");
}

/// A server in memory. The log is checked as LiveStore checks it: by the parent of a batch alone.
struct Server {
    log: Mutex<Vec<PulledEvent>>,
    dialect: Dialect,
    keeps_ids: bool,
    /// The token that it takes, if it wants one.
    token: Mutex<Option<String>>,
    /// It takes no batch with this in it, and does not say for how long.
    dislikes: Mutex<Option<String>>,
}

impl Server {
    fn start(dialect: Dialect, keeps_ids: bool) -> (Arc<Self>, LiveStoreBackend) {
        let server =
            Arc::new(Self { log: Mutex::default(), dialect, keeps_ids, token: Mutex::default(), dislikes: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let backend = LiveStoreBackend::new(&format!("ws://{}", listener.local_addr().unwrap())).unwrap();
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (server, stream) = (serving.clone(), stream.unwrap());
                std::thread::spawn(move || server.serve(stream));
            }
        });
        (server, backend)
    }

    fn serve(&self, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let wanted = self.token.lock().unwrap().clone();
        if let Some(wanted) = wanted
            && !std::str::from_utf8(&peeked(&stream)).unwrap().contains(&wanted)
        {
            let mut stream = stream;
            super::http::read_head(&mut stream);
            stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            return;
        }
        let mut peer = Peer::over(stream);
        peer.socket.get_ref().set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        // Each pull: how far it has come, and whether a page of it waits to be acknowledged.
        let mut pulls: Vec<(RequestId, usize, bool)> = Vec::new();
        loop {
            match peer.socket.read() {
                Ok(Message::Text(text)) => {
                    for message in decode_client(text.as_bytes()).unwrap() {
                        self.answer(message, &mut peer, &mut pulls);
                    }
                }
                Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                _ => return,
            }
            for (id, sent, waits) in pulls.iter_mut().filter(|(_, _, waits)| !waits) {
                let log = self.log.lock().unwrap();
                let end = log.len().min(*sent + 100);
                if end == *sent {
                    continue;
                }
                let item = |event: &PulledEvent| encode_item(&encode_event(event).unwrap(), Some("now"));
                let items: Vec<_> = log[*sent..end].iter().map(item).collect();
                let info = if end < log.len() { PageInfo::MoreKnown { remaining: 1 } } else { PageInfo::NoMore };
                peer.sends(chunk(id, &items, info, &"the-backend".into()));
                (*sent, *waits) = (end, true);
            }
        }
    }

    fn answer(&self, message: ClientMessage, peer: &mut Peer, pulls: &mut Vec<(RequestId, usize, bool)>) {
        match message {
            ClientMessage::Ping => peer.sends(pong()),
            ClientMessage::Ack { request } => {
                pulls.iter_mut().filter(|(id, ..)| *id == request).for_each(|(_, _, waits)| *waits = false);
            }
            ClientMessage::Interrupt { request } => pulls.retain(|(id, ..)| *id != request),
            ClientMessage::Request(Request { id, call: Ok(Call::Pull(pull)) }) => {
                let after = pull.cursor.map_or(0, |cursor| cursor.event_sequence_number) as usize;
                let nothing = after >= self.log.lock().unwrap().len();
                if nothing {
                    peer.sends(page(&id, [], false));
                }
                pulls.push((id, after, nothing));
            }
            ClientMessage::Request(Request { id, call: Ok(Call::Push(push)) }) => {
                let mut log = self.log.lock().unwrap();
                let (head, parent) = (log.len() as u64, push.events[0].parent);
                let disliked = self.dislikes.lock().unwrap().clone();
                let is_disliked = disliked.is_some_and(|part| push.events.iter().any(|event| event.event.args.contains(&part)));
                let answer = if parent == head && is_disliked {
                    Exit::fail(Fail::Unknown { message: "rejected by onPush".into(), ours: None })
                } else if parent == head {
                    log.extend(
                        push.events.into_iter().map(|event| PulledEvent { ids: event.ids.filter(|_| self.keeps_ids), ..event }),
                    );
                    Exit::Success(SuccessValue::Pushed)
                } else {
                    let (minimum_expected, provided) = (head as i64, parent as i64);
                    Exit::fail(Fail::ServerAhead { minimum_expected, provided })
                };
                peer.sends(exit(&id, &answer, self.dialect));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The head of a request, which stays where it is.
fn peeked(stream: &TcpStream) -> Vec<u8> {
    let mut head = vec![0; 4096];
    let began = Instant::now();
    loop {
        let read = stream.peek(&mut head).unwrap();
        if head[..read].windows(4).any(|end| end == b"\r\n\r\n") {
            head.truncate(read);
            return head;
        }
        assert!(began.elapsed() < LONG, "no request came");
        std::thread::yield_now();
    }
}

// Verifies: S3, R1, R3
#[test]
fn two_stores_that_write_at_once_converge() {
    for (dialect, keeps_ids) in [(Dialect::Tree, false), (Dialect::List, false), (Dialect::Tree, true)] {
        let (server, backend) = Server::start(dialect, keeps_ids);
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let store = store(dir.path(), &format!("{name}.db"), backend.clone());
            let commit = |i| store.commit(Noted { text: format!("{name} {i}") }).unwrap();
            let receipts: Vec<_> = (0..150).map(commit).collect();
            for receipt in receipts {
                settled(receipt.backend_sync.wait_timeout(LONG));
            }
            store
        };
        let (alice, bob) = std::thread::scope(|scope| {
            let alice = scope.spawn(|| write("alice"));
            let bob = scope.spawn(|| write("bob"));
            (alice.join().unwrap(), bob.join().unwrap())
        });
        let log = server.log.lock().unwrap().clone();
        assert_eq!(log.len(), 300, "each event once");
        for store in [&alice, &bob] {
            let texts = || -> Vec<String> {
                let read = |db: &rusqlite::Connection| {
                    db.prepare("SELECT text FROM notes ORDER BY rowid")?.query_map([], |row| row.get(0))?.collect()
                };
                store.query(read).unwrap()
            };
            let said: Vec<String> =
                log.iter().map(|event| serde_json::from_str::<Noted>(&event.event.args).unwrap().text).collect();
            let deadline = Instant::now() + LONG;
            while texts() != said {
                assert!(Instant::now() < deadline, "{dialect:?}: {} of {}", texts().len(), said.len());
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn a_store_closes_at_once_while_its_pull_waits_or_nobody_is_there() {
    let (_server, present) = Server::start(Dialect::Tree, false);
    let absent = LiveStoreBackend::new("ws://127.0.0.1:9").unwrap();
    for (backend, syncs) in [(present, true), (absent, false)] {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), "store.db", backend);
        let receipt = store.commit(Noted { text: "a".into() }).unwrap();
        if syncs {
            settled(receipt.backend_sync.wait_timeout(LONG));
        } else {
            settled(receipt.leader_sync.wait_timeout(LONG));
        }
        let started = Instant::now();
        drop(store);
        assert!(started.elapsed() < LONG / 3, "{:?}", started.elapsed());
    }
}

// Verifies: R5, V1 (refused credentials are no failure: syncing pauses, and goes on by itself when there are others)
#[test]
fn syncing_pauses_without_credentials_and_goes_on_with_new_ones() {
    let (server, backend) = Server::start(Dialect::List, true);
    *server.token.lock().unwrap() = Some("sesame-3".to_owned());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let store = store(dir.path(), "store.db", backend.token_file(&file));
    let receipt = store.commit(Noted { text: "a".into() }).unwrap();
    let needs_auth = |part: &str| {
        let waits = |status: &crate::core::Status| matches!(&status.sync, crate::SyncState::NeedsAuth { message } if message.contains(part));
        let status = store.wait_until(LONG, waits).unwrap();
        assert!(!format!("{status:?}").contains("sesame"), "{status:?}");
    };
    needs_auth("the token file");
    std::fs::write(&file, "sesame-1").unwrap();
    needs_auth("401");
    assert_eq!(receipt.backend_sync.peek(), None);
    // In one step: a reader never finds half a token.
    std::fs::write(dir.path().join("new"), "sesame-3\n").unwrap();
    std::fs::rename(dir.path().join("new"), &file).unwrap();
    settled(receipt.backend_sync.wait_timeout(LONG));
}

#[test]
fn a_user_who_says_so_is_not_kept_waiting() {
    let (server, backend) = Server::start(Dialect::List, true);
    *server.token.lock().unwrap() = Some("sesame-2".to_owned());
    let dir = tempfile::tempdir().unwrap();
    let token = crate::livestore::Token::new("sesame-1");
    let store = store(dir.path(), "store.db", backend.token(&token));
    store.wait_until(LONG, |status| matches!(status.sync, crate::SyncState::NeedsAuth { .. })).unwrap();
    token.replace("sesame-2");
    store.tell(crate::News::Authenticated);
    store.wait_until(LONG, |status| status.sync == crate::SyncState::Synced).unwrap();
}

// Verifies: L5, R5, R6 (LiveStore's UnknownError: the culprit is found, shown and fenced, and what is before it goes on)
#[test]
fn what_a_server_keeps_refusing_without_saying_for_ever_is_isolated() {
    for dialect in BOTH {
        let (server, backend) = Server::start(dialect, false);
        *server.dislikes.lock().unwrap() = Some("bad".to_owned());
        let dir = tempfile::tempdir().unwrap();
        let ms = Duration::from_millis;
        let config = crate::Config { backoff_min: ms(5), backoff_max: ms(20), ..crate::Config::default() };
        let opener = Store::open(dir.path().join("s.db")).schema(schema()).backend(backend).store_id("store-1").config(config);
        let store = open(opener);
        let commit = |text: &str| store.commit(Noted { text: text.into() }).unwrap();
        let (before, culprit, behind) = (commit("before"), commit("bad"), commit("behind"));
        settled(before.backend_sync.wait_timeout(LONG));
        let status = store.wait_until(LONG, |status| status.stuck.is_some()).unwrap();
        let (stuck, message) = status.stuck.unwrap();
        assert!(stuck == culprit.id() && message.contains("rejected by onPush"), "{stuck} {message}");
        assert_eq!((culprit.backend_sync.peek(), behind.backend_sync.peek()), (None, None), "neither has failed");
        let why = behind.status().to_string();
        assert!(why.contains(&culprit.id().to_string()) && why.contains("rejected by onPush"), "{why}");
        // It goes on when the server takes it after all, or when the user gives it up.
        if dialect == Dialect::Tree {
            *server.dislikes.lock().unwrap() = None;
            settled(culprit.backend_sync.wait_timeout(LONG));
        } else {
            store.withdraw(culprit.id());
            assert!(matches!(culprit.backend_sync.wait_timeout(LONG), Waited::Settled(Err(_))));
        }
        settled(behind.backend_sync.wait_timeout(LONG));
        let log = server.log.lock().unwrap();
        assert_eq!(log.len(), if dialect == Dialect::Tree { 3 } else { 2 });
    }
}

// Verifies: L3, S1, V4 (what can't be read is no reason to stop: it has its place, without effect, and is shown)
#[test]
fn events_that_can_not_be_read_have_their_place_in_the_log() {
    let (server, backend) = Server::start(Dialect::List, true);
    let deep = format!(r#"{{"text":{}{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    for (seq, args) in (1..).zip([r#"{"text":"a\ud83d"}"#, &deep, r#"{"text":"b"}"#]) {
        let mut event = event(seq);
        event.event = Arc::new(Event { name: "v1.Noted".into(), args: args.into(), client_only: false });
        server.log.lock().unwrap().push(event);
    }
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), "store.db", backend);
    settled(store.commit(Noted { text: "c".into() }).unwrap().backend_sync.wait_timeout(LONG));
    let read = |db: &rusqlite::Connection| -> rusqlite::Result<Vec<String>> {
        db.prepare("SELECT text FROM notes ORDER BY rowid")?.query_map([], |row| row.get(0))?.collect()
    };
    let deadline = Instant::now() + LONG;
    while store.query(read).unwrap() != ["a\u{fffd}", "b", "c"] {
        assert!(Instant::now() < deadline, "{:?}", store.query(read));
        std::thread::yield_now();
    }
    let rows = crate::Reader::open(store.path()).unwrap().log(crate::core::Pos::ROOT, 10).unwrap();
    let skips: Vec<_> = rows.iter().map(|row| row.skip.is_some()).collect();
    assert_eq!(skips, [false, true, false, false]);
}
