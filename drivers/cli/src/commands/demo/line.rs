//! A line between a store and the server, which can be cut and restored: a proxy on loopback.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Bytes go through as they come. Ends with this value.
pub(super) struct Line {
    addr: SocketAddr,
    wires: Arc<Mutex<Wires>>,
}

#[derive(Default)]
struct Wires {
    cut: bool,
    ended: bool,
    next: u64,
    /// Both ends of each connection.
    standing: BTreeMap<u64, [TcpStream; 2]>,
}

impl Line {
    pub(super) fn to(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let wires = Arc::<Mutex<Wires>>::default();
        let accepting = wires.clone();
        thread::Builder::new().name("line".to_owned()).spawn(move || {
            for client in listener.incoming() {
                if lock(&accepting).ended {
                    return;
                }
                // A connection that can't be put through is over.
                let _ = client.and_then(|client| connect(&accepting, client, server));
            }
        })?;
        Ok(Self { addr, wires })
    }

    /// The address of the store's end.
    pub(super) fn address(&self) -> String {
        format!("ws://{}", self.addr)
    }

    /// Every connection is cut, those that come too.
    pub(super) fn cut(&self) {
        let mut wires = lock(&self.wires);
        wires.cut = true;
        wires.end_all();
    }

    pub(super) fn restore(&self) {
        lock(&self.wires).cut = false;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut wires = lock(&self.wires);
        wires.ended = true;
        wires.end_all();
        drop(wires);
        // Wakes who accepts.
        let _ = TcpStream::connect(self.addr);
    }
}

impl Wires {
    fn end_all(&self) {
        for end in self.standing.values().flatten() {
            // One that is over is over.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn connect(wires: &Arc<Mutex<Wires>>, client: TcpStream, server: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = (client.try_clone()?, client.try_clone()?);
    let (mut from_server, mut to_server) = (server.try_clone()?, server.try_clone()?);
    let id = {
        let mut wires = lock(wires);
        if wires.cut || wires.ended {
            return Ok(());
        }
        let id = wires.next;
        wires.next += 1;
        wires.standing.insert(id, [client, server]);
        id
    };
    let end = move |wires: &Mutex<Wires>| {
        for end in lock(wires).standing.remove(&id).into_iter().flatten() {
            let _ = end.shutdown(Shutdown::Both);
        }
    };
    let (up, down) = (wires.clone(), wires.clone());
    let named = || thread::Builder::new().name("line".to_owned());
    named().spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        end(&up);
    })?;
    named().spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        end(&down);
    })?;
    Ok(())
}

fn lock(wires: &Mutex<Wires>) -> MutexGuard<'_, Wires> {
    // Each change is whole.
    wires.lock().unwrap_or_else(PoisonError::into_inner)
}
