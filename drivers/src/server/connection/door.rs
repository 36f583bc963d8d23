//! What a request wants, and whether it may: the query, the token, the store, and how to talk from there on.

use std::cell::RefCell;
use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tungstenite::handshake::derive_accept_key;

use super::super::access::{Credentials, Denied};
use super::super::eventlogs::OpenRefusal;
use super::super::host::Host;
use super::body::Answer;
use super::gate::Full;
use super::poll::poll;
use super::push::OutOfOrder;
use super::visitor::Visitor;
use crate::livestore::protocol::{Query, Transport};

const INFO: &str = "This is a sync server of Countersign. LiveStore's clients and Countersign's find it by this address.\n";
/// What a browser is told once may be asked without asking again for so long, in seconds.
const CORS_AGE: &str = "86400";

/// What is said while there is no room for a message.
pub(super) const NO_ROOM: &str =
    "the server has no room for a message of this size right now; try again later, or send fewer events at once";

/// A client that is about to get its WebSocket.
pub(super) struct Seat {
    pub(super) upgrade: OnUpgrade,
    pub(super) visitor: Visitor,
}

/// Answers a request. If it is to become a WebSocket, the seat is taken.
pub(super) async fn answer(host: Arc<Host>, request: Request<Incoming>, seat: &RefCell<Option<Seat>>) -> Response<Answer> {
    let mut response = match let_in(host, request, seat).await {
        Ok(response) => response,
        Err(refusal) => refusal,
    };
    // Credentials are never taken from cookies: any page may ask, and gets nowhere without a token of its own.
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// The answer where there is no place.
pub(super) fn turn_away(full: Full) -> Response<Answer> {
    let status = if full == Full::InAll { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::TOO_MANY_REQUESTS };
    with(text(status, full), RETRY_AFTER, "10")
}

/// A line of text.
pub(super) fn text(status: StatusCode, what: impl std::fmt::Display) -> Response<Answer> {
    let mut response = Response::new(Answer::text(format!("{what}\n")));
    *response.status_mut() = status;
    with(response, CONTENT_TYPE, "text/plain; charset=utf-8")
}

/// The answer while there is no room for what is sent.
pub(super) fn no_room() -> Response<Answer> {
    with(text(StatusCode::SERVICE_UNAVAILABLE, NO_ROOM), RETRY_AFTER, "5")
}

/// The answer while the log of a store can't be used.
pub(super) fn out_of_order() -> Response<Answer> {
    with(text(StatusCode::SERVICE_UNAVAILABLE, OutOfOrder::MESSAGE), RETRY_AFTER, "5")
}

fn with(mut response: Response<Answer>, name: HeaderName, value: &'static str) -> Response<Answer> {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

async fn let_in(
    host: Arc<Host>,
    mut request: Request<Incoming>,
    seat: &RefCell<Option<Seat>>,
) -> Result<Response<Answer>, Response<Answer>> {
    if request.method() == Method::OPTIONS {
        return Ok(preflight());
    }
    let refusals = &host.metrics.refusals;
    let query = match request.uri().query() {
        Some(query) => query,
        None if request.uri().path() == "/" => return Ok(text(StatusCode::OK, INFO.trim_end())),
        None => {
            return Err(text(
                StatusCode::NOT_FOUND,
                "there is nothing here; a sync request has `storeId` and `transport` in its query",
            ));
        }
    };
    let query = Query::parse(query).map_err(|error| {
        refusals.bad_request.add(1);
        text(StatusCode::BAD_REQUEST, format_args!("no sync request: {error}"))
    })?;
    if host.stopping.has_begun() {
        return Err(with(
            text(StatusCode::SERVICE_UNAVAILABLE, "this server is being stopped; try again later"),
            RETRY_AFTER,
            "1",
        ));
    }
    let token = query.payload.as_ref().and_then(|payload| payload["authToken"].as_str());
    let credentials = Credentials::of(token.or_else(|| bearer(request.headers())));
    let edition = host.access.edition();
    let grant = host.access.grant(&credentials, &query.store_id).map_err(|denied| {
        refusals.denied.add(1);
        tracing::info!(store = %query.store_id, reason = %denied, "denied a client");
        let status = if denied == Denied::NotThisStore { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
        with(text(status, denied), WWW_AUTHENTICATE, "Bearer")
    })?;
    let accept = match query.transport {
        Transport::Ws => Some(upgrade(&request).map_err(|refusal| *refusal)?),
        Transport::Http => None,
    };
    let opened = host.eventlogs.open(&query.store_id, grant.write).await;
    let log = opened.map_err(|refusal| not_open(&host, &query.store_id, &refusal))?;
    let visitor = Visitor::new(host, &query.store_id, log, grant, credentials, edition);
    let Some(accept) = accept else { return Ok(poll(visitor, request).await) };
    let upgrade = hyper::upgrade::on(&mut request);
    *seat.borrow_mut() = Some(Seat { upgrade, visitor });
    Ok(accept)
}

fn not_open(host: &Host, store_id: &str, refusal: &OpenRefusal) -> Response<Answer> {
    match refusal {
        OpenRefusal::StoreId => {
            host.metrics.refusals.bad_request.add(1);
            text(StatusCode::BAD_REQUEST, format_args!("no sync request: {refusal}"))
        }
        OpenRefusal::Missing => text(StatusCode::NOT_FOUND, refusal),
        OpenRefusal::TooMany(_) => {
            host.metrics.refusals.stores.add(1);
            tracing::warn!(store = store_id, reason = %refusal, "made no store");
            text(StatusCode::INSUFFICIENT_STORAGE, refusal)
        }
        OpenRefusal::TooManyOpen(_) => {
            host.metrics.refusals.open_stores.add(1);
            with(text(StatusCode::SERVICE_UNAVAILABLE, refusal), RETRY_AFTER, "10")
        }
        OpenRefusal::Trouble(error) => {
            host.metrics.refusals.storage.add(1);
            tracing::error!(store = store_id, %error, "the log of a store can't be opened");
            out_of_order()
        }
    }
}

fn preflight() -> Response<Answer> {
    let mut response = Response::new(Answer::text(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let response = with(response, ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS");
    with(with(response, ACCESS_CONTROL_ALLOW_HEADERS, "*, authorization"), ACCESS_CONTROL_MAX_AGE, CORS_AGE)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The answer that begins a WebSocket.
fn upgrade(request: &Request<Incoming>) -> Result<Response<Answer>, Box<Response<Answer>>> {
    let headers = request.headers();
    let names = |header: HeaderName, word: &str| {
        let values = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    let refused = |why: &str| {
        let response = with(text(StatusCode::UPGRADE_REQUIRED, why), UPGRADE, "websocket");
        Box::new(with(response, SEC_WEBSOCKET_VERSION, "13"))
    };
    if request.method() != Method::GET || !names(CONNECTION, "upgrade") || !names(UPGRADE, "websocket") {
        return Err(refused("transport=ws has to be a GET that asks for an upgrade to a WebSocket"));
    }
    if !names(SEC_WEBSOCKET_VERSION, "13") {
        return Err(refused("only version 13 of the WebSocket protocol is spoken here"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| refused("the upgrade has no Sec-WebSocket-Key"))?;
    let mut response = Response::new(Answer::text(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| refused("the key can't be answered"))?;
    response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(with(with(response, CONNECTION, "Upgrade"), UPGRADE, "websocket"))
}
