//! Lanes that block the thread they are called on.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

use countersign_core::{BackendFailure, Page, Pull, Push};

use super::interrupt::Interrupt;
use super::net::{Net, Pulls, Pushes, Woken};
use super::socket::ThreadSocket;
use crate::backend::{Interrupter, PullLane, PushLane, interrupted};

/// Waits by blocking. What waits is ended by the interrupt.
#[derive(Clone, Default)]
pub(super) struct Threads {
    interrupt: Arc<Interrupt>,
}

impl Net for Threads {
    type Socket = ThreadSocket;

    async fn connect(&self, to: SocketAddr, until: Instant) -> io::Result<ThreadSocket> {
        ThreadSocket::connect(to, self.interrupt.clone(), until)
    }

    /// Looking a name up can't be interrupted: it is left to a thread that ends when the system has given up.
    async fn resolve(&self, host: String, port: u16, until: Instant) -> io::Result<Vec<SocketAddr>> {
        let (answer, answered) = mpsc::channel();
        let bell = self.interrupt.clone();
        let look_up = move || {
            if answer.send((host.as_str(), port).to_socket_addrs().map(Iterator::collect)).is_ok() {
                bell.nudge();
            }
        };
        thread::Builder::new().name("countersign-resolve".to_owned()).spawn(look_up)?;
        self.interrupt.wait_for(until, || answered.try_recv().ok()).unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn sleep(&self, until: Instant) -> Woken {
        let _: Option<()> = self.interrupt.wait_for(until, || None);
        if self.interrupt.is_raised() { Woken::Interrupted } else { Woken::Late }
    }
}

/// A lane as the blocking driver wants it.
pub(super) struct Blocking<L> {
    lane: L,
    interrupt: Arc<Interrupt>,
}

impl<L> Blocking<L> {
    pub(super) fn new(lane: impl FnOnce(Threads) -> L) -> Self {
        let net = Threads::default();
        let interrupt = net.interrupt.clone();
        Self { lane: lane(net), interrupt }
    }
}

// A push is not interrupted, only timed.
impl<L: Pushes> PushLane for Blocking<L> {
    fn push(&mut self, push: &Push) -> Result<(), BackendFailure> {
        at_once(self.lane.push(push))
    }

    fn idle(&mut self) -> Option<Instant> {
        self.lane.idle()
    }

    fn has_new_credentials(&mut self) -> bool {
        self.lane.has_new_credentials()
    }
}

impl<L: Pulls> PullLane for Blocking<L> {
    fn pull(&mut self, pull: &Pull) -> Result<Page, BackendFailure> {
        let result = if self.interrupt.is_raised() { Err(interrupted()) } else { at_once(self.lane.pull(pull)) };
        let was_interrupted = self.interrupt.is_raised();
        // An interruption that came during this pull was meant for it, however it has ended.
        self.interrupt.clear();
        if was_interrupted && result.is_err() { Err(interrupted()) } else { result }
    }

    fn interrupter(&self) -> Interrupter {
        let interrupt = self.interrupt.clone();
        Interrupter::new(move || interrupt.raise())
    }

    fn has_new_credentials(&mut self) -> bool {
        self.lane.has_new_credentials()
    }
}

/// The answer of a future that never waits but by blocking.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        // Each future of `Threads` and of its sockets is over with its first poll, and a lane waits for nothing else.
        Poll::Pending => unreachable!("a lane that blocks was left waiting"),
    }
}
