//! The push lane over HTTP.

use std::time::Instant;

use countersign_core::{BackendFailure, Push};

use super::super::client::{PushCalls, unreachable};
use super::super::protocol::Transport;
use super::net::{Net, Pushes};
use super::request::Requests;
use super::settings::{Credentials, Settings};

pub(super) struct HttpPush<N: Net> {
    settings: Settings,
    requests: Requests<N>,
    /// What was last sent.
    tried: Option<Credentials>,
    next: u64,
}

impl<N: Net> HttpPush<N> {
    pub(super) fn new(net: N, settings: Settings) -> Self {
        Self { requests: Requests::new(net, settings.clone()), settings, tried: None, next: 1 }
    }

    async fn push_with(&mut self, push: &Push, credentials: Credentials) -> Result<(), BackendFailure> {
        let credentials = &*self.tried.insert(credentials);
        let secrets = self.settings.secrets(credentials);
        let payload = credentials.0.as_ref();
        let mut calls = PushCalls::new(&self.settings.client, push, payload)?;
        while let Some(call) = calls.next(Transport::Http, self.next, &self.settings.store_id, payload) {
            let request = self.next;
            self.next += 1;
            let body = self.requests.post(credentials, call, true).await.map_err(|failure| calls.failed(failure))?;
            let none = || Err(unreachable("the backend's answer says nothing of the push", true));
            let answer = calls.answer(request, &body.bytes).unwrap_or_else(none);
            answer.map_err(|failure| secrets.hide_in(failure))?;
        }
        Ok(())
    }
}

impl<N: Net> Pushes for HttpPush<N> {
    async fn push(&mut self, push: &Push) -> Result<(), BackendFailure> {
        self.tried = None;
        let credentials = self.settings.credentials()?;
        let refused = match self.push_with(push, credentials).await {
            Err(refused @ BackendFailure::NeedsAuth { .. }) => refused,
            done => return done,
        };
        let others = self.settings.others(self.tried.as_ref()).ok_or(refused)?;
        self.push_with(push, others).await
    }

    fn idle(&mut self) -> Option<Instant> {
        self.requests.idle()
    }

    fn has_new_credentials(&mut self) -> bool {
        self.settings.others(self.tried.as_ref()).is_some()
    }
}
