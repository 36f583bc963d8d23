//! A connection's bytes, encrypted or not. A peer that takes nothing of what is sent for too long is an error, and one that sends without
//! end lets others have their turn.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_io::{Async, Timer};
use futures_lite::{AsyncRead, AsyncWrite};
use futures_rustls::server::TlsStream;

use super::room::Share;

/// Reads in a row before others have their turn: whoever sends faster than what he sends is handled would never let them.
const READS_A_TURN: u32 = 4;

/// What a connection is made of.
pub(super) struct Stream {
    io: Io,
    /// Reads in a row that did not have to wait.
    reads: u32,
    /// What was read and not dealt with.
    share: Option<Share>,
    /// How many bytes have come in.
    received: u64,
    /// How long nothing may be taken.
    patience: Duration,
    /// Runs while something waits to be taken.
    runs_out: Option<Timer>,
}

enum Io {
    Plain(Async<TcpStream>),
    Tls(Box<TlsStream<Async<TcpStream>>>),
}

impl Stream {
    pub(super) fn plain(stream: Async<TcpStream>, patience: Duration) -> Self {
        Self::over(Io::Plain(stream), patience)
    }

    pub(super) fn tls(stream: TlsStream<Async<TcpStream>>, patience: Duration) -> Self {
        Self::over(Io::Tls(Box::new(stream)), patience)
    }

    fn over(io: Io, patience: Duration) -> Self {
        Self { io, reads: 0, share: None, received: 0, patience, runs_out: None }
    }

    /// What is read takes room of this share from now on.
    pub(super) fn with(self, share: Share) -> Self {
        Self { share: Some(share), ..self }
    }

    /// All that was read has been dealt with.
    pub(super) fn is_dealt_with(&self) {
        if let Some(share) = &self.share {
            share.give_back();
        }
    }

    /// How many bytes have come in.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    fn within_patience<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut (dyn AsyncWrite + Unpin)>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let io: &mut (dyn AsyncWrite + Unpin) = match &mut self.io {
            Io::Plain(io) => io,
            Io::Tls(io) => &mut **io,
        };
        let written = write(Pin::new(io), cx);
        if written.is_ready() {
            self.runs_out = None;
            return written;
        }
        let patience = self.patience;
        let timer = self.runs_out.get_or_insert_with(|| Timer::after(patience));
        match Pin::new(timer).poll(cx) {
            Poll::Ready(_) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of what is sent")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.reads >= READS_A_TURN {
            self.reads = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Io::Tls(io) => Pin::new(io).poll_read(cx, buf),
        };
        self.reads = if read.is_ready() { self.reads + 1 } else { 0 };
        if let Poll::Ready(Ok(read)) = read {
            self.received += read as u64;
            if self.share.as_ref().is_some_and(|share| !share.take(read)) {
                return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
            }
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.within_patience(cx, |io, cx| io.poll_write(cx, buf))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.within_patience(cx, |io, cx| io.poll_write_vectored(cx, bufs))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.within_patience(cx, |io, cx| io.poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.within_patience(cx, |io, cx| io.poll_close(cx))
    }
}
