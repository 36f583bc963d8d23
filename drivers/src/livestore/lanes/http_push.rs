//! The push lane over HTTP.

use countersign_core::{BackendFailure, Push};
use ureq::Agent;

use super::super::client::{PushCalls, unreachable};
use super::super::protocol::Transport;
use super::request::{agent, hide, post};
use super::settings::{Credentials, Settings};
use crate::backend::PushLane;

pub(in super::super) struct HttpPush {
    settings: Settings,
    agent: Agent,
    next: u64,
}

impl HttpPush {
    pub(in super::super) fn new(settings: Settings) -> Self {
        Self { agent: agent(&settings), settings, next: 1 }
    }

    fn push_with(&self, push: &Push, first: u64, credentials: &Credentials) -> Result<(), BackendFailure> {
        let payload = credentials.0.as_ref();
        let mut calls = PushCalls::new(&self.settings.client, push, payload)?;
        for request in first.. {
            let Some(call) = calls.next(Transport::Http, request, &self.settings.store_id, payload) else { break };
            let body = post(&self.agent, &self.settings, credentials, call, true).map_err(|failure| calls.failed(failure))?;
            let none = || Err(unreachable("the backend's answer says nothing of the push", true));
            calls.answer(request, &body).unwrap_or_else(none)?;
        }
        Ok(())
    }
}

impl PushLane for HttpPush {
    fn push(&mut self, push: &Push) -> Result<(), BackendFailure> {
        let first = self.next;
        self.next += push.events.len() as u64 + 1;
        self.settings.with_credentials(|credentials| {
            let secrets = self.settings.secrets(credentials);
            self.push_with(push, first, credentials).map_err(|failure| hide(&secrets, failure))
        })
    }
}
