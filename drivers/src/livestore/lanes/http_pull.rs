//! The pull lane over HTTP: asks, and when there is nothing, asks again a little later.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use countersign_core::{BackendFailure, BackendId, Page, Pull};
use ureq::Agent;

use super::super::client::{read_pages, unreachable};
use super::super::protocol::{Cursor, Transport, pull_call};
use super::interrupt::Interrupt;
use super::request::{agent, hide, post};
use super::settings::Settings;
use crate::backend::{Interrupter, PullLane};

pub(in super::super) struct HttpPull {
    settings: Settings,
    agent: Agent,
    interrupt: Arc<Interrupt>,
    next: u64,
    /// Pages of the last answer that nobody has asked for yet.
    ready: VecDeque<Page>,
    /// Where the page that was handed out last ends, and when the backend was asked last.
    stream: Option<(u64, Instant)>,
}

impl HttpPull {
    pub(in super::super) fn new(settings: Settings) -> Self {
        let interrupt = Arc::default();
        Self { agent: agent(&settings), settings, interrupt, next: 1, ready: VecDeque::new(), stream: None }
    }
}

impl PullLane for HttpPull {
    fn pull(&mut self, pull: &Pull) -> Result<Page, BackendFailure> {
        let result = if self.interrupt.is_raised() { Err(interrupted()) } else { self.answer(pull) };
        if result.is_err() {
            self.stream = None;
            self.ready.clear();
        }
        // An interruption that came during this pull was meant for it, however it has ended.
        self.interrupt.clear();
        result
    }

    fn interrupter(&self) -> Interrupter {
        let interrupt = self.interrupt.clone();
        Interrupter::new(move || interrupt.raise())
    }
}

impl HttpPull {
    fn answer(&mut self, pull: &Pull) -> Result<Page, BackendFailure> {
        let running = self.stream.filter(|(end, _)| !pull.fresh && *end == pull.after);
        let Some((_, mut asked)) = running else {
            self.ready.clear();
            let page = self.ask(pull)?;
            return Ok(self.hand_out(page, pull.after));
        };
        if let Some(page) = self.ready.pop_front() {
            return Ok(self.hand_out(page, pull.after));
        }
        loop {
            self.interrupt.wait_for(asked + self.settings.timeouts.poll, || None::<()>);
            if self.interrupt.is_raised() {
                return Err(interrupted());
            }
            let page = self.ask(pull)?;
            if !page.events.is_empty() {
                return Ok(self.hand_out(page, pull.after));
            }
            asked = Instant::now();
        }
    }

    fn hand_out(&mut self, mut page: Page, after: u64) -> Page {
        page.more = !self.ready.is_empty();
        let end = page.events.iter().fold(after, |end, event| if event.parent == end { event.seq } else { end });
        self.stream = Some((end, Instant::now()));
        page
    }

    /// Asks the backend, on a thread that an interruption leaves to its own deadline. Answers the first page; the others wait.
    fn ask(&mut self, pull: &Pull) -> Result<Page, BackendFailure> {
        let after = pull.after;
        let settings = self.settings.clone();
        let interrupt = self.interrupt.clone();
        let pages = self.settings.with_credentials(|credentials| {
            let request = self.next;
            self.next += 1;
            let cursor = (after > 0).then_some(pull.backend.as_ref()).flatten();
            let cursor = cursor.map(|id: &BackendId| Cursor { backend_id: id.clone(), event_sequence_number: after });
            let payload = credentials.0.as_ref();
            let call = pull_call(Transport::Http, request, &settings.store_id, payload, false, cursor);
            let (answer, answered) = mpsc::channel();
            let (on, with, agent, bell) = (settings.clone(), credentials.clone(), self.agent.clone(), interrupt.clone());
            let work = move || {
                if answer.send(post(&agent, &on, &with, call, false)).is_ok() {
                    bell.nudge();
                }
            };
            let spawned = thread::Builder::new().name("countersign-poll".to_owned()).spawn(work);
            spawned.map_err(|error| unreachable(format!("no thread to ask the backend: {error}"), false))?;
            let timeouts = settings.timeouts;
            let until = Instant::now() + 2 * (timeouts.dial + timeouts.write + timeouts.answer);
            let body = interrupt.wait_for(until, || answered.try_recv().ok()).ok_or_else(interrupted)??;
            let secrets = settings.secrets(credentials);
            read_pages(request, &body, after).map_err(|failure| hide(&secrets, failure))
        })?;
        // What the page before it said of more is known better now; empty ones in between say nothing.
        self.ready = pages.into();
        let first = self.ready.pop_front().ok_or_else(|| unreachable("the backend answered without a page", false))?;
        self.ready.retain(|page| !page.events.is_empty());
        Ok(first)
    }
}

fn interrupted() -> BackendFailure {
    unreachable("the pull was interrupted", false)
}
