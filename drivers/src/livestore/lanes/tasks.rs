//! Lanes that are tasks: sockets and timers of async-io, on whatever executor polls them.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;
use std::time::Instant;

use async_io::{Async, Timer};
use countersign_core::{BackendFailure, Page, Pull, Push};
use futures_channel::oneshot;

use super::net::{Net, Pulls, Pushes, Socket, Woken};
use super::socket::again;
use crate::backend::{AsyncPullLane, AsyncPushLane, LaneFuture};

/// Waits without a thread. What waits is ended by dropping it.
#[derive(Clone, Copy)]
pub(super) struct Tasks;

impl Net for Tasks {
    type Socket = TaskSocket;

    async fn connect(&self, to: SocketAddr, until: Instant) -> io::Result<TaskSocket> {
        let tcp = before(until, Async::<TcpStream>::connect(to)).await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
        // Acknowledgements are small, and waited for.
        tcp.get_ref().set_nodelay(true)?;
        Ok(TaskSocket { tcp, reads: false, writes: false, received: 0, sent: 0 })
    }

    /// Looking a name up blocks: it is left to a thread that ends when the system has given up.
    async fn resolve(&self, host: String, port: u16, until: Instant) -> io::Result<Vec<SocketAddr>> {
        let (answer, answered) = oneshot::channel();
        // Nobody is there any more to be told if this fails.
        let look_up = move || drop(answer.send((host.as_str(), port).to_socket_addrs().map(Iterator::collect)));
        thread::Builder::new().name("countersign-resolve".to_owned()).spawn(look_up)?;
        match before(until, answered).await {
            Some(Ok(found)) => found,
            Some(Err(_)) => Err(io::Error::other("it could not be looked up")),
            None => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn sleep(&self, until: Instant) -> Woken {
        Timer::at(until).await;
        Woken::Late
    }
}

pub(super) struct TaskSocket {
    tcp: Async<TcpStream>,
    /// Which calls would have blocked since the last wait.
    reads: bool,
    writes: bool,
    received: u64,
    sent: u64,
}

impl Socket for TaskSocket {
    async fn ready(&mut self, until: Instant, _: bool) -> io::Result<Woken> {
        let ready = poll_fn(|context| {
            let mut ready: Poll<io::Result<()>> = Poll::Pending;
            if self.reads || !self.writes {
                ready = self.tcp.poll_readable(context);
            }
            if self.writes && ready.is_pending() {
                ready = self.tcp.poll_writable(context);
            }
            ready
        });
        let woken = before(until, ready).await;
        (self.reads, self.writes) = (false, false);
        match woken {
            Some(ready) => ready.map(|()| Woken::Ready),
            None => Ok(Woken::Late),
        }
    }

    fn received(&self) -> u64 {
        self.received
    }

    fn sent(&self) -> u64 {
        self.sent
    }
}

impl Read for TaskSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = again(|| self.tcp.get_ref().read(buffer));
        self.reads |= would_block(&read);
        self.received += read.as_ref().map_or(0, |read| *read as u64);
        read
    }
}

impl Write for TaskSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = again(|| self.tcp.get_ref().write(bytes));
        self.writes |= would_block(&written);
        self.sent += written.as_ref().map_or(0, |written| *written as u64);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.get_ref().flush()
    }
}

impl Drop for TaskSocket {
    fn drop(&mut self) {
        // Says goodbye at once, whoever still holds the descriptor.
        let _ = self.tcp.get_ref().shutdown(Shutdown::Both);
    }
}

fn would_block(done: &io::Result<usize>) -> bool {
    done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// What the future answers, if it does so by then.
async fn before<T>(until: Instant, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut timer) = (std::pin::pin!(future), Timer::at(until));
    poll_fn(|context: &mut Context<'_>| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Pin::new(&mut timer).poll(context).map(|_| None),
    })
    .await
}

/// A lane as an asynchronous driver wants it.
pub(super) struct Spawned<L>(pub(super) L);

impl<L: Pushes> AsyncPushLane for Spawned<L> {
    fn push<'a>(&'a mut self, push: &'a Push) -> LaneFuture<'a, Result<(), BackendFailure>> {
        Box::pin(self.0.push(push))
    }

    fn idle(&mut self) -> Option<Instant> {
        self.0.idle()
    }

    fn has_new_credentials(&mut self) -> bool {
        self.0.has_new_credentials()
    }
}

impl<L: Pulls> AsyncPullLane for Spawned<L> {
    fn pull<'a>(&'a mut self, pull: &'a Pull) -> LaneFuture<'a, Result<Page, BackendFailure>> {
        Box::pin(self.0.pull(pull))
    }

    fn has_new_credentials(&mut self) -> bool {
        self.0.has_new_credentials()
    }
}
