//! One WebSocket: frames in, calls carried out one after another, and what pulls have to say in between.
//!
//! A message is handled to its end before the next one is read, so a client can have no more under way than one call and its
//! pulls, and who sends faster than the log takes is slowed down by TCP.

use std::borrow::Cow;
use std::net::SocketAddr;

use async_io::Timer;
use async_tungstenite::WebSocketStream;
use countersign_core::BackendFailure;
use futures_lite::StreamExt as _;
use futures_lite::future::{or, ready, yield_now};
use hyper::body::Bytes;
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error as WsError, Message};

use super::super::patience::within;
use super::FAREWELL;
use super::door::NO_ROOM;
use super::pull::{Pull, Said};
use super::push::{OutOfOrder, die, ended, may_not, push};
use super::stream::Stream;
use super::visitor::Visitor;
use super::work::decoded;
use crate::livestore::protocol::{
    Call, Cause, ClientMessage, Dialect, Exit, Request, RequestId, SuccessValue, defect, exit, pong,
};

/// What is read at once: an idle connection holds a buffer of this size.
const READ_BYTES: usize = 4096;
/// Messages are sent in frames of this size: the library keeps a buffer as large as the largest frame.
const FRAME_BYTES: usize = 16 * 1024;
/// Messages of one frame before others have their turn.
const MESSAGES_A_TURN: usize = 32;
/// So much of a message has to arrive between two looks: less is no sign of life.
const PROGRESS: u64 = 16 << 10;
/// Unreadable messages in a row before the connection is closed.
const UNREADABLE: u32 = 16;
/// A close frame has room for 123 bytes.
const REASON_BYTES: usize = 123;

/// Serves a client until it goes, or has to. `read` is what was read ahead.
pub(super) async fn run(stream: Stream, read: Vec<u8>, visitor: Visitor, peer: SocketAddr) {
    let limit = Some(visitor.host.limits.message_bytes);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_message_size(limit)
        .max_frame_size(limit);
    let ws = WebSocketStream::from_partially_read(stream.with(visitor.host.room.share()), read, Role::Server, Some(config)).await;
    let edition = visitor.log.published().1;
    let timer = Timer::interval(visitor.host.limits.silence);
    let host = visitor.host.clone();
    host.metrics.sockets.up();
    let mut socket = Socket {
        ws,
        visitor,
        pulls: Vec::new(),
        timer,
        is_silent: false,
        was_pinged: false,
        unreadable: 0,
        received: 0,
        edition,
    };
    let goodbye = match socket.serve().await {
        Ok(never) => match never {},
        Err(goodbye) => goodbye,
    };
    tracing::debug!(%peer, store = %socket.visitor.store_id, ?goodbye, "a WebSocket ends");
    (0..socket.pulls.len()).for_each(|_| host.metrics.pulls.down());
    match goodbye {
        Goodbye::Gone => {}
        Goodbye::Closed => hear_out(&mut socket.ws).await,
        Goodbye::Close(code, reason) => farewell(socket.ws, code, reason).await,
    }
    host.metrics.sockets.down();
}

/// Why a connection ends.
#[derive(Debug)]
enum Goodbye {
    /// The client has gone, or can't be reached.
    Gone,
    /// The client has said that it goes.
    Closed,
    /// It is told why.
    Close(CloseCode, Cow<'static, str>),
}

enum Never {}

/// A connection at work.
struct Socket {
    ws: WebSocketStream<Stream>,
    visitor: Visitor,
    pulls: Vec<Pull>,
    timer: Timer,
    /// Whether nothing was heard since the timer went last.
    is_silent: bool,
    was_pinged: bool,
    unreadable: u32,
    /// How many bytes had come when the timer went last.
    received: u64,
    /// The log's edition when the connection began.
    edition: u64,
}

enum Wake {
    Frame(Option<Result<Message, WsError>>),
    News,
    Tick,
}

impl Socket {
    async fn serve(&mut self) -> Result<Never, Goodbye> {
        loop {
            // In this order: what is said after the look is heard by the wait.
            let listener = self.visitor.log.listen();
            self.look_around()?;
            let has_more = self.pump().await?;
            let frame = async { Wake::Frame(self.ws.next().await) };
            let wake = if has_more {
                // Others have their turn, and what has arrived is read, before the next page.
                yield_now().await;
                or(frame, ready(Wake::News)).await
            } else {
                let news = async {
                    listener.await;
                    Wake::News
                };
                let tick = async {
                    self.timer.next().await;
                    Wake::Tick
                };
                or(frame, or(news, tick)).await
            };
            match wake {
                Wake::Frame(frame) => {
                    self.is_silent = false;
                    self.was_pinged = false;
                    self.frame(frame).await?;
                    self.ws.get_ref().is_dealt_with();
                }
                Wake::News => {}
                Wake::Tick => self.tick().await?,
            }
        }
    }

    /// Whether the connection may go on at all.
    fn look_around(&mut self) -> Result<(), Goodbye> {
        if self.visitor.host.stopping.has_begun() {
            return Err(Goodbye::Close(CloseCode::Away, "the server is being stopped; connect again later".into()));
        }
        if self.visitor.log.published().1 != self.edition {
            return Err(Goodbye::Close(
                CloseCode::Restart,
                "another log has taken the place of this store's; connect again".into(),
            ));
        }
        self.visitor.check().map_err(|denied| {
            self.visitor.host.metrics.refusals.denied.add(1);
            Goodbye::Close(CloseCode::Policy, denied.to_string().into())
        })
    }

    /// Lets every pull say one thing. Answers whether one may have more to say.
    async fn pump(&mut self) -> Result<bool, Goodbye> {
        let mut has_more = false;
        let mut i = 0;
        while i < self.pulls.len() {
            let max_bytes = self.visitor.host.limits.unsent_bytes;
            let pull = &mut self.pulls[i];
            match pull.next(&self.visitor.log, max_bytes).await {
                Ok(Said::Nothing) => i += 1,
                Ok(Said::Chunk(chunk, events)) => {
                    self.visitor.host.metrics.events_sent.add(events);
                    self.send(chunk).await?;
                    has_more = true;
                    i += 1;
                }
                Ok(Said::End) => self.end(i, Exit::Success(SuccessValue::Nothing)).await?,
                Err(failure) => {
                    let ended = self.failed(i, failure)?;
                    self.end(i, ended).await?;
                }
            }
        }
        Ok(has_more)
    }

    fn failed(&self, i: usize, failure: BackendFailure) -> Result<Exit, Goodbye> {
        let received = self.pulls[i].expected.as_ref();
        ended(&self.visitor, failure, received, 0).map_err(|OutOfOrder| out_of_order())
    }

    async fn end(&mut self, i: usize, how: Exit) -> Result<(), Goodbye> {
        let pull = self.pulls.remove(i);
        self.visitor.host.metrics.pulls.down();
        self.send(exit(&pull.id, &how, pull.dialect())).await
    }

    async fn frame(&mut self, frame: Option<Result<Message, WsError>>) -> Result<(), Goodbye> {
        let frame = match frame {
            None => return Err(Goodbye::Gone),
            Some(Err(error)) => return Err(self.broken(&error)),
            Some(Ok(frame)) => frame,
        };
        let bytes: Bytes = match frame {
            Message::Text(text) => text.into(),
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return Err(Goodbye::Closed),
            // Answered by the library.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(()),
        };
        let messages = match decoded(bytes).await {
            Ok(messages) => messages,
            Err(error) => return self.unreadable(&format!("SyntaxError: {error}")).await,
        };
        for (i, message) in messages.into_iter().enumerate() {
            if i % MESSAGES_A_TURN == MESSAGES_A_TURN - 1 {
                yield_now().await;
            }
            self.look_around()?;
            self.message(message).await?;
        }
        Ok(())
    }

    /// What is wrong with a message that can't be answered by name.
    async fn unreadable(&mut self, what: &str) -> Result<(), Goodbye> {
        self.unreadable += 1;
        if self.unreadable >= UNREADABLE {
            self.visitor.host.metrics.refusals.malformed.add(1);
            return Err(Goodbye::Close(CloseCode::Policy, "too many messages in a row that can't be read".into()));
        }
        self.send(defect(what)).await
    }

    async fn message(&mut self, message: ClientMessage) -> Result<(), Goodbye> {
        if !matches!(message, ClientMessage::Unknown { .. }) {
            self.unreadable = 0;
        }
        match message {
            ClientMessage::Ping => self.send(pong()).await,
            ClientMessage::Request(Request { id, call }) => self.call(id, call.map_err(|error| error.to_string())).await,
            ClientMessage::Ack { request } => {
                self.pulls.iter_mut().filter(|pull| pull.id == request).for_each(Pull::acknowledged);
                Ok(())
            }
            ClientMessage::Interrupt { request } => match self.pulls.iter().position(|pull| pull.id == request) {
                Some(i) => self.end(i, Exit::Failure(vec![Cause::Interrupt])).await,
                None => Ok(()),
            },
            ClientMessage::Eof => {
                while !self.pulls.is_empty() {
                    self.end(0, Exit::Failure(vec![Cause::Interrupt])).await?;
                }
                Err(Goodbye::Close(CloseCode::Normal, "".into()))
            }
            ClientMessage::Unknown { tag } => self.unreadable(&format!("Unknown request tag: {tag}")).await,
        }
    }

    async fn call(&mut self, id: RequestId, call: Result<Call, String>) -> Result<(), Goodbye> {
        let dialect = Dialect::of(&id);
        let pulls = self.visitor.host.limits.pulls;
        let ended = match call {
            Err(error) => die(error),
            _ if self.pulls.iter().any(|pull| pull.id == id) => {
                return self.unreadable(&format!("request {id} is still under way: each needs an id of its own")).await;
            }
            Ok(Call::Pull(_)) if !self.visitor.grant.read => may_not("read", &self.visitor),
            Ok(Call::Pull(_)) if self.pulls.len() >= pulls => {
                die(format!("a connection may have {pulls} pulls under way: interrupt one"))
            }
            Ok(Call::Pull(call)) => {
                // Its first page is sent before the next frame is read.
                self.pulls.push(Pull::new(id, call));
                self.visitor.host.metrics.pulls.up();
                return Ok(());
            }
            Ok(Call::Push(call)) => {
                let ended = push(&self.visitor, call, dialect).await.map_err(|OutOfOrder| out_of_order())?;
                // Whoever pulls here gets the events before the answer: LiveStore's clients expect it so.
                self.pump().await?;
                ended
            }
            Ok(Call::Ping) => Exit::Success(SuccessValue::Pong),
            Ok(Call::Unknown { tag }) => match dialect {
                Dialect::Tree => return self.send(defect(&format!("Unknown request tag: {tag}"))).await,
                Dialect::List => die(format!("Unknown request tag: {tag}")),
            },
        };
        self.send(exit(&id, &ended, dialect)).await
    }

    async fn tick(&mut self) -> Result<(), Goodbye> {
        let received = self.ws.get_ref().received();
        if received - self.received >= PROGRESS {
            (self.is_silent, self.was_pinged) = (false, false);
        }
        self.received = received;
        if self.is_silent && self.was_pinged {
            self.visitor.host.metrics.refusals.silent.add(1);
            return Err(Goodbye::Close(CloseCode::Away, "nothing was heard from the client for too long".into()));
        }
        if self.is_silent {
            self.was_pinged = true;
            self.send_message(Message::Ping(Bytes::new())).await?;
        }
        self.is_silent = true;
        Ok(())
    }

    async fn send(&mut self, text: String) -> Result<(), Goodbye> {
        self.visitor.host.metrics.bytes_sent.add(text.len());
        if text.len() <= FRAME_BYTES {
            return self.send_message(Message::text(text)).await;
        }
        let text = Bytes::from(text);
        let mut from = 0;
        while from < text.len() {
            let to = text.len().min(from + FRAME_BYTES);
            let data = if from == 0 { Data::Text } else { Data::Continue };
            let frame = Frame::message(text.slice(from..to), OpCode::Data(data), to == text.len());
            self.send_message(Message::Frame(frame)).await?;
            from = to;
        }
        Ok(())
    }

    async fn send_message(&mut self, message: Message) -> Result<(), Goodbye> {
        self.ws.send(message).await.map_err(|error| self.broken(&error))
    }

    fn broken(&self, error: &WsError) -> Goodbye {
        let refusals = &self.visitor.host.metrics.refusals;
        let close = |code, reason: String| Goodbye::Close(code, reason.into());
        match error {
            WsError::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                refusals.slow.add(1);
                tracing::warn!(store = %self.visitor.store_id, "a client takes nothing of what is sent, and is cut off");
                Goodbye::Gone
            }
            WsError::Io(error) if error.kind() == std::io::ErrorKind::OutOfMemory => {
                refusals.no_room.add(1);
                close(CloseCode::Again, NO_ROOM.to_owned())
            }
            WsError::Capacity(CapacityError::MessageTooLong { max_size, .. }) => {
                refusals.too_large.add(1);
                close(CloseCode::Size, format!("a message may have {max_size} bytes: send fewer events at once"))
            }
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Goodbye::Gone,
            WsError::Protocol(error) => {
                refusals.malformed.add(1);
                close(CloseCode::Protocol, error.to_string())
            }
            WsError::Utf8(_) => {
                refusals.malformed.add(1);
                close(CloseCode::Invalid, "a text message is not in UTF-8".to_owned())
            }
            _ => Goodbye::Gone,
        }
    }
}

fn out_of_order() -> Goodbye {
    Goodbye::Close(CloseCode::Again, OutOfOrder::MESSAGE.into())
}

/// Says why, and waits a moment for the client to have heard it.
async fn farewell(mut ws: WebSocketStream<Stream>, code: CloseCode, reason: Cow<'static, str>) {
    let end = (0..=REASON_BYTES.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    let frame = CloseFrame { code, reason: reason[..end].into() };
    let _ = within(FAREWELL, ws.close(Some(frame))).await;
    // Closing with something unread would take the reason back.
    hear_out(&mut ws).await;
}

/// Reads what still comes, for a moment, and so lets the library answer a close frame.
async fn hear_out(ws: &mut WebSocketStream<Stream>) {
    within(FAREWELL, async { while let Some(Ok(_)) = ws.next().await {} }).await;
}
