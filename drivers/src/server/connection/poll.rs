//! Calls over HTTP: one request, one answer with all messages of the call.

use std::io;

use countersign_core::BackendFailure;
use futures_lite::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};

use super::super::patience::within;
use super::FAREWELL;
use super::body::Answer;
use super::door::{no_room, out_of_order, text};
use super::pull::{Pull, Said};
use super::push::{OutOfOrder, die, ended, may_not, push};
use super::room::Share;
use super::visitor::Visitor;
use super::work::decoded;
use crate::livestore::protocol::{
    Call, ClientMessage, Dialect, Exit, PullCall, Request as Asked, RequestId, SuccessValue, defect, exit, http_body, pong,
};

/// So much of a body has to arrive within the time that there is for it: less is no progress.
const PROGRESS: usize = 64 << 10;

/// Answers one call.
pub(super) async fn poll(visitor: Visitor, request: Request<Incoming>) -> Response<Answer> {
    visitor.host.metrics.polls.add(1);
    // Until it is answered.
    let share = visitor.host.room.share();
    let body = match read(&visitor, request.into_body(), &share).await {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    let messages = match decoded(body).await.as_deref() {
        Err(error) => vec![defect(&format!("SyntaxError: {error}"))],
        Ok([ClientMessage::Ping]) => vec![pong()],
        Ok([ClientMessage::Request(asked)]) => return call(visitor, asked.clone()).await,
        Ok([ClientMessage::Unknown { tag }]) => vec![defect(&format!("Unknown request tag: {tag}"))],
        Ok(_) => vec![defect("a body holds one request, and nothing else")],
    };
    json(Answer::text(http_body(&messages)))
}

async fn read(visitor: &Visitor, mut body: Incoming, share: &Share) -> Result<Bytes, Box<Response<Answer>>> {
    let (limits, refusals) = (&visitor.host.limits, &visitor.host.metrics.refusals);
    let mut read = Vec::new();
    let why = loop {
        let enough = read.len().saturating_add(PROGRESS);
        match within(limits.transfer, read_to(&mut body, &mut read, enough, limits.message_bytes, share)).await {
            Some(Ok(false)) => {}
            Some(Ok(true)) => return Ok(read.into()),
            Some(Err(why)) => break why,
            None => break Unread::Late,
        }
    };
    drop(read);
    share.give_back();
    let refusal = match why {
        Unread::TooLarge => {
            refusals.too_large.add(1);
            let most = limits.message_bytes;
            text(StatusCode::PAYLOAD_TOO_LARGE, format_args!("a request may have {most} bytes: send fewer events at once"))
        }
        Unread::NoRoom => {
            refusals.no_room.add(1);
            no_room()
        }
        Unread::BrokenOff => return Err(Box::new(text(StatusCode::BAD_REQUEST, "the request has broken off"))),
        Unread::Late => {
            refusals.silent.add(1);
            return Err(Box::new(text(StatusCode::REQUEST_TIMEOUT, "the request took too long to arrive")));
        }
    };
    // Closing with something unread would take the answer back.
    within(FAREWELL, async { while let Some(Ok(_)) = body.frame().await {} }).await;
    Err(Box::new(refusal))
}

/// Why a body is not read.
enum Unread {
    TooLarge,
    NoRoom,
    BrokenOff,
    Late,
}

/// Reads on until there is so much. Answers whether that is all.
async fn read_to(body: &mut Incoming, read: &mut Vec<u8>, enough: usize, most: usize, share: &Share) -> Result<bool, Unread> {
    while read.len() < enough {
        let data = match body.frame().await {
            None => return Ok(true),
            Some(frame) => frame.map_err(|_| Unread::BrokenOff)?.into_data().unwrap_or_default(),
        };
        if data.len() > most.saturating_sub(read.len()) {
            return Err(Unread::TooLarge);
        }
        if !share.take(data.len()) {
            return Err(Unread::NoRoom);
        }
        read.extend_from_slice(&data);
    }
    Ok(false)
}

async fn call(visitor: Visitor, Asked { id, call }: Asked) -> Response<Answer> {
    let dialect = Dialect::of(&id);
    let ended = match call {
        Err(error) => die(error.to_string()),
        Ok(Call::Ping) => Exit::Success(SuccessValue::Pong),
        Ok(Call::Pull(call)) if visitor.grant.read => return pull(visitor, id, call).await,
        Ok(Call::Pull(_)) => may_not("read", &visitor),
        Ok(Call::Push(call)) => match push(&visitor, call, dialect).await {
            Ok(ended) => ended,
            Err(OutOfOrder) => return out_of_order(),
        },
        Ok(Call::Unknown { tag }) => match dialect {
            Dialect::Tree => return json(Answer::text(http_body(&[defect(&format!("Unknown request tag: {tag}"))]))),
            Dialect::List => die(format!("Unknown request tag: {tag}")),
        },
    };
    json(Answer::text(http_body(&[exit(&id, &ended, dialect)])))
}

/// All pages, each read when the former has been taken. The first one decides whether there is an answer at all.
async fn pull(visitor: Visitor, id: RequestId, call: PullCall) -> Response<Answer> {
    let dialect = Dialect::of(&id);
    let expected = call.cursor.as_ref().map(|cursor| cursor.backend_id.clone());
    let mut pull = Pull::new(id.clone(), PullCall { live: false, ..call });
    let first = match next(&visitor, &mut pull).await {
        Ok(first) => first,
        Err(failure) => {
            return match ended(&visitor, failure, expected.as_ref(), 0) {
                Ok(ended) => json(Answer::text(http_body(&[exit(&id, &ended, dialect)]))),
                Err(OutOfOrder) => out_of_order(),
            };
        }
    };
    let pages = Pages { visitor, id, pull, said: Some(first), is_first: true, is_over: false };
    json(Answer::Parts(Box::pin(stream::try_unfold(pages, Pages::next))))
}

/// The messages of a pull, as parts of one JSON array.
struct Pages {
    visitor: Visitor,
    id: RequestId,
    pull: Pull,
    said: Option<Said>,
    is_first: bool,
    is_over: bool,
}

impl Pages {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.is_over {
            return Ok(None);
        }
        let said = match self.said.take() {
            Some(said) => said,
            None => next(&self.visitor, &mut self.pull).await.map_err(|failure| {
                // The array is not closed, and so no answer: the client asks again.
                tracing::error!(store = %self.visitor.store_id, error = ?failure, "a pull over HTTP was broken off");
                io::Error::other(OutOfOrder::MESSAGE)
            })?,
        };
        let part = match said {
            Said::Chunk(chunk, _) => format!("{}{chunk}", if self.is_first { '[' } else { ',' }),
            Said::End | Said::Nothing => {
                self.is_over = true;
                let ended = Exit::Success(SuccessValue::Nothing);
                format!(",{}]", exit(&self.id, &ended, self.pull.dialect()))
            }
        };
        self.is_first = false;
        self.visitor.host.metrics.bytes_sent.add(part.len());
        Ok(Some((part.into(), self)))
    }
}

/// What comes next. Nothing is acknowledged over HTTP: what was taken was.
async fn next(visitor: &Visitor, pull: &mut Pull) -> Result<Said, BackendFailure> {
    pull.acknowledged();
    let said = pull.next(&visitor.log, visitor.host.limits.unsent_bytes).await?;
    if let Said::Chunk(_, events) = &said {
        visitor.host.metrics.events_sent.add(*events);
    }
    Ok(said)
}

fn json(answer: Answer) -> Response<Answer> {
    let mut response = Response::new(answer);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
