//! From an address to an open connection, encrypted if need be, within one deadline.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use rustls::ClientConnection;
use rustls::StreamOwned;
use rustls::pki_types::ServerName;

use super::net::{Net, Socket as _, Woken};
use super::settings::Settings;
use super::stream::Stream;

/// Dials. Whatever goes wrong here, nothing has been sent that a backend would carry out.
///
/// # Errors
///
/// What went wrong, in words.
pub(super) async fn dial<N: Net>(net: &N, settings: &Settings, until: Instant) -> Result<Stream<N::Socket>, String> {
    let socket = connect(net, settings, until).await?;
    if settings.address.tls { encrypt::<N>(settings, socket, until).await } else { Ok(Stream::Plain(socket)) }
}

/// Shakes hands to the end: what is sent afterwards is sent to the server that the certificate is for.
async fn encrypt<N: Net>(settings: &Settings, socket: N::Socket, until: Instant) -> Result<Stream<N::Socket>, String> {
    let name = ServerName::try_from(settings.address.host.clone()).map_err(|error| error.to_string())?;
    let tls = ClientConnection::new(settings.tls.clone(), name).map_err(|error| error.to_string())?;
    let mut stream = StreamOwned::new(tls, socket);
    while stream.conn.is_handshaking() {
        let shaken = stream.conn.complete_io(&mut stream.sock);
        match shaken {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match stream.sock.ready(until, true).await.map_err(|error| error.to_string())? {
                    Woken::Ready => {}
                    Woken::Late => return Err("the server did not finish the TLS handshake in time".to_owned()),
                    Woken::Interrupted => return Err("interrupted".to_owned()),
                }
            }
            Err(error) => return Err(unencrypted(&settings.address.host, &error)),
        }
    }
    Ok(Stream::Tls(Box::new(stream)))
}

/// Why there is no encrypted connection, and what to do.
fn unencrypted(host: &str, error: &io::Error) -> String {
    let why = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match why {
        Some(rustls::Error::InvalidCertificate(why)) => format!(
            "no encrypted connection: the server's certificate is not accepted ({why:?}): it has to be one for {host}, of an authority that is \
             trusted here, or be trusted by name: root certificates can be given"
        ),
        Some(rustls::Error::InvalidMessage(_)) => {
            "no encrypted connection: what answers there does not speak TLS: is this the right port, and has it a certificate? Without \
             encryption it is ws:// or http://"
                .to_owned()
        }
        _ => format!("no encrypted connection: {error}"),
    }
}

/// Tries the addresses of the host one after the other, each with its share of the time.
async fn connect<N: Net>(net: &N, settings: &Settings, until: Instant) -> Result<N::Socket, String> {
    let addresses = resolve(net, settings, until).await?;
    let mut last = "its name has no address".to_owned();
    for (i, address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let shares = u32::try_from(addresses.len() - i).unwrap_or(u32::MAX);
        let share = now + until.saturating_duration_since(now) / shares;
        match net.connect(*address, share).await {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => last = format!("no connection to {address} in time"),
            Err(error) => last = format!("no connection to {address}: {error}"),
        }
    }
    Err(last)
}

async fn resolve<N: Net>(net: &N, settings: &Settings, until: Instant) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = (&settings.address.host, settings.address.port);
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    net.resolve(host.clone(), port, until).await.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => format!("the name {host} could not be looked up in time"),
        _ => format!("the name {host} is not known: {error}"),
    })
}
