//! One pull over a WebSocket: its history a page at a time, each after the former was acknowledged, then what is new.
//!
//! Its position is the last event that it was sent, so it can neither overtake its history nor skip anything: what is sent next
//! is what follows there, from memory if that is recent, else from the log.

use std::sync::Arc;

use countersign_core::{BackendFailure, BackendId};

use super::super::eventlogs::{Eventlog, Served};
use crate::livestore::protocol::{Dialect, PageInfo, PullCall, RequestId, chunk};

/// A pull under way.
pub(super) struct Pull {
    pub(super) id: RequestId,
    live: bool,
    /// The backend that the client means; asked about once.
    pub(super) expected: Option<BackendId>,
    position: u64,
    stage: Stage,
    /// Whether the last page of history waits for its acknowledgement.
    waits: bool,
}

#[derive(Clone, Copy)]
enum Stage {
    /// History, up to where the log ended when it began.
    History { until: Option<u64> },
    /// The last page was sent, and the end was not.
    Last,
    /// All history was sent.
    Live,
}

/// What a pull has to say.
pub(super) enum Said {
    /// Nothing for now.
    Nothing,
    /// A chunk, with so many events.
    Chunk(String, usize),
    /// That is has come to its end.
    End,
}

impl Pull {
    pub(super) fn new(id: RequestId, call: PullCall) -> Self {
        let (expected, position) =
            call.cursor.map_or((None, 0), |cursor| (Some(cursor.backend_id), cursor.event_sequence_number));
        Self { id, live: call.live, expected, position, stage: Stage::History { until: None }, waits: false }
    }

    pub(super) fn dialect(&self) -> Dialect {
        Dialect::of(&self.id)
    }

    /// The page that was sent last has arrived.
    pub(super) fn acknowledged(&mut self) {
        self.waits = false;
    }

    /// What it has to say now.
    ///
    /// # Errors
    ///
    /// What the log says.
    pub(super) async fn next(&mut self, log: &Arc<Eventlog>, max_bytes: usize) -> Result<Said, BackendFailure> {
        match self.stage {
            Stage::Live => self.news(log, max_bytes).await,
            _ if self.waits => Ok(Said::Nothing),
            Stage::Last => Ok(Said::End),
            Stage::History { until } => self.history(log, max_bytes, until).await,
        }
    }

    async fn history(&mut self, log: &Arc<Eventlog>, max_bytes: usize, until: Option<u64>) -> Result<Said, BackendFailure> {
        let served = log.page(self.expected.clone(), self.position, max_bytes).await?;
        self.expected = None;
        let until = until.unwrap_or(served.head);
        // Beyond the end of the log there is nothing to wait for: what is pushed next stands before that.
        self.position = served.items.last().map_or(self.position.min(served.head), |last| last.seq);
        let is_last = served.items.is_empty() || self.position >= until;
        self.stage = match (is_last, self.live) {
            (false, _) => Stage::History { until: Some(until) },
            (true, true) => Stage::Live,
            (true, false) => Stage::Last,
        };
        self.waits = true;
        let info = if is_last { PageInfo::NoMore } else { PageInfo::MoreKnown { remaining: until - self.position } };
        Ok(self.chunk(&served, info))
    }

    async fn news(&mut self, log: &Arc<Eventlog>, max_bytes: usize) -> Result<Said, BackendFailure> {
        if log.published().0 <= self.position {
            return Ok(Said::Nothing);
        }
        let served = log.page(None, self.position, max_bytes).await?;
        let Some(last) = served.items.last() else { return Ok(Said::Nothing) };
        self.position = last.seq;
        Ok(self.chunk(&served, PageInfo::NoMore))
    }

    fn chunk(&self, served: &Served, info: PageInfo) -> Said {
        let dialect = self.dialect();
        let items: Vec<&str> = served.items.iter().map(|item| item.text(dialect)).collect();
        Said::Chunk(chunk(&self.id, &items, info, &served.backend), items.len())
    }
}
