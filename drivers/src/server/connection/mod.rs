//! Connections: accepted, counted, decrypted, and handed from HTTP to a WebSocket where the client wants one.

mod body;
mod door;
mod gate;
mod poll;
mod pull;
mod push;
mod room;
mod socket;
mod stream;
mod visitor;
mod work;

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use async_executor::LocalExecutor;
use async_io::{Async, Timer};
use futures_lite::future::{FutureExt as _, or};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use smol_hyper::rt::{FuturesIo, SmolTimer};

pub(super) use gate::Gate;
pub(super) use room::Room;

use self::body::Answer;
use self::door::{Seat, answer, turn_away};
use self::gate::{Full, Place};
use self::stream::Stream;
use super::host::Host;
use super::patience::within;

/// How long nothing is accepted after the system would not: it is out of something that others have to give back.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// Connections beyond the limits that are told so at the same time; others are closed without a word.
const TURNED_AWAY: usize = 64;
/// For one of those.
const TURN_AWAY_WITHIN: Duration = Duration::from_secs(5);
/// How long a client may go on sending what nobody reads any more, or take to answer a close frame.
const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes of the header of a request, and of what is read ahead of its body. The header holds the sync payload.
const HEADER_BYTES: usize = 16 * 1024;

/// Accepts connections, for ever.
pub(super) async fn accept(host: Arc<Host>, executor: Weak<LocalExecutor<'static>>, listener: Async<TcpListener>) {
    let away = Rc::new(());
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_the_connection(&error) {
                    tracing::error!(%error, "can't accept a connection; allow more open files, or lower the limit on connections");
                    Timer::after(PAUSE).await;
                }
                continue;
            }
        };
        host.metrics.accepted.add(1);
        let Some(executor) = executor.upgrade() else { return };
        let host = host.clone();
        match host.gate.enter(peer.ip(), &host.limits, &host.metrics) {
            Ok(place) => executor.spawn(guarded(serve(host, stream, peer, place), peer)).detach(),
            Err(full) => {
                let refusals = &host.metrics.refusals;
                if full == Full::InAll { &refusals.connections } else { &refusals.per_address }.add(1);
                tracing::debug!(%peer, reason = %full, "turned a connection away");
                if Rc::strong_count(&away) <= TURNED_AWAY {
                    let away = away.clone();
                    let told = async move {
                        let _away = away;
                        within(TURN_AWAY_WITHIN, tell(host, stream, full)).await;
                    };
                    executor.spawn(told).detach();
                }
            }
        }
    }
}

/// A fault in what serves one connection is the end of that connection, and of no other.
async fn guarded(serving: impl Future<Output = ()>, peer: SocketAddr) {
    if AssertUnwindSafe(serving).catch_unwind().await.is_err() {
        tracing::error!(%peer, "serving a connection has panicked, which is a fault in the server: the connection is closed");
    }
}

/// Errors that say something of one connection, which is gone.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused | Kind::Interrupted)
}

async fn serve(host: Arc<Host>, stream: Async<TcpStream>, peer: SocketAddr, place: Place) {
    tracing::debug!(%peer, "connected");
    // Boxed, so that what a request needs is given back before a WebSocket begins its long life.
    if let Some((stream, read, visitor)) = Box::pin(requests(&host, stream, peer)).await {
        drop(host);
        socket::run(stream, read, visitor, peer).await;
    }
    tracing::debug!(%peer, "gone");
    drop(place);
}

/// Answers requests until there are no more, or one wants a WebSocket.
async fn requests(host: &Arc<Host>, stream: Async<TcpStream>, peer: SocketAddr) -> Option<(Stream, Vec<u8>, visitor::Visitor)> {
    let stream = decrypt(host, stream, peer).await?;
    let seat = Rc::new(RefCell::new(None::<Seat>));
    let service = service_fn(|request: Request<Incoming>| {
        let (host, seat) = (host.clone(), seat.clone());
        async move { Ok::<_, Infallible>(answer(host, request, &seat).await) }
    });
    {
        let mut connection = pin!(http(host.limits.handshake).serve_connection(FuturesIo::new(stream), service).with_upgrades());
        let stopped = async {
            host.stopping.heard().await;
            None
        };
        let ended = match or(async { Some(connection.as_mut().await) }, stopped).await {
            Some(ended) => ended,
            None => {
                // What was asked is still answered.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            host.metrics.refusals.malformed.add(usize::from(error.is_parse()));
            host.metrics.refusals.silent.add(usize::from(error.is_timeout()));
            tracing::debug!(%peer, %error, "an HTTP connection has ended");
        }
    }
    let Seat { upgrade, visitor } = seat.take()?;
    let upgraded = upgrade.await.ok()?.downcast::<FuturesIo<Stream>>().ok()?;
    // A copy: it would keep all of the buffer that it was read into.
    Some((upgraded.io.into_inner(), upgraded.read_buf.to_vec(), visitor))
}

fn http(header_within: Duration) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(SmolTimer::new()).header_read_timeout(header_within).max_buf_size(HEADER_BYTES);
    http
}

async fn decrypt(host: &Host, stream: Async<TcpStream>, peer: SocketAddr) -> Option<Stream> {
    // Without it an answer of several parts waits for the client's acknowledgement of the first.
    let _ = stream.get_ref().set_nodelay(true);
    let patience = host.limits.transfer;
    let Some(tls) = &host.tls else { return Some(Stream::plain(stream, patience)) };
    let accepted = within(host.limits.handshake, tls.accept(stream)).await;
    match accepted.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => Some(Stream::tls(stream, patience)),
        Err(error) => {
            host.metrics.refusals.tls.add(1);
            tracing::debug!(%peer, %error, "no TLS connection has come about");
            None
        }
    }
}

/// Answers any request with why there is no place for it.
async fn tell(host: Arc<Host>, stream: Async<TcpStream>, full: Full) {
    let Ok(peer) = stream.get_ref().peer_addr() else { return };
    let Some(stream) = decrypt(&host, stream, peer).await else { return };
    let service = service_fn(|_: Request<Incoming>| async move { Ok::<Response<Answer>, Infallible>(turn_away(full)) });
    let mut http = http(TURN_AWAY_WITHIN);
    let _ = http.keep_alive(false).serve_connection(FuturesIo::new(stream), service).await;
}
