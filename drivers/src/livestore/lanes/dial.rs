//! From an address to an open WebSocket, within one deadline.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use countersign_core::BackendFailure;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use tungstenite::client::{IntoClientRequest as _, client_with_config};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, HandshakeError};

use super::super::client::{of_status, unreachable};
use super::interrupt::Interrupt;
use super::link::{Link, Stream};
use super::settings::{Credentials, Settings};
use super::socket::{Socket, Waiter};

/// A page is at most 900 000 bytes by LiveStore's rules; whoever sends far more is no sync server.
const MESSAGE_MAX: usize = 16 << 20;
const BUFFER: usize = 16 << 10;

/// Dials. Whatever goes wrong here, nothing has been sent that a backend would carry out.
///
/// # Errors
///
/// `NeedsAuth` if the server refuses the credentials, else `Unreachable`.
pub(super) fn dial(settings: &Settings, with: &Credentials, interrupt: &Arc<Interrupt>) -> Result<Link, BackendFailure> {
    let hidden = settings.secrets(with);
    let failed = |what: String| unreachable(format!("{}: {}", settings.address, hidden.hide(&what)), false);
    let until = Instant::now() + settings.timeouts.dial;
    let url = settings.address.url(&settings.store_id, with.0.as_ref()).map_err(|error| failed(error.to_string()))?;
    // The error could hold the URL, and the URL holds the payload.
    let mut request = url.into_client_request().map_err(|_| failed("the address can't be asked for an upgrade".to_owned()))?;
    request.headers_mut().extend(settings.headers.clone());

    let waiter = Waiter::new(interrupt.clone(), until).map_err(|error| failed(error.to_string()))?;
    let socket = connect(settings, waiter, until).map_err(failed)?;
    let stream = if settings.address.tls { encrypt(settings, socket).map_err(failed)? } else { Stream::Plain(socket) };
    let mut config = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
    config = config.read_buffer_size(BUFFER).write_buffer_size(0);
    match client_with_config(request, stream, Some(config)) {
        Ok((socket, _)) => Ok(Link::new(socket)),
        Err(HandshakeError::Interrupted(_)) => Err(failed(match interrupt.is_raised() {
            true => "interrupted".to_owned(),
            false => "the server does not answer the upgrade".to_owned(),
        })),
        Err(HandshakeError::Failure(Error::Http(response))) => {
            let body = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            Err(of_status(response.status().as_u16(), &hidden.hide(&body), false))
        }
        Err(HandshakeError::Failure(Error::Io(error))) => Err(failed(format!("no connection: {error}"))),
        Err(HandshakeError::Failure(error)) => Err(failed(format!("the server did not upgrade: {error}"))),
    }
}

fn encrypt(settings: &Settings, socket: Socket) -> Result<Stream, String> {
    let name = ServerName::try_from(settings.address.host.clone()).map_err(|error| error.to_string())?;
    let tls = ClientConnection::new(settings.tls.clone(), name).map_err(|error| error.to_string())?;
    Ok(Stream::Tls(Box::new(StreamOwned::new(tls, socket))))
}

/// Tries the addresses of the host one after the other, each with its share of the time.
fn connect(settings: &Settings, mut waiter: Waiter, until: Instant) -> Result<Socket, String> {
    let addresses = resolve(settings, &mut waiter)?;
    let mut last = "its name has no address".to_owned();
    for (i, address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let shares = u32::try_from(addresses.len() - i).unwrap_or(u32::MAX);
        let share = now + until.saturating_duration_since(now) / shares;
        match Socket::connect(*address, share, waiter) {
            Ok(socket) => return Ok(socket),
            Err((error, given_back)) => {
                waiter = given_back;
                last = match error.kind() {
                    io::ErrorKind::WouldBlock => format!("no connection to {address} in time"),
                    _ => format!("no connection to {address}: {error}"),
                };
            }
        }
    }
    Err(last)
}

/// Looking a name up can't be interrupted: it is left to a thread that ends when the system has given up.
fn resolve(settings: &Settings, waiter: &mut Waiter) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = (settings.address.host.clone(), settings.address.port);
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let (answer, answered) = mpsc::channel();
    let (waker, name) = (waiter.waker(), host.clone());
    let look_up = move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Iterator::collect);
        if answer.send(found).is_ok() {
            let _ = waker.wake();
        }
    };
    let spawned = thread::Builder::new().name("countersign-resolve".to_owned()).spawn(look_up);
    spawned.map_err(|error| error.to_string())?;
    loop {
        match answered.try_recv() {
            Ok(found) => return found.map_err(|error| format!("the name {host} is not known: {error}")),
            Err(mpsc::TryRecvError::Disconnected) => return Err(format!("the name {host} could not be looked up")),
            Err(mpsc::TryRecvError::Empty) => {
                waiter.wait().map_err(|_| format!("the name {host} could not be looked up in time"))?;
            }
        }
    }
}
