//! Over the network: our own server on loopback, in a process of its own, and stores that sync with it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use countersign::livestore::LiveStoreBackend;
use countersign::{CommitReceipt, Settled, Store};

use crate::raw::{File, Session};
use crate::server::Process;
use crate::stage::{schema, todo};
use crate::{median, print, time};

/// For as long as a benchmark waits for anything.
const PATIENCE: Duration = Duration::from_secs(300);

fn store(path: &Path, server: &Process) -> Store {
    let backend = LiveStoreBackend::new(&format!("ws://{}", server.addr)).unwrap();
    Store::open(path).schema(schema()).backend(backend).store_id("s").blocking().unwrap()
}

/// P6: one commit at a time until the server has it, both on disk.
pub(crate) fn one(rounds: usize, events: usize) {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(&dir.path().join("server"));
    let store = store(&dir.path().join("store.db"), &server);
    let confirmed = |n| assert!(matches!(store.commit(todo(n)).unwrap().backend_sync.wait(), Ok(Settled::Confirmed(_))));
    confirmed(0);
    let ours = median(rounds, events, || time(|| (0..events).for_each(confirmed)));
    let _ = store.close(PATIENCE);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let path = dir.path().join("raw-server.db");
    let thread = std::thread::spawn(move || serve_by_hand(&listener, &path));
    let (session, file) = (Session::new(), File::new(&dir.path().join("raw.db")));
    let mut socket = TcpStream::connect(addr).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut at = 0;
    let by_hand = median(rounds, events, || {
        time(|| {
            for n in 0..events {
                let todo = todo(n);
                session.commit(&todo.id, &todo.text);
                file.commit(at, std::iter::once((todo.id.clone(), &*todo.text)));
                at += 1;
                for asked in [Asked::Store, Asked::Nothing] {
                    socket.write_all(&[asked as u8; 256]).unwrap();
                    socket.read_exact(&mut [0; 64]).unwrap();
                }
            }
        })
    });
    drop(socket);
    thread.join().unwrap();
    let (ours_us, hand_us) = (ours / 1e3, by_hand / 1e3);
    let what = "one commit until backend_sync, own server on loopback";
    print("P6", what, &format!("{ours_us:.0} us"), &format!("{hand_us:.0} us"), ours / by_hand, "1.3 or less");
}

/// What the client by hand asks of the server by hand, in a message of 256 bytes.
#[derive(Clone, Copy)]
enum Asked {
    Store,
    Nothing,
}

/// Stores what comes, and answers, until its client is gone.
fn serve_by_hand(listener: &TcpListener, path: &Path) {
    let (mut socket, _) = listener.accept().unwrap();
    socket.set_nodelay(true).unwrap();
    let file = File::new(path);
    let mut message = [0; 256];
    let mut at = 0;
    while socket.read_exact(&mut message).is_ok() {
        if message[0] == Asked::Store as u8 {
            let todo = todo(at);
            file.commit(at as i64, std::iter::once((todo.id.clone(), &*todo.text)));
            at += 1;
        }
        socket.write_all(&[0; 64]).unwrap();
    }
}

/// P7: through a store, the server, and into a second store, until every receipt is confirmed and the second store has it all.
pub(crate) fn through(few: usize, many: usize) {
    let (small, large) = (events_a_second(few), events_a_second(many));
    let rate = |events: f64| format!("{events:.0}/s");
    let what = format!("events/s from store to store over the server, {many}");
    print("P7", &what, &rate(large), "-", large / 25_000.0, "25 000/s (ratio to it)");
    let what = format!("an event of {many}, against one of {few}");
    let each = |rate: f64| format!("{:.1} us", 1e6 / rate);
    print("P7", &what, &each(large), &each(small), small / large, "1 or less");
}

fn events_a_second(events: usize) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(&dir.path().join("server"));
    let (writer, reader) = (store(&dir.path().join("writer.db"), &server), store(&dir.path().join("reader.db"), &server));
    let todos: Vec<_> = (0..events).map(todo).collect();
    let took = time(|| {
        let mut last: Option<CommitReceipt> = None;
        for todo in todos {
            last = Some(patiently(&writer, &todo));
        }
        // Confirmed in commit order: with the last, all of them are.
        let settled = last.unwrap().backend_sync.wait().unwrap();
        reader.reached(&settled.token().unwrap()).wait_timeout(PATIENCE).unwrap().unwrap();
    });
    let _ = (writer.close(PATIENCE), reader.close(PATIENCE));
    events as f64 / took.as_secs_f64()
}

/// A commit that waits for room among what is not yet on disk.
fn patiently(store: &Store, todo: &crate::stage::TodoSet) -> CommitReceipt {
    loop {
        match store.try_commit(todo.clone()) {
            Ok(receipt) => return receipt,
            Err(_) => drop(store.barrier(countersign::Stage::Leader).wait_timeout(PATIENCE)),
        }
    }
}
