//! An open WebSocket.

use std::io::{self, Read, Write};
use std::time::Instant;

use rustls::{ClientConnection, StreamOwned};
use tungstenite::{Error, Message, WebSocket};

use super::socket::Socket;

/// The bytes of a connection, encrypted or not.
pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Stream {
    fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &mut tls.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

pub(super) struct Link {
    socket: WebSocket<Stream>,
}

impl Link {
    pub(super) fn new(socket: WebSocket<Stream>) -> Self {
        Self { socket }
    }

    /// Sends a message whole, whoever interrupts.
    ///
    /// # Errors
    ///
    /// If it may not have been sent. The connection is of no more use.
    pub(super) fn send(&mut self, text: String, until: Instant) -> Result<(), String> {
        self.socket.get_mut().socket().until(until, false);
        self.socket.send(Message::text(text)).map_err(|error| match error {
            Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock => "the server takes no more bytes".to_owned(),
            error => said(&error),
        })
    }

    /// The next message; nothing at the deadline, or when interrupted.
    ///
    /// # Errors
    ///
    /// If the connection is over.
    pub(super) fn read(&mut self, until: Instant) -> Result<Option<Vec<u8>>, String> {
        self.socket.get_mut().socket().until(until, true);
        loop {
            match self.socket.read() {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => return Ok(Some(message.into_data().into())),
                Ok(Message::Close(frame)) => {
                    let reason = frame.filter(|frame| !frame.reason.is_empty()).map(|frame| format!(": {}", frame.reason));
                    return Err(format!("the server closed the connection{}", reason.unwrap_or_default()));
                }
                // Pings are answered by the library, with the next read.
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(said(&error)),
            }
        }
    }

    /// How many bytes have come in: a sign of life before there is a whole message.
    pub(super) fn received(&mut self) -> u64 {
        self.socket.get_mut().socket().received
    }

    /// Says goodbye, as far as that is possible without waiting.
    pub(super) fn hang_up(mut self) {
        self.socket.get_mut().socket().until(Instant::now(), false);
        let _ = self.socket.close(None);
        let _ = self.socket.flush();
    }
}

fn said(error: &Error) -> String {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => "the connection is closed".to_owned(),
        Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => "the server cut the connection".to_owned(),
        error => format!("the connection broke: {error}"),
    }
}
