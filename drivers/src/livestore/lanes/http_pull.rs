//! The pull lane over HTTP: asks, and when there is nothing, asks again a little later.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use countersign_core::{BackendFailure, BackendId, Page, Pull};

use super::super::client::{read_first_pages, read_pages, unreachable};
use super::super::protocol::{Cursor, Transport, pull_call};
use super::net::{Net, Pulls, Woken};
use super::request::{Body, Requests};
use super::settings::{Credentials, Settings};
use crate::backend::interrupted;

pub(super) struct HttpPull<N: Net> {
    net: N,
    settings: Settings,
    requests: Requests<N>,
    /// What was last sent.
    tried: Option<Credentials>,
    next: u64,
    /// Pages of the last answer that nobody has asked for yet.
    ready: VecDeque<Page>,
    /// Whether that answer was only the beginning of what there is.
    cut_short: bool,
    /// Where the page that was handed out last ends, and when the backend was asked last.
    stream: Option<(u64, Instant)>,
}

impl<N: Net> HttpPull<N> {
    pub(super) fn new(net: N, settings: Settings) -> Self {
        let requests = Requests::new(net.clone(), settings.clone());
        Self { net, settings, requests, tried: None, next: 1, ready: VecDeque::new(), cut_short: false, stream: None }
    }
}

impl<N: Net> Pulls for HttpPull<N> {
    async fn pull(&mut self, pull: &Pull) -> Result<Page, BackendFailure> {
        // Put back by the page that is handed out: a pull that fails, or is dropped, ends the stream.
        let running = self.stream.take().filter(|(end, _)| !pull.fresh && *end == pull.after);
        let Some((_, mut asked)) = running else {
            self.ready.clear();
            let page = self.ask(pull).await?;
            return Ok(self.hand_out(page, pull.after));
        };
        if let Some(page) = self.ready.pop_front() {
            return Ok(self.hand_out(page, pull.after));
        }
        loop {
            let wait = if self.cut_short { Duration::ZERO } else { self.settings.timeouts.poll };
            if self.net.sleep(asked + wait).await == Woken::Interrupted {
                return Err(interrupted());
            }
            let page = self.ask(pull).await?;
            if !page.events.is_empty() {
                return Ok(self.hand_out(page, pull.after));
            }
            asked = Instant::now();
        }
    }

    fn has_new_credentials(&mut self) -> bool {
        self.settings.others(self.tried.as_ref()).is_some()
    }
}

impl<N: Net> HttpPull<N> {
    fn hand_out(&mut self, mut page: Page, after: u64) -> Page {
        page.more = !self.ready.is_empty() || self.cut_short;
        let end = page.events.iter().fold(after, |end, event| if event.parent == end { event.seq } else { end });
        self.stream = Some((end, Instant::now()));
        page
    }

    /// Asks the backend. Answers the first page; the others wait.
    async fn ask(&mut self, pull: &Pull) -> Result<Page, BackendFailure> {
        self.tried = None;
        let credentials = self.settings.credentials()?;
        let (pages, cut_short) = match self.ask_with(pull, credentials).await {
            Err(refused @ BackendFailure::NeedsAuth { .. }) => {
                let others = self.settings.others(self.tried.as_ref()).ok_or(refused)?;
                self.ask_with(pull, others).await
            }
            done => done,
        }?;
        // What the page before it said of more is known better now; empty ones in between say nothing.
        self.ready = pages.into();
        self.cut_short = cut_short;
        let first = self.ready.pop_front().ok_or_else(|| unreachable("the backend answered without a page", false))?;
        self.ready.retain(|page| !page.events.is_empty());
        Ok(first)
    }

    /// The pages of the answer, and whether they are only the first of them.
    async fn ask_with(&mut self, pull: &Pull, credentials: Credentials) -> Result<(Vec<Page>, bool), BackendFailure> {
        let credentials = &*self.tried.insert(credentials);
        let request = self.next;
        self.next += 1;
        let cursor = (pull.after > 0).then_some(pull.backend.as_ref()).flatten();
        let cursor = cursor.map(|id: &BackendId| Cursor { backend_id: id.clone(), event_sequence_number: pull.after });
        let payload = credentials.0.as_ref();
        let call = pull_call(Transport::Http, request, &self.settings.store_id, payload, false, cursor);
        let Body { bytes, broken } = self.requests.post(credentials, call, false).await?;
        let pages = match broken {
            None => read_pages(request, &bytes, pull.after).map(|pages| (pages, false)),
            Some(broken) => match read_first_pages(request, &bytes, pull.after) {
                Some(pages) => Ok((pages, true)),
                None => Err(unreachable(format!("{}: {broken}", self.settings.address), false)),
            },
        };
        let secrets = self.settings.secrets(credentials);
        pages.map_err(|failure| secrets.hide_in(failure))
    }
}
