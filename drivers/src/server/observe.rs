//! What the server tells of itself: whether it is well, and its figures. On a listener of its own, to whoever may reach it.

use std::convert::Infallible;
use std::net::{TcpListener, TcpStream};
use std::rc::Weak;
use std::sync::Arc;
use std::time::Duration;

use async_executor::LocalExecutor;
use async_io::{Async, Timer};
use async_lock::Semaphore;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use smol_hyper::rt::{FuturesIo, SmolTimer};

use super::connection::PAUSE;
use super::host::Host;
use super::patience::within;

/// Scrapers and load balancers: a handful. Others wait in the system's queue.
const AT_ONCE: usize = 16;
/// For a request and its answer.
const WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn observe(host: Arc<Host>, executor: Weak<LocalExecutor<'static>>, listener: Async<TcpListener>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let place = places.acquire_arc().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics could not be accepted");
                Timer::after(PAUSE).await;
                continue;
            }
        };
        let Some(executor) = executor.upgrade() else { return };
        let host = host.clone();
        let serving = async move {
            let _place = place;
            within(WITHIN, serve(host, stream)).await;
        };
        executor.spawn(serving).detach();
    }
}

async fn serve(host: Arc<Host>, stream: Async<TcpStream>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&host, request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = http1::Builder::new();
    http.timer(SmolTimer::new()).header_read_timeout(WITHIN).keep_alive(false).max_buf_size(8192);
    if let Err(error) = http.serve_connection(FuturesIo::new(stream), service).await {
        tracing::debug!(%error, "a connection for metrics");
    }
}

fn answer(host: &Host, path: &str) -> Response<Full<Bytes>> {
    let (status, content_type, text) = match path {
        "/healthz" if host.stopping.has_begun() => (StatusCode::SERVICE_UNAVAILABLE, "text/plain", "stopping\n".to_owned()),
        "/healthz" => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/metrics" => (StatusCode::OK, "text/plain; version=0.0.4", host.metrics.render()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "there are /healthz and /metrics here\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
