//! The pull lane over a WebSocket: one connection, kept from pull to pull.

use std::time::Instant;

use countersign_core::{BackendFailure, Page, Pull};

use super::super::client::{PullClient, unreachable};
use super::link::{Heard, Link};
use super::net::{Net, Pulls, Socket};
use super::secrets::Secrets;
use super::settings::{Credentials, Settings};
use crate::backend::interrupted;

pub(super) struct WsPull<N: Net> {
    net: N,
    settings: Settings,
    /// What was last dialled with.
    tried: Option<Credentials>,
    line: Option<Line<N::Socket>>,
}

/// An open connection, and what is said over it.
struct Line<S: Socket> {
    link: Link<S>,
    client: PullClient,
    hidden: Secrets,
}

impl<N: Net> WsPull<N> {
    pub(super) fn new(net: N, settings: Settings) -> Self {
        Self { net, settings, tried: None, line: None }
    }
}

impl<N: Net> Pulls for WsPull<N> {
    async fn pull(&mut self, pull: &Pull) -> Result<Page, BackendFailure> {
        if self.line.is_none() {
            self.line = Some(self.dial().await?);
        }
        // It stays where it is while it is waited for: a pull that is dropped does not drop its connection.
        let Some(line) = &mut self.line else { return Err(interrupted()) };
        line.client.begin(pull, Instant::now());
        let answer = line.page(&self.settings).await;
        // A connection is kept as long as it carries answers, whatever they say.
        if let Err(BackendFailure::Unreachable { .. } | BackendFailure::NeedsAuth { .. }) = &answer
            && let Some(line) = self.line.take()
        {
            line.link.hang_up();
        }
        answer?.ok_or_else(interrupted)
    }

    fn has_new_credentials(&mut self) -> bool {
        self.settings.others(self.tried.as_ref()).is_some()
    }
}

impl<N: Net> WsPull<N> {
    async fn dial(&mut self) -> Result<Line<N::Socket>, BackendFailure> {
        self.tried = None;
        let credentials = self.settings.credentials()?;
        let refused = match self.dial_with(credentials).await {
            Err(refused @ BackendFailure::NeedsAuth { .. }) => refused,
            done => return done,
        };
        let others = self.settings.others(self.tried.as_ref()).ok_or(refused)?;
        self.dial_with(others).await
    }

    async fn dial_with(&mut self, credentials: Credentials) -> Result<Line<N::Socket>, BackendFailure> {
        let credentials = self.tried.insert(credentials);
        let link = Link::open(&self.net, &self.settings, credentials).await?;
        tracing::debug!(backend = %self.settings.address, "pulling over a new connection");
        let Settings { store_id, timeouts, .. } = &self.settings;
        let client = PullClient::new(store_id.clone(), credentials.0.clone(), timeouts.pace, Instant::now());
        Ok(Line { link, client, hidden: self.settings.secrets(credentials) })
    }
}

impl<S: Socket> Line<S> {
    /// The next page; nothing if interrupted.
    async fn page(&mut self, settings: &Settings) -> Result<Option<Page>, BackendFailure> {
        let over = |hidden: &Secrets, what: String| unreachable(hidden.hide(&what), false);
        loop {
            // Before a page is handed out: it is acknowledged by then.
            while let Some(frame) = self.client.poll_frame() {
                self.link.send(frame, settings.timeouts.write).await.map_err(|what| over(&self.hidden, what))?;
            }
            if let Some(page) = self.client.poll_page() {
                return Ok(Some(page));
            }
            let received = self.link.received();
            match self.link.read(self.client.deadline()).await.map_err(|what| over(&self.hidden, what))? {
                Heard::Message(frame) => {
                    self.client.frame(&frame, Instant::now()).map_err(|failure| self.hidden.hide_in(failure))?;
                }
                Heard::Nothing => {
                    let now = Instant::now();
                    if self.link.received() != received {
                        self.client.heard(now);
                    }
                    self.client.tick(now)?;
                }
                Heard::Interrupted => return Ok(None),
            }
        }
    }
}
