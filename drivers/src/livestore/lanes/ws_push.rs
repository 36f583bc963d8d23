//! The push lane over a WebSocket: a connection of its own, dialled when there is something to push, and kept for a while.

use std::time::Instant;

use countersign_core::{BackendFailure, Push};

use super::super::client::{PushCalls, unreachable};
use super::super::protocol::Transport;
use super::link::{Heard, Link};
use super::net::{Net, Pushes};
use super::settings::{Credentials, Settings};

pub(super) struct WsPush<N: Net> {
    net: N,
    settings: Settings,
    /// What was last dialled with.
    tried: Option<Credentials>,
    /// The connection of the last push, and until when it is kept.
    kept: Option<(Link<N::Socket>, Instant)>,
    /// The number of the next call. Never used twice, on whatever connection.
    next: u64,
}

impl<N: Net> WsPush<N> {
    pub(super) fn new(net: N, settings: Settings) -> Self {
        Self { net, settings, tried: None, kept: None, next: 1 }
    }
}

impl<N: Net> Pushes for WsPush<N> {
    async fn push(&mut self, push: &Push) -> Result<(), BackendFailure> {
        let (mut link, credentials) = self.link().await?;
        let secrets = self.settings.secrets(&credentials);
        let done = self.push_over(&mut link, push, &credentials).await;
        match &done {
            Err(BackendFailure::Unreachable { .. } | BackendFailure::NeedsAuth { .. }) => link.hang_up(),
            _ => self.kept = Some((link, Instant::now() + self.settings.timeouts.idle)),
        }
        done.map_err(|failure| secrets.hide_in(failure))
    }

    fn idle(&mut self) -> Option<Instant> {
        if let Some((link, _)) = self.kept.take_if(|(_, until)| *until <= Instant::now()) {
            link.hang_up();
        }
        self.kept.as_ref().map(|(_, until)| *until)
    }

    fn has_new_credentials(&mut self) -> bool {
        self.settings.others(self.tried.as_ref()).is_some()
    }
}

impl<N: Net> WsPush<N> {
    /// The kept connection if it still stands, else a new one.
    async fn link(&mut self) -> Result<(Link<N::Socket>, Credentials), BackendFailure> {
        if let (Some((mut link, _)), Some(credentials)) = (self.kept.take(), &self.tried) {
            // Whoever hung up meanwhile is noticed before anything is sent: else it would be open what became of it.
            if link.stands() {
                return Ok((link, credentials.clone()));
            }
        }
        self.tried = None;
        let credentials = self.settings.credentials()?;
        let refused = match self.dial_with(credentials).await {
            Err(refused @ BackendFailure::NeedsAuth { .. }) => refused,
            done => return done,
        };
        let others = self.settings.others(self.tried.as_ref()).ok_or(refused)?;
        self.dial_with(others).await
    }

    async fn dial_with(&mut self, credentials: Credentials) -> Result<(Link<N::Socket>, Credentials), BackendFailure> {
        let credentials = self.tried.insert(credentials);
        let link = Link::open(&self.net, &self.settings, credentials).await?;
        tracing::debug!(backend = %self.settings.address, "pushing over a new connection");
        Ok((link, credentials.clone()))
    }

    async fn push_over(
        &mut self,
        link: &mut Link<N::Socket>,
        push: &Push,
        credentials: &Credentials,
    ) -> Result<(), BackendFailure> {
        let payload = credentials.0.as_ref();
        let mut calls = PushCalls::new(&self.settings.client, push, payload)?;
        let timeouts = self.settings.timeouts;
        loop {
            let request = self.next;
            let Some(call) = calls.next(Transport::Ws, request, &self.settings.store_id, payload) else { return Ok(()) };
            self.next += 1;
            link.send(call, timeouts.write).await.map_err(|what| unreachable(what, true))?;
            let until = Instant::now() + timeouts.answer;
            loop {
                let heard = link.read(until).await.map_err(|what| unreachable(what, true))?;
                let answer = match &heard {
                    Heard::Message(frame) => calls.answer(request, frame),
                    Heard::Nothing | Heard::Interrupted => None,
                };
                if let Some(answer) = answer {
                    answer?;
                    break;
                }
                // A server that talks of other things all the time has not answered either.
                if Instant::now() >= until {
                    let message = format!("the backend did not answer a push within {:?}", timeouts.answer);
                    return Err(unreachable(message, true));
                }
            }
        }
    }
}
