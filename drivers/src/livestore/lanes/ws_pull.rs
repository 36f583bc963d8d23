//! The pull lane over a WebSocket: one connection, kept from pull to pull.

use std::sync::Arc;
use std::time::Instant;

use countersign_core::{BackendFailure, Page, Pull};

use super::super::client::{PullClient, unreachable};
use super::dial::dial;
use super::interrupt::Interrupt;
use super::link::Link;
use super::secrets::Secrets;
use super::settings::Settings;
use crate::backend::{Interrupter, PullLane};

pub(in super::super) struct WsPull {
    settings: Settings,
    interrupt: Arc<Interrupt>,
    line: Option<Line>,
}

/// An open connection, and what is said over it.
struct Line {
    link: Link,
    client: PullClient,
    hidden: Secrets,
}

impl WsPull {
    pub(in super::super) fn new(settings: Settings) -> Self {
        Self { settings, interrupt: Arc::default(), line: None }
    }
}

impl PullLane for WsPull {
    fn pull(&mut self, pull: &Pull) -> Result<Page, BackendFailure> {
        let result = if self.interrupt.is_raised() { Err(interrupted()) } else { self.answer(pull) };
        let was_interrupted = self.interrupt.is_raised();
        // An interruption that came during this pull was meant for it, however it has ended.
        self.interrupt.clear();
        result.map_err(|failure| if was_interrupted { interrupted() } else { failure })
    }

    fn interrupter(&self) -> Interrupter {
        let interrupt = self.interrupt.clone();
        Interrupter::new(move || interrupt.raise())
    }
}

impl WsPull {
    fn answer(&mut self, pull: &Pull) -> Result<Page, BackendFailure> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self.dial()?,
        };
        line.client.begin(pull, Instant::now());
        let answer = line.page(&self.settings, &self.interrupt);
        // A connection is kept as long as it carries answers, whatever they say.
        match &answer {
            Ok(Some(_)) | Ok(None) => self.line = Some(line),
            Err(BackendFailure::Unreachable { .. } | BackendFailure::NeedsAuth { .. }) => line.link.hang_up(),
            Err(_) => self.line = Some(line),
        }
        answer?.ok_or_else(interrupted)
    }

    fn dial(&self) -> Result<Line, BackendFailure> {
        self.settings.with_credentials(|credentials| {
            let link = dial(&self.settings, credentials, &self.interrupt)?;
            tracing::debug!(backend = %self.settings.address, "pulling over a new connection");
            let Settings { store_id, timeouts, .. } = &self.settings;
            let client = PullClient::new(store_id.clone(), credentials.0.clone(), timeouts.pace, Instant::now());
            Ok(Line { link, client, hidden: self.settings.secrets(credentials) })
        })
    }
}

impl Line {
    /// The next page; nothing if interrupted.
    fn page(&mut self, settings: &Settings, interrupt: &Interrupt) -> Result<Option<Page>, BackendFailure> {
        let over = |hidden: &Secrets, what: String| unreachable(hidden.hide(&what), false);
        loop {
            // Before a page is handed out: it is acknowledged by then.
            while let Some(frame) = self.client.poll_frame() {
                let until = Instant::now() + settings.timeouts.write;
                self.link.send(frame, until).map_err(|what| over(&self.hidden, what))?;
            }
            if let Some(page) = self.client.poll_page() {
                return Ok(Some(page));
            }
            if interrupt.is_raised() {
                return Ok(None);
            }
            let received = self.link.received();
            match self.link.read(self.client.deadline()).map_err(|what| over(&self.hidden, what))? {
                Some(frame) => self.client.frame(&frame, Instant::now()).map_err(|failure| self.hide(failure))?,
                None => {
                    let now = Instant::now();
                    if self.link.received() != received {
                        self.client.heard(now);
                    }
                    self.client.tick(now)?;
                }
            }
        }
    }

    fn hide(&self, failure: BackendFailure) -> BackendFailure {
        super::request::hide(&self.hidden, failure)
    }
}

fn interrupted() -> BackendFailure {
    unreachable("the pull was interrupted", false)
}
