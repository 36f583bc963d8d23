//! One request and its answer over HTTP/1.1, on a connection that is kept for the next one. Redirects are not followed and no proxy is
//! used: the URL holds credentials.

use std::io::{self, Read as _, Write as _};
use std::time::{Duration, Instant};

use countersign_core::BackendFailure;
use http::header::{CONTENT_ENCODING, LOCATION};
use ureq_proto::client::{Call, RecvBodyResult, RecvResponseResult, SendRequestResult, state::RecvBody, state::RecvResponse};
use ureq_proto::http::Request;

use super::super::client::{of_status, unreachable};
use super::dial::dial;
use super::net::{Net, Socket, Woken};
use super::settings::{Credentials, Settings};
use super::stream::Stream;

/// The largest page is less than a megabyte, and the answer to a push much less: whoever sends more is no sync server.
const ANSWER_MAX: usize = 16 << 20;
/// Of the head of an answer.
const HEAD_MAX: usize = 64 << 10;
/// How long a connection waits for the next request.
const IDLE: Duration = Duration::from_secs(15);
/// So many bytes of an answer have to come within the time that an answer may take: fewer are no progress.
const PROGRESS: usize = 64 << 10;

/// Requests to one backend, one at a time.
pub(super) struct Requests<N: Net> {
    net: N,
    settings: Settings,
    /// The connection of the last request, and until when it is kept.
    kept: Option<(Stream<N::Socket>, Instant)>,
}

/// What is answered by 200.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Why it is not whole, if it is not: only where a beginning is of use.
    pub(super) broken: Option<String>,
}

/// What came back.
struct Answer {
    status: u16,
    body: Vec<u8>,
    /// Why this is only the beginning of the body.
    broken: Option<String>,
    /// Whether the connection can carry another request.
    keeps: bool,
}

impl<N: Net> Requests<N> {
    pub(super) fn new(net: N, settings: Settings) -> Self {
        Self { net, settings, kept: None }
    }

    /// Hangs up a connection that nobody has used for a while. Answers when there will be one.
    pub(super) fn idle(&mut self) -> Option<Instant> {
        self.kept.take_if(|(_, until)| *until <= Instant::now());
        self.kept.as_ref().map(|(_, until)| *until)
    }

    /// Posts a message, and answers the body of the answer. `is_push` says what a lost answer would leave open; of the answer to a pull,
    /// the beginning is of use: all pages come in one answer, which may be larger than what is held here at once.
    ///
    /// # Errors
    ///
    /// `NeedsAuth` if the server refuses the credentials, else `Unreachable`.
    pub(super) async fn post(&mut self, with: &Credentials, message: String, is_push: bool) -> Result<Body, BackendFailure> {
        let settings = &self.settings;
        let hidden = settings.secrets(with);
        let failed = |what: String, sent: bool| unreachable(format!("{}: {}", settings.address, hidden.hide(&what)), sent);
        let (head, call) = self.begin(with, message.len()).map_err(|what| failed(what, false))?;
        let mut stream = match self.kept.take().and_then(|(stream, until)| still_stands(stream, until)) {
            Some(stream) => stream,
            None => {
                let until = Instant::now() + settings.timeouts.dial;
                dial(&self.net, settings, until).await.map_err(|what| failed(what, false))?
            }
        };
        let answered = exchange(&mut stream, settings, &head, message.as_bytes(), call, is_push).await;
        let Answer { status, body, broken, keeps } = answered.map_err(|what| failed(what, is_push))?;
        if keeps {
            self.kept = Some((stream, Instant::now() + IDLE));
        }
        if status == 200 {
            return Ok(Body { bytes: body, broken: broken.map(|broken| hidden.hide(&broken)) });
        }
        Err(of_status(status, &hidden.hide(&String::from_utf8_lossy(&body)), is_push))
    }

    /// The head of a request, and what reads its answer.
    fn begin(&self, with: &Credentials, length: usize) -> Result<(Vec<u8>, Call<RecvResponse>), String> {
        let Settings { address, store_id, headers, .. } = &self.settings;
        let url = address.url(store_id, with.0.as_ref()).map_err(|error| error.to_string())?;
        let mut size = url.len() + HEAD_MAX;
        let mut request = Request::post(&url).header("content-type", "application/json").header("content-length", length);
        request = request.header("x-livestore-store-id", &**store_id);
        for (name, value) in headers {
            size += name.as_str().len() + value.len();
            request = request.header(name, value);
        }
        // The errors could hold the URL.
        let unsendable = || "the request can't be written down".to_owned();
        let mut call = Call::new(request.body(()).map_err(|_| unsendable())?).map_err(|_| unsendable())?.proceed();
        let mut head = vec![0; size];
        let mut end = 0;
        while !call.can_proceed() {
            end += call.write(head.get_mut(end..).unwrap_or_default()).map_err(|_| unsendable())?;
        }
        head.truncate(end);
        let Ok(Some(SendRequestResult::SendBody(mut body))) = call.proceed() else { return Err(unsendable()) };
        body.consume_direct_write(length).map_err(|_| unsendable())?;
        body.proceed().map(|call| (head, call)).ok_or_else(unsendable)
    }
}

/// Sends a request and reads its answer. From the first byte on, the request may have been carried out.
async fn exchange<S: Socket>(
    stream: &mut Stream<S>,
    settings: &Settings,
    head: &[u8],
    message: &[u8],
    call: Call<RecvResponse>,
    is_push: bool,
) -> Result<Answer, String> {
    let sent = match write(stream, head, settings.timeouts.write).await {
        Ok(()) => write(stream, message, settings.timeouts.write).await,
        failed => failed,
    };
    // A pull is asked again after a while: what is silent for all of that and the answer's time is noticed within it.
    let patience = settings.timeouts.answer;
    let patience = if is_push { patience } else { patience.saturating_sub(settings.timeouts.poll).max(patience / 2) };
    let reading = Reading::new(stream, patience, !is_push);
    let answered = match sent {
        Ok(()) => reading.answer(call).await,
        // Whoever hangs up on a request may have said why.
        Err(Broken::Io(error)) => reading.answer(call).await.map_err(|_| Broken::Io(error)),
        Err(Broken::Late) => return Err("the server takes no more bytes".to_owned()),
        Err(broken) => Err(broken),
    };
    answered.map_err(|broken| broken.to_string())
}

/// Writes it all, as long as the server takes some of it within each `patience`: a slow line is no dead one.
async fn write<S: Socket>(stream: &mut Stream<S>, mut bytes: &[u8], patience: Duration) -> Result<(), Broken> {
    let (mut taken, mut until) = (stream.socket().sent(), Instant::now() + patience);
    loop {
        let now_taken = stream.socket().sent();
        if now_taken > taken {
            (taken, until) = (now_taken, Instant::now() + patience);
        }
        let all = bytes.is_empty();
        let done = if all { stream.flush().map(|()| 0) } else { stream.write(bytes) };
        match done {
            Ok(_) if all => return Ok(()),
            Ok(0) => return Err(Broken::Io(io::ErrorKind::WriteZero.into())),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) => wait(stream, error, until, false).await?,
        }
    }
}

/// Waits if the stream would have blocked; any other error is one.
async fn wait<S: Socket>(stream: &mut Stream<S>, error: io::Error, until: Instant, heeds: bool) -> Result<(), Broken> {
    match error.kind() {
        io::ErrorKind::WouldBlock => match stream.socket().ready(until, heeds).await.map_err(Broken::Io)? {
            Woken::Ready => Ok(()),
            Woken::Late => Err(Broken::Late),
            Woken::Interrupted => Err(Broken::Interrupted),
        },
        io::ErrorKind::Interrupted => Ok(()),
        _ => Err(Broken::Io(error)),
    }
}

/// Why an exchange is over.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the connection broke: {0}")]
    Io(io::Error),
    #[error("the server does not answer")]
    Late,
    #[error("interrupted")]
    Interrupted,
    #[error("{}", no_http(.0))]
    Noise(ureq_proto::Error),
    #[error("the head of the server's answer is too long")]
    LongHead,
    #[error("the server's answer has more than {} MiB", ANSWER_MAX >> 20)]
    LongBody,
    #[error("the server's answer is encoded ({0}), which was not asked for")]
    Encoded(String),
    #[error("the server hung up instead of an answer")]
    NoAnswer,
    #[error("the answer broke off after {0} bytes")]
    BrokeOff(usize),
}

/// Reads an answer.
struct Reading<'a, S: Socket> {
    stream: &'a mut Stream<S>,
    patience: Duration,
    until: Instant,
    /// What has come and is not understood yet.
    input: Vec<u8>,
    /// How much has come since the deadline was set.
    progress: usize,
    /// Whether the beginning of an answer is of use.
    takes_parts: bool,
}

impl<'a, S: Socket> Reading<'a, S> {
    fn new(stream: &'a mut Stream<S>, patience: Duration, takes_parts: bool) -> Self {
        Self { stream, patience, until: Instant::now() + patience, input: Vec::new(), progress: 0, takes_parts }
    }

    async fn answer(mut self, mut call: Call<RecvResponse>) -> Result<Answer, Broken> {
        let response = loop {
            let (used, response) = call.try_response(&self.input, false).map_err(Broken::Noise)?;
            self.input.drain(..used);
            match response {
                Some(response) => break response,
                // An interim answer was taken: there may be more behind it.
                None if used > 0 => {}
                None if self.input.len() > HEAD_MAX => return Err(Broken::LongHead),
                None if self.more().await? == 0 => return Err(Broken::NoAnswer),
                None => {}
            }
        };
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        if let Some(coding) = header(CONTENT_ENCODING).filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(Broken::Encoded(coding));
        }
        let mut body = Vec::new();
        let must_close = match call.proceed() {
            Some(RecvResponseResult::RecvBody(call)) => match self.body(call, &mut body).await {
                Err(broken) if self.takes_parts && status == 200 && !matches!(broken, Broken::Interrupted) => {
                    return Ok(Answer { status, body, broken: Some(broken.to_string()), keeps: false });
                }
                read => read?,
            },
            Some(RecvResponseResult::Cleanup(call)) => call.must_close_connection(),
            Some(RecvResponseResult::Redirect(_)) | None => {
                body = header(LOCATION).unwrap_or_default().into_bytes();
                true
            }
        };
        Ok(Answer { status, body, broken: None, keeps: !must_close && self.input.is_empty() })
    }

    /// Reads a body to its end. Answers whether the connection has to be closed.
    async fn body(&mut self, mut call: Call<RecvBody>, body: &mut Vec<u8>) -> Result<bool, Broken> {
        let mut output = vec![0; 16 << 10];
        let mut ended = false;
        loop {
            let mut taken = 0;
            loop {
                let rest = self.input.get(taken..).unwrap_or_default();
                let (used, came) = call.read(rest, &mut output).map_err(Broken::Noise)?;
                taken += used;
                body.extend_from_slice(output.get(..came).unwrap_or_default());
                if (used, came) == (0, 0) {
                    break;
                }
            }
            self.input.drain(..taken);
            if body.len() > ANSWER_MAX {
                return Err(Broken::LongBody);
            }
            // An answer without a length is over when the connection is.
            let by_length = !matches!(call.body_mode(), ureq_proto::BodyMode::CloseDelimited);
            if call.can_proceed() && (by_length || ended) {
                break;
            }
            if ended {
                return Err(Broken::BrokeOff(body.len()));
            }
            ended = self.more().await? == 0;
        }
        Ok(match call.proceed() {
            Some(RecvBodyResult::Cleanup(call)) => call.must_close_connection(),
            Some(RecvBodyResult::Redirect(_)) | None => true,
        })
    }

    /// Waits for more; nothing comes any more at the end of the connection.
    async fn more(&mut self) -> Result<usize, Broken> {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(read) => {
                    self.input.extend_from_slice(buffer.get(..read).unwrap_or_default());
                    self.progress += read;
                    if self.progress >= PROGRESS {
                        self.progress = 0;
                        self.until = Instant::now() + self.patience;
                    }
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => wait(self.stream, error, self.until, true).await?,
            }
        }
    }
}

/// What answers does not speak HTTP, and what to do.
pub(super) fn no_http(what: &dyn std::fmt::Display) -> String {
    format!("its answer is no HTTP ({what}): is this the right port, or does it want encryption (wss:// or https://)?")
}

/// The connection, unless the server has hung up meanwhile or the time is over: noticed before anything is sent over it.
fn still_stands<S: Socket>(mut stream: Stream<S>, until: Instant) -> Option<Stream<S>> {
    let silent = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
    (Instant::now() < until && stream.read(&mut [0]).is_err_and(silent)).then_some(stream)
}
