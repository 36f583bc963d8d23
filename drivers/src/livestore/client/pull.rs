//! A pull over one WebSocket: pages in their order, whatever order they arrive in.
//!
//! Promises that no event is handed out that does not follow the last one handed out, unless the backend's own log has a gap
//! there; that nothing is skipped; that each chunk gets exactly one acknowledgement; and that a pull which the backend has
//! forgotten is begun again. Serves L2, L3 and L8.
//!
//! A broadcast may overtake the history of the same pull. It can't be told from the last page of a history with a gap: it is
//! dropped, and asked for again when the history has come. If the history does not close the gap in time, a pull
//! that ends by itself is asked for; what is missing there is missing in the log, and shown to who asked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_core::{BackendFailure, Page, Pull};
use serde_json::Value;

use super::super::protocol::{
    Chunk, Cursor, Exit, PageInfo, PullResponse, RequestId, ServerMessage, Transport, ack, decode_server, interrupt, ping,
    pull_call,
};
use super::failure::{Asked, of_causes, of_defect, of_unreadable, unreachable};
use super::pulse::{Beat, Pulse};

/// How long a connection may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// At all, before it is pinged, and then before it is given up.
    pub(crate) ping: Duration,
    /// In the middle of history, before the pull is begun again: the backend may have forgotten it.
    pub(crate) stall: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { ping: Duration::from_secs(10), stall: Duration::from_secs(10) }
    }
}

/// Pulls in a row that the backend may leave unanswered.
const STALLS_MAX: u32 = 2;

/// The pulls of one connection.
#[derive(Debug)]
pub(crate) struct PullClient {
    store_id: Arc<str>,
    payload: Hidden,
    pace: Pace,
    /// The number of the next request.
    next: u64,
    pulse: Pulse,
    stream: Option<Stream>,
    /// Pages that nobody has asked for yet: those of one frame at most.
    ready: VecDeque<(Page, u64)>,
    frames: VecDeque<String>,
    /// Where the page that was handed out last ends.
    handed: Option<u64>,
}

/// Never shown: it holds credentials.
struct Hidden(Option<Value>);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// A pull that is running.
#[derive(Debug)]
struct Stream {
    request: u64,
    /// Live; else it ends by itself, and was begun to find out whether there is a gap.
    live: bool,
    pull: Pull,
    /// The last event that follows all before it.
    position: u64,
    /// When to give up waiting for history; nothing when it has all come.
    stalls_at: Option<Instant>,
    stalls: u32,
    /// Whether anything has come that moved the position.
    moved: bool,
    /// The last event of what was dropped, if more has to come before it.
    dropped: u64,
    /// The last page that was dropped, while a gap is looked for.
    gap: Option<Page>,
    /// Whether the answer may be an empty page.
    may_be_empty: bool,
    /// Whether the last page handed out said that more follows.
    told_more: bool,
}

impl PullClient {
    pub(crate) fn new(store_id: Arc<str>, payload: Option<Value>, pace: Pace, now: Instant) -> Self {
        Self {
            store_id,
            payload: Hidden(payload),
            pace,
            next: 1,
            pulse: Pulse::new(pace.ping, now),
            stream: None,
            ready: VecDeque::new(),
            frames: VecDeque::new(),
            handed: None,
        }
    }

    /// Asks for a page: the next one of the running stream, if it stands where the pull says, or the first of a new one.
    pub(crate) fn begin(&mut self, pull: &Pull, now: Instant) {
        self.pulse.listen(now);
        let runs_on = !pull.fresh && (self.stream.is_some() || !self.ready.is_empty()) && self.handed == Some(pull.after);
        if let (true, Some(stream)) = (runs_on, &mut self.stream) {
            // Nobody was listening: what is late may be here already.
            stream.stalls_at = stream.stalls_at.map(|_| now + self.pace.stall);
        }
        if !runs_on {
            self.ready.clear();
            self.handed = Some(pull.after);
            self.open(pull.clone(), true, pull.after, pull.fresh, now);
        }
    }

    /// Something was heard of the peer that is no whole frame yet.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.pulse.heard(now);
        if let Some(stalls_at) = self.stream.as_mut().and_then(|stream| stream.stalls_at.as_mut()) {
            *stalls_at = now + self.pace.stall;
        }
    }

    /// A frame has come.
    ///
    /// # Errors
    ///
    /// If it ends the pull. The next one begins a new stream.
    pub(crate) fn frame(&mut self, bytes: &[u8], now: Instant) -> Result<(), BackendFailure> {
        self.pulse.heard(now);
        let handled = decode_server(bytes)
            .map_err(|error| of_unreadable(&error, Asked::Pull))
            .and_then(|messages| messages.into_iter().try_for_each(|message| self.message(message, now)));
        if handled.is_err() {
            self.close();
        }
        handled
    }

    /// The deadline has passed.
    ///
    /// # Errors
    ///
    /// If nobody is there any more, or pulls are not answered: the connection is of no more use.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<(), BackendFailure> {
        match self.pulse.tick(now) {
            Beat::Dead => {
                return Err(unreachable(
                    format!("the backend said nothing for {:?}, not even to a ping", 2 * self.pace.ping),
                    false,
                ));
            }
            Beat::Ping => self.frames.push_back(ping()),
            Beat::None => {}
        }
        if let Some(stream) = self.stream.take_if(|stream| stream.stalls_at.is_some_and(|at| at <= now)) {
            return self.stalled(stream, now);
        }
        Ok(())
    }

    /// The next frame to send.
    pub(crate) fn poll_frame(&mut self) -> Option<String> {
        self.frames.pop_front()
    }

    /// The answer to the pull, if it is there.
    pub(crate) fn poll_page(&mut self) -> Option<Page> {
        let (page, end) = self.ready.pop_front()?;
        self.handed = Some(end);
        Some(page)
    }

    /// When to call [`PullClient::tick`] if nothing comes.
    pub(crate) fn deadline(&self) -> Instant {
        let stall = self.stream.as_ref().and_then(|stream| stream.stalls_at);
        stall.map_or(self.pulse.deadline(), |at| at.min(self.pulse.deadline()))
    }

    fn message(&mut self, message: ServerMessage<'_>, now: Instant) -> Result<(), BackendFailure> {
        match message {
            ServerMessage::Chunk(chunk) => self.chunk(&chunk, now),
            ServerMessage::Exit { request, exit } => self.exit(&request, exit, now),
            ServerMessage::Defect { message } => Err(of_defect(&message)),
            ServerMessage::Pong | ServerMessage::Unknown { .. } => Ok(()),
        }
    }

    /// Of a call that is over, nothing is read: chunks still come for it, until the backend hears that it is.
    fn chunk(&mut self, chunk: &Chunk<'_>, now: Instant) -> Result<(), BackendFailure> {
        let Some(mut stream) = self.stream.take_if(|stream| chunk.request.is(stream.request)) else { return Ok(()) };
        let responses = chunk.responses().map_err(|error| {
            self.frames.push_back(interrupt(stream.request));
            of_unreadable(&error, Asked::Pull)
        })?;
        self.frames.push_back(ack(stream.request));
        let mut again = false;
        for response in responses {
            stream.stalls_at = stream.stalls_at.map(|_| now + self.pace.stall);
            again |= stream.take(response, &mut self.ready);
        }
        let (pull, position) = (stream.pull.clone(), stream.position);
        let may_be_empty = stream.may_be_empty;
        let told_more = stream.told_more;
        self.stream = Some(stream);
        if again {
            self.open(pull, true, position, may_be_empty, now);
            if let Some(stream) = &mut self.stream {
                stream.told_more = told_more;
            }
        }
        Ok(())
    }

    fn exit(&mut self, request: &RequestId, exit: Exit, now: Instant) -> Result<(), BackendFailure> {
        let Some(stream) = self.stream.take_if(|stream| request.is(stream.request)) else { return Ok(()) };
        match exit {
            Exit::Failure(causes) => Err(of_causes(&causes, Asked::Pull)),
            Exit::Success(_) if stream.live => Err(unreachable("the backend ended a live pull", false)),
            Exit::Success(_) => {
                match stream.gap {
                    // All there is has come, and does not follow what was here: the log itself has a gap.
                    Some(page) if !stream.moved => self.ready.push_back((page, stream.position)),
                    _ => self.open(stream.pull, true, stream.position, stream.may_be_empty, now),
                }
                Ok(())
            }
        }
    }

    fn stalled(&mut self, stream: Stream, now: Instant) -> Result<(), BackendFailure> {
        let stalls = stream.stalls + 1;
        if stalls > STALLS_MAX {
            self.stream = Some(stream);
            self.close();
            return Err(unreachable(format!("the backend left {stalls} pulls in a row without an answer"), false));
        }
        let looks_for_gap = stream.live && stream.gap.is_some() && !stream.moved;
        let (pull, position, told_more) = (stream.pull.clone(), stream.position, stream.told_more);
        let may_be_empty = stream.may_be_empty;
        let moved = stream.moved;
        self.stream = Some(stream);
        self.open(pull, !looks_for_gap, position, may_be_empty, now);
        if let Some(stream) = &mut self.stream {
            stream.stalls = if moved { 0 } else { stalls };
            stream.told_more = told_more;
        }
        Ok(())
    }

    /// Begins a stream, in the place of the one that runs.
    fn open(&mut self, pull: Pull, live: bool, position: u64, may_be_empty: bool, now: Instant) {
        self.close();
        let request = self.next;
        self.next += 1;
        let cursor = (position > 0).then_some(pull.backend.as_ref()).flatten();
        let cursor = cursor.map(|id| Cursor { backend_id: id.clone(), event_sequence_number: position });
        let frame = pull_call(Transport::Ws, request, &self.store_id, self.payload.0.as_ref(), live, cursor);
        self.frames.push_back(frame);
        self.stream = Some(Stream {
            request,
            live,
            pull,
            position,
            stalls_at: Some(now + self.pace.stall),
            stalls: 0,
            moved: false,
            dropped: 0,
            gap: None,
            may_be_empty,
            told_more: false,
        });
    }

    fn close(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.frames.push_back(interrupt(stream.request));
        }
    }
}

impl Stream {
    /// Takes what follows. Tells whether the pull has to be begun again, after what has come.
    fn take(&mut self, response: PullResponse, ready: &mut VecDeque<(Page, u64)>) -> bool {
        let PullResponse { mut events, info, backend } = response;
        if self.pull.backend.is_none() {
            self.pull.backend = Some(backend.clone());
        }
        let known = events.iter().take_while(|event| event.seq <= self.position).count();
        events.drain(..known);
        let more = info != PageInfo::NoMore;
        let in_history = self.stalls_at.is_some();
        if let Some(first) = events.first()
            && first.parent != self.position
        {
            let page = Page { events, more, backend };
            if more {
                // Only history has more behind it: this is its order, gap and all.
                ready.push_back((page, self.position));
                return false;
            }
            self.dropped = page.events.last().map_or(self.dropped, |last| self.dropped.max(last.seq));
            self.gap = Some(page);
            return !in_history;
        }
        for event in &events {
            if event.parent == self.position && event.seq > self.position {
                self.position = event.seq;
                self.moved = true;
            }
        }
        let misses = self.dropped > self.position;
        // One that ends by itself is over when it says so.
        if !more && self.live {
            self.stalls_at = None;
        }
        let more = more || misses;
        if !events.is_empty() || (!more && (self.may_be_empty || self.told_more)) {
            ready.push_back((Page { events, more, backend }, self.position));
            self.may_be_empty = false;
            self.told_more = more;
        }
        misses && self.stalls_at.is_none()
    }
}
