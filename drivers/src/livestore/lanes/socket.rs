//! A TCP stream that looks blocking to whoever reads and writes it, keeps a deadline, and can be woken.
//!
//! When the deadline has passed, or the lane is interrupted, a call ends as `WouldBlock`: to the layers above nothing has
//! happened, and they go on where they were at the next call. So an interruption costs no connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use super::interrupt::Interrupt;

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

pub(super) struct Socket {
    tcp: TcpStream,
    waiter: Waiter,
    /// How many bytes have come in.
    pub(super) received: u64,
}

/// Waits for one socket.
pub(super) struct Waiter {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    interrupt: Arc<Interrupt>,
    deadline: Instant,
    /// Whether an interruption ends a wait. A write is finished first: half a frame can't be taken back.
    heeds: bool,
}

impl Waiter {
    /// A waiter that the interrupt wakes from now on.
    pub(super) fn new(interrupt: Arc<Interrupt>, deadline: Instant) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        interrupt.wake_by(waker.clone());
        Ok(Self { poll, events: Events::with_capacity(4), waker, interrupt, deadline, heeds: true })
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// Waits until there may be something.
    ///
    /// # Errors
    ///
    /// `WouldBlock` at the deadline, or when interrupted.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || (self.heeds && self.interrupt.is_raised()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match self.poll.poll(&mut self.events, Some(left)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}

impl Socket {
    /// Connects. On failure the waiter is given back, for the next address.
    pub(super) fn connect(address: SocketAddr, until: Instant, mut waiter: Waiter) -> Result<Self, (io::Error, Waiter)> {
        let overall = std::mem::replace(&mut waiter.deadline, until);
        match connect(address, &mut waiter) {
            Ok(tcp) => {
                waiter.deadline = overall;
                Ok(Self { tcp, waiter, received: 0 })
            }
            Err(error) => {
                waiter.deadline = overall;
                Err((error, waiter))
            }
        }
    }

    /// Until when calls wait, and whether an interruption ends them.
    pub(super) fn until(&mut self, deadline: Instant, heeds: bool) {
        self.waiter.deadline = deadline;
        self.waiter.heeds = heeds;
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tcp.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.waiter.wait()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(read) => {
                    self.received += read as u64;
                    return Ok(read);
                }
                failed => return failed,
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.tcp.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.waiter.wait()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Says goodbye at once, whoever still holds the descriptor.
        let _ = self.tcp.shutdown(Shutdown::Both);
    }
}

fn connect(address: SocketAddr, waiter: &mut Waiter) -> io::Result<TcpStream> {
    let mut tcp = TcpStream::connect(address)?;
    waiter.poll.registry().register(&mut tcp, SOCKET, Interest::READABLE | Interest::WRITABLE)?;
    loop {
        waiter.wait()?;
        if let Some(error) = tcp.take_error()? {
            return Err(error);
        }
        match tcp.peer_addr() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(error) => return Err(error),
        }
    }
    // Acknowledgements are small, and waited for.
    tcp.set_nodelay(true)?;
    Ok(tcp)
}
