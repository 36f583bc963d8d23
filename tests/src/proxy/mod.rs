//! A TCP proxy that goes wrong on request, between clients and a real sync server.
//!
//! What comes from clients is forwarded message by message: an HTTP request, or a WebSocket frame. So a push can be cut off before it
//! reaches the server, or its reply after the server has carried it out. What the server says is forwarded as it comes.

mod messages;

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use messages::Messages;

/// What goes wrong, for as long as it is set: with connections that stand, and with those that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Every connection is ended at once.
    Refuse,
    /// A push does not reach the server: its connection is cut before.
    CutRequest,
    /// A push reaches the server, which carries it out; its connection is cut before the reply.
    CutReply,
    /// Everything takes this much longer, each way.
    Delay(Duration),
    /// What the server says arrives as noise.
    Garbage,
    /// Half-open: connections stand, and nothing gets through.
    Silent,
    /// Everything comes in pieces of so many bytes, with a pause of a millisecond between them.
    Drip(usize),
}

/// The proxy. Dropped, it ends all connections.
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    /// How often what was set has done harm.
    hits: AtomicUsize,
}

#[derive(Default)]
struct State {
    fault: Option<Fault>,
    next: u64,
    connections: BTreeMap<u64, Arc<Connection>>,
    closed: bool,
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// A push was forwarded, and its reply has not come.
    pushed: AtomicBool,
    /// Bytes were lost: it can't be healed.
    damaged: AtomicBool,
}

impl Proxy {
    /// A proxy on a port of its own.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn to(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared { upstream, state: Mutex::default(), hits: AtomicUsize::new(0) });
        let serving = shared.clone();
        thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            for client in listener.incoming() {
                if serving.state().closed {
                    return;
                }
                if let Ok(client) = client {
                    // A connection that can't be forwarded is over for its client too.
                    let _ = serve(&serving, client);
                }
            }
        })?;
        Ok(Self { addr, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on this goes wrong, and nothing else.
    pub fn break_with(&self, fault: Fault) {
        self.shared.hits.store(0, Ordering::SeqCst);
        self.shared.state().fault = Some(fault);
        if fault == Fault::Refuse {
            self.cut();
        }
    }

    /// From now on nothing goes wrong. Connections that have lost bytes are cut.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        state.fault = None;
        state.connections.values().filter(|one| one.damaged.load(Ordering::SeqCst)).for_each(|one| one.cut());
    }

    /// Cuts all connections, once.
    pub fn cut(&self) {
        self.shared.state().connections.values().for_each(|connection| connection.cut());
    }

    /// How often the fault that is set has done harm since it was set.
    #[must_use]
    pub fn hits(&self) -> usize {
        self.shared.hits.load(Ordering::SeqCst)
    }

    /// How many connections stand.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.state().connections.len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.cut();
        // Wakes who accepts: it looks whether to go on.
        let _ = TcpStream::connect(self.addr);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self) -> Option<Fault> {
        self.state().fault
    }

    fn hit(&self) {
        self.hits.fetch_add(1, Ordering::SeqCst);
    }
}

impl Connection {
    fn cut(&self) {
        // Whichever is over already is over.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

fn serve(shared: &Arc<Shared>, client: TcpStream) -> io::Result<()> {
    if shared.fault() == Some(Fault::Refuse) {
        shared.hit();
        return client.shutdown(Shutdown::Both);
    }
    let server = TcpStream::connect(shared.upstream)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, from_server) = (client.try_clone()?, server.try_clone()?);
    let flag = || AtomicBool::new(false);
    let connection = Arc::new(Connection { client, server, pushed: flag(), damaged: flag() });
    let id = {
        let mut state = shared.state();
        let id = state.next;
        state.next += 1;
        if state.fault == Some(Fault::Refuse) {
            // Set meanwhile: what cut all connections did not see this one.
            connection.cut();
        }
        state.connections.insert(id, connection.clone());
        id
    };
    for (towards_server, from) in [(true, from_client), (false, from_server)] {
        let (shared, connection) = (shared.clone(), connection.clone());
        thread::Builder::new().name("proxied".to_owned()).spawn(move || {
            let _ = if towards_server { up(&shared, &connection, from) } else { down(&shared, &connection, from) };
            connection.cut();
            shared.state().connections.remove(&id);
        })?;
    }
    Ok(())
}

/// From the client to the server, message by message.
fn up(shared: &Shared, connection: &Connection, mut from: TcpStream) -> io::Result<()> {
    let mut messages = Messages::default();
    let mut buffer = [0; 16 << 10];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        messages.feed(&buffer[..read]);
        while let Some(message) = messages.next() {
            match shared.fault() {
                Some(Fault::CutRequest) if message.is_push => {
                    shared.hit();
                    return Ok(());
                }
                Some(Fault::Silent) => connection.swallow(shared),
                fault => {
                    connection.pushed.fetch_or(message.is_push, Ordering::SeqCst);
                    forward(shared, fault, &connection.server, &message.bytes)?;
                }
            }
        }
    }
}

/// From the server to the client, as it comes.
fn down(shared: &Shared, connection: &Connection, mut from: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let pushed = connection.pushed.swap(false, Ordering::SeqCst);
        match shared.fault() {
            Some(Fault::CutReply) if pushed => {
                shared.hit();
                return Ok(());
            }
            Some(Fault::Silent) => connection.swallow(shared),
            Some(Fault::Garbage) => {
                shared.hit();
                connection.damaged.store(true, Ordering::SeqCst);
                (&connection.client).write_all(&vec![0xa5; read])?;
            }
            fault => forward(shared, fault, &connection.client, &buffer[..read])?,
        }
    }
}

impl Connection {
    fn swallow(&self, shared: &Shared) {
        shared.hit();
        self.damaged.store(true, Ordering::SeqCst);
    }
}

fn forward(shared: &Shared, fault: Option<Fault>, mut to: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    match fault {
        Some(Fault::Delay(time)) => {
            shared.hit();
            // The fault itself.
            thread::sleep(time);
            to.write_all(bytes)
        }
        Some(Fault::Drip(size)) => {
            shared.hit();
            for piece in bytes.chunks(size.max(1)) {
                to.write_all(piece)?;
                // The fault itself.
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        }
        _ => to.write_all(bytes),
    }
}
