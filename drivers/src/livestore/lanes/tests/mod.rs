//! The lanes over real sockets, on threads and as tasks, against scripted servers that behave like those of both generations, or badly.

#[cfg(feature = "smol")]
mod on_tasks;
mod on_threads;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use countersign_core::{BackendFailure, BackendId, Event, EventId, OwnEvent, Page, Pull, PulledEvent, Push, SessionId};
use tungstenite::handshake::server::{Request as Upgrade, Response};
use tungstenite::{Message, WebSocket};

use crate::backend::{Backend as _, Lanes, Who};
use crate::livestore::LiveStoreBackend;
use crate::livestore::protocol::{
    Call, ClientMessage, Dialect, PageInfo, PullCall, PushCall, Request, RequestId, chunk, decode_client, encode_event,
    encode_item,
};

/// Nothing here takes this long unless it hangs.
const LONG: Duration = Duration::from_secs(30);

/// A server on a port of its own that follows a script, on a thread of its own.
struct Fake {
    port: u16,
    script: JoinHandle<()>,
}

impl Fake {
    fn new(script: impl FnOnce(&TcpListener) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { port, script: std::thread::spawn(move || script(&listener)) }
    }

    fn backend(&self, scheme: &str) -> LiveStoreBackend {
        LiveStoreBackend::new(&format!("{scheme}://127.0.0.1:{}/sync", self.port)).unwrap()
    }

    /// The script has come to its end.
    fn done(self) {
        self.script.join().unwrap();
    }
}

fn tcp(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The server's end of a WebSocket.
struct Peer<S = TcpStream> {
    socket: WebSocket<S>,
    uri: String,
    token: Option<String>,
}

impl Peer {
    fn accept(listener: &TcpListener) -> Self {
        Peer::over(tcp(listener))
    }
}

impl<S: Read + Write> Peer<S> {
    fn over(stream: S) -> Self {
        let (mut uri, mut token) = (String::new(), None);
        #[allow(clippy::result_large_err)] // the library's own signature
        let upgrade = |request: &Upgrade, response: Response| {
            uri = request.uri().to_string();
            token = request.headers().get("x-token").map(|token| token.to_str().unwrap().to_owned());
            Ok(response)
        };
        let socket = tungstenite::accept_hdr(stream, upgrade).unwrap_or_else(|error| panic!("{error}"));
        Self { socket, uri, token }
    }

    fn sends(&mut self, frame: String) {
        self.socket.send(Message::text(frame)).unwrap();
    }

    /// The next message; nothing when the client has gone.
    fn hears(&mut self) -> Option<ClientMessage> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return decode_client(text.as_bytes()).unwrap().pop(),
                Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::Protocol(_)) => {
                    return None;
                }
                Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn hears_pull(&mut self) -> (RequestId, PullCall) {
        loop {
            match self.hears() {
                Some(ClientMessage::Request(Request { id, call: Ok(Call::Pull(pull)) })) => return (id, pull),
                Some(ClientMessage::Ack { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn hears_push(&mut self) -> (RequestId, PushCall) {
        match self.hears() {
            Some(ClientMessage::Request(Request { id, call: Ok(Call::Push(push)) })) => (id, push),
            other => panic!("{other:?}"),
        }
    }
}

fn who() -> Who {
    Who { store_id: "store-1".into(), client: "alice".into() }
}

fn event(seq: u64) -> PulledEvent {
    let event = Event { name: "v1.Noted".into(), args: format!("{{\"n\":{seq}}}").into(), client_only: false };
    PulledEvent { seq, parent: seq - 1, client: "bob".into(), session: "s".into(), ids: None, event: event.into() }
}

fn page(request: &RequestId, seqs: impl IntoIterator<Item = u64>, more: bool) -> String {
    let items: Vec<_> = seqs.into_iter().map(|seq| encode_item(&encode_event(&event(seq)).unwrap(), Some("now"))).collect();
    let info = if more { PageInfo::MoreKnown { remaining: 1 } } else { PageInfo::NoMore };
    chunk(request, &items, info, &BackendId::from("the-backend"))
}

fn pull(after: u64, fresh: bool) -> Pull {
    Pull { after, fresh, backend: Some("the-backend".into()) }
}

fn push(parent: u64, count: u64) -> Push {
    let own = |ordinal| OwnEvent {
        id: EventId { session: SessionId([3; 16]), ordinal },
        commit: 1,
        last: ordinal == count,
        guard: None,
        event: Arc::new(Event { name: "v1.Noted".into(), args: "null".into(), client_only: false }),
    };
    Push { parent, backend: Some("the-backend".into()), events: (1..=count).map(own).collect() }
}

fn seqs(page: &Page) -> Vec<u64> {
    page.events.iter().map(|event| event.seq).collect()
}

/// The message of an `Unreachable`, and whether something may have been applied.
fn unreachable<T: std::fmt::Debug>(result: Result<T, BackendFailure>) -> (String, bool) {
    match result {
        Err(BackendFailure::Unreachable { message, maybe_applied }) => (message.to_string(), maybe_applied),
        other => panic!("{other:?}"),
    }
}

const BOTH: [Dialect; 2] = [Dialect::Tree, Dialect::List];
