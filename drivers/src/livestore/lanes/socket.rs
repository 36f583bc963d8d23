//! A TCP stream, and how a thread waits for it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use super::interrupt::Interrupt;
use super::net::{Socket, Woken};

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

pub(super) struct ThreadSocket {
    tcp: TcpStream,
    poll: Poll,
    events: Events,
    interrupt: Arc<Interrupt>,
    received: u64,
    sent: u64,
}

impl ThreadSocket {
    /// Connects, and is woken by the interrupt from now on.
    pub(super) fn connect(to: SocketAddr, interrupt: Arc<Interrupt>, until: Instant) -> io::Result<Self> {
        let poll = Poll::new()?;
        interrupt.wake_by(Arc::new(Waker::new(poll.registry(), WAKER)?));
        let mut tcp = TcpStream::connect(to)?;
        poll.registry().register(&mut tcp, SOCKET, Interest::READABLE | Interest::WRITABLE)?;
        let mut socket = Self { tcp, poll, events: Events::with_capacity(4), interrupt, received: 0, sent: 0 };
        loop {
            if socket.wait(until, true)? != Woken::Ready {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if let Some(error) = socket.tcp.take_error()? {
                return Err(error);
            }
            match socket.tcp.peer_addr() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
                Err(error) => return Err(error),
            }
        }
        // Acknowledgements are small, and waited for.
        socket.tcp.set_nodelay(true)?;
        Ok(socket)
    }

    fn wait(&mut self, until: Instant, heeds: bool) -> io::Result<Woken> {
        if heeds && self.interrupt.is_raised() {
            return Ok(Woken::Interrupted);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Woken::Late);
        }
        match self.poll.poll(&mut self.events, Some(left)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(Woken::Ready),
        }
    }
}

impl Socket for ThreadSocket {
    async fn ready(&mut self, until: Instant, heeds: bool) -> io::Result<Woken> {
        self.wait(until, heeds)
    }

    fn received(&self) -> u64 {
        self.received
    }

    fn sent(&self) -> u64 {
        self.sent
    }
}

impl Read for ThreadSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = again(|| self.tcp.read(buffer))?;
        self.received += read as u64;
        Ok(read)
    }
}

impl Write for ThreadSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = again(|| self.tcp.write(bytes))?;
        self.sent += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

impl Drop for ThreadSocket {
    fn drop(&mut self) {
        // Says goodbye at once, whoever still holds the descriptor.
        let _ = self.tcp.shutdown(Shutdown::Both);
    }
}

/// A call that a signal has cut short is made again.
pub(super) fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
