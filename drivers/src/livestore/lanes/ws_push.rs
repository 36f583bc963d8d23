//! The push lane over a WebSocket: a connection of its own, dialled when there is something to push, and kept for a while.

use std::sync::Arc;
use std::time::Instant;

use countersign_core::{BackendFailure, Push};

use super::super::client::{PushCalls, unreachable};
use super::super::protocol::Transport;
use super::dial::dial;
use super::interrupt::Interrupt;
use super::keeper::Keeper;
use super::link::Link;
use super::request::hide;
use super::settings::{Credentials, Settings};
use crate::backend::PushLane;

pub(in super::super) struct WsPush {
    settings: Settings,
    /// Never raised: a push is not interrupted, only timed.
    interrupt: Arc<Interrupt>,
    kept: Keeper,
    /// What the kept connection was dialled with.
    credentials: Option<Credentials>,
    /// The number of the next call. Never used twice, on whatever connection.
    next: u64,
}

impl WsPush {
    pub(in super::super) fn new(settings: Settings) -> Self {
        Self { settings, interrupt: Arc::default(), kept: Keeper::default(), credentials: None, next: 1 }
    }
}

impl PushLane for WsPush {
    fn push(&mut self, push: &Push) -> Result<(), BackendFailure> {
        let (mut link, credentials) = self.link()?;
        let secrets = self.settings.secrets(&credentials);
        let done = self.push_over(&mut link, push, &credentials);
        match &done {
            Err(BackendFailure::Unreachable { .. } | BackendFailure::NeedsAuth { .. }) => link.hang_up(),
            _ => self.kept.keep(link, self.settings.timeouts.idle),
        }
        done.map_err(|failure| hide(&secrets, failure))
    }
}

impl WsPush {
    /// The kept connection if it still stands, else a new one.
    fn link(&mut self) -> Result<(Link, Credentials), BackendFailure> {
        if let (Some(mut link), Some(credentials)) = (self.kept.take(), self.credentials.take()) {
            // Whoever hung up meanwhile is noticed before anything is sent: else it would be open what became of it.
            let stands = loop {
                match link.read(Instant::now()) {
                    Ok(Some(_)) => {}
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            };
            if stands {
                self.credentials = Some(credentials.clone());
                return Ok((link, credentials));
            }
        }
        let dialled = self.settings.with_credentials(|credentials| {
            let link = dial(&self.settings, credentials, &self.interrupt)?;
            tracing::debug!(backend = %self.settings.address, "pushing over a new connection");
            Ok((link, credentials.clone()))
        })?;
        self.credentials = Some(dialled.1.clone());
        Ok(dialled)
    }

    fn push_over(&mut self, link: &mut Link, push: &Push, credentials: &Credentials) -> Result<(), BackendFailure> {
        let payload = credentials.0.as_ref();
        let mut calls = PushCalls::new(&self.settings.client, push, payload)?;
        let timeouts = self.settings.timeouts;
        loop {
            let request = self.next;
            let Some(call) = calls.next(Transport::Ws, request, &self.settings.store_id, payload) else { return Ok(()) };
            self.next += 1;
            link.send(call, Instant::now() + timeouts.write).map_err(|what| unreachable(what, true))?;
            let until = Instant::now() + timeouts.answer;
            loop {
                let frame = link.read(until).map_err(|what| unreachable(what, true))?;
                let late = || unreachable(format!("the backend did not answer a push within {:?}", timeouts.answer), true);
                if let Some(answer) = calls.answer(request, &frame.ok_or_else(late)?) {
                    answer?;
                    break;
                }
            }
        }
    }
}
