//! An open WebSocket.

use std::io;
use std::time::{Duration, Instant};

use countersign_core::BackendFailure;
use http::header::LOCATION;
use tungstenite::client::{IntoClientRequest as _, client_with_config};
use tungstenite::error::ProtocolError;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use super::super::client::{of_status, unreachable};
use super::dial::dial;
use super::net::{Net, Socket, Woken};
use super::request::no_http;
use super::settings::{Credentials, Settings};
use super::stream::Stream;

/// A page is at most 900 000 bytes by LiveStore's rules; whoever sends far more is no sync server.
const MESSAGE_MAX: usize = 16 << 20;
const BUFFER: usize = 16 << 10;

pub(super) struct Link<S: Socket> {
    socket: WebSocket<Stream<S>>,
}

/// What a link has to say.
pub(super) enum Heard {
    /// A message.
    Message(Vec<u8>),
    /// Nothing by the deadline.
    Nothing,
    /// Nothing: the wait was interrupted.
    Interrupted,
}

impl<S: Socket> Link<S> {
    /// Dials and upgrades. Whatever goes wrong here, nothing has been sent that a backend would carry out.
    ///
    /// # Errors
    ///
    /// `NeedsAuth` if the server refuses the credentials, else `Unreachable`.
    pub(super) async fn open<N: Net<Socket = S>>(
        net: &N,
        settings: &Settings,
        with: &Credentials,
    ) -> Result<Self, BackendFailure> {
        let hidden = settings.secrets(with);
        let failed = |what: String| unreachable(format!("{}: {}", settings.address, hidden.hide(&what)), false);
        let until = Instant::now() + settings.timeouts.dial;
        let url = settings.address.url(&settings.store_id, with.0.as_ref()).map_err(|error| failed(error.to_string()))?;
        // The error could hold the URL, and the URL holds the payload.
        let mut request =
            url.into_client_request().map_err(|_| failed("the address can't be asked for an upgrade".to_owned()))?;
        request.headers_mut().extend(settings.headers.clone());

        let stream = dial(net, settings, until).await.map_err(failed)?;
        let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
        let mut handshake = client_with_config(request, stream, Some(config.read_buffer_size(BUFFER).write_buffer_size(0)));
        loop {
            handshake = match handshake {
                Ok((socket, _)) => return Ok(Self { socket }),
                Err(HandshakeError::Interrupted(mut half)) => {
                    let ready = half.get_mut().get_mut().socket().ready(until, true).await;
                    match ready.map_err(|error| failed(error.to_string()))? {
                        Woken::Ready => half.handshake(),
                        Woken::Late => return Err(failed("the server does not answer the upgrade".to_owned())),
                        Woken::Interrupted => return Err(failed("interrupted".to_owned())),
                    }
                }
                Err(HandshakeError::Failure(Error::Http(response))) => {
                    let said = match response.headers().get(LOCATION).filter(|_| response.status().is_redirection()) {
                        Some(location) => Some(location.as_bytes()),
                        None => response.body().as_deref(),
                    };
                    let body = said.map(String::from_utf8_lossy).unwrap_or_default();
                    return Err(of_status(response.status().as_u16(), &hidden.hide(&body), false));
                }
                Err(HandshakeError::Failure(Error::Io(error))) => return Err(failed(format!("no connection: {error}"))),
                Err(HandshakeError::Failure(Error::Protocol(ProtocolError::HttparseError(error)))) => {
                    return Err(failed(format!("the server did not upgrade: {}", no_http(&error))));
                }
                Err(HandshakeError::Failure(error)) => return Err(failed(format!("the server did not upgrade: {error}"))),
            };
        }
    }

    /// Sends a message whole, whoever interrupts, as long as the peer takes some of it within each `patience`. If the future is dropped, the rest of the message goes out before whatever is sent next.
    ///
    /// # Errors
    ///
    /// If it may not have been sent. The connection is of no more use.
    pub(super) async fn send(&mut self, text: String, patience: Duration) -> Result<(), String> {
        let mut sent = self.socket.send(Message::text(text));
        let (mut taken, mut until) = (self.socket.get_mut().socket().sent(), Instant::now() + patience);
        loop {
            match sent {
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.ready(until, false).await? == Woken::Late {
                        return Err("the server takes no more bytes".to_owned());
                    }
                    // A slow line is no dead one.
                    let now_taken = self.socket.get_mut().socket().sent();
                    if now_taken > taken {
                        (taken, until) = (now_taken, Instant::now() + patience);
                    }
                }
                sent => return sent.map_err(|error| said(&error)),
            }
            sent = self.socket.flush();
        }
    }

    /// The next message; nothing at the deadline, or when interrupted. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// If the connection is over.
    pub(super) async fn read(&mut self, until: Instant) -> Result<Heard, String> {
        loop {
            match self.socket.read() {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => return Ok(Heard::Message(message.into_data().into())),
                Ok(Message::Close(frame)) => {
                    let reason = frame.filter(|frame| !frame.reason.is_empty()).map(|frame| format!(": {}", frame.reason));
                    return Err(format!("the server closed the connection{}", reason.unwrap_or_default()));
                }
                // Pings are answered by the library, with the next read. Whoever sends nothing else says nothing.
                Ok(_) if Instant::now() >= until => return Ok(Heard::Nothing),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => match self.ready(until, true).await? {
                    Woken::Ready => {}
                    Woken::Late => return Ok(Heard::Nothing),
                    Woken::Interrupted => return Ok(Heard::Interrupted),
                },
                Err(error) => return Err(said(&error)),
            }
        }
    }

    /// Whether nobody has hung up, as far as can be seen without waiting. What the peer has said meanwhile is of no more interest.
    pub(super) fn stands(&mut self) -> bool {
        loop {
            match self.socket.read() {
                Ok(Message::Close(_)) => return false,
                Ok(_) => {}
                Err(Error::Io(error)) => return error.kind() == io::ErrorKind::WouldBlock,
                Err(_) => return false,
            }
        }
    }

    /// How many bytes have come in: a sign of life before there is a whole message.
    pub(super) fn received(&mut self) -> u64 {
        self.socket.get_mut().socket().received()
    }

    /// Says goodbye, as far as that is possible without waiting.
    pub(super) fn hang_up(mut self) {
        let _ = self.socket.close(None);
        let _ = self.socket.flush();
    }

    async fn ready(&mut self, until: Instant, heeds: bool) -> Result<Woken, String> {
        self.socket.get_mut().socket().ready(until, heeds).await.map_err(|error| error.to_string())
    }
}

const CUT: &str = "the connection was cut";

fn said(error: &Error) -> String {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => "the connection is closed".to_owned(),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => CUT.to_owned(),
        Error::Io(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            CUT.to_owned()
        }
        error => format!("the connection broke: {error}"),
    }
}
