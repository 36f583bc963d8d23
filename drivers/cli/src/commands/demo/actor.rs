//! One who works with a store.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use countersign::core::{Seq, Status};
use countersign::livestore::LiveStoreBackend;
use countersign::{
    CommitId, CommitReceipt, Confirmation, Found, NewEvent, News, Outcome, QueryError, Reader, Schema, Settings, Settled, Store,
    SyncStage, SyncState,
};
use serde_json::json;

use super::line::Line;
use super::{PATIENCE, SCHEMA, STORE_ID};
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// A store, and a line of its own to the server.
pub(super) struct Actor {
    pub(super) name: &'static str,
    pub(super) line: Line,
    pub(super) path: PathBuf,
    pub(super) store: Store,
    schema: Schema,
}

/// A commit, and when it was made.
pub(super) struct Sent {
    pub(super) receipt: CommitReceipt,
    began: Instant,
    /// How long until it was in the state.
    pub(super) applied: Duration,
}

/// What became of a commit, and when.
pub(super) struct Stages {
    pub(super) receipt: CommitReceipt,
    pub(super) applied: Duration,
    pub(super) leader: Duration,
    /// Nothing if it is not confirmed.
    pub(super) backend: Option<(Confirmation, Duration)>,
}

pub(super) fn created(id: &str, text: &str) -> NewEvent {
    NewEvent::new("v1.TodoCreated", json!({ "id": id, "text": text }))
}

pub(super) fn done(id: &str) -> NewEvent {
    NewEvent::new("v1.TodoDone", json!({ "id": id }))
}

impl Actor {
    pub(super) fn new(name: &'static str, path: PathBuf, line: Line) -> Result<Self> {
        let schema = Schema::from_toml(SCHEMA).map_err(|error| Failure::machine("defect", error.to_string()))?;
        let mut settings = Settings::new(SCHEMA);
        settings.backend = Some(line.address());
        settings.store_id = STORE_ID.to_owned();
        Store::init(&path, &settings)?;
        let store = open(&path, &schema, &line)?;
        Ok(Self { name, line, path, store, schema })
    }

    pub(super) fn commit(&self, events: Vec<NewEvent>) -> Result<(Sent, CommitId)> {
        let began = Instant::now();
        let receipt = self.store.commit(events)?;
        let id = receipt.id();
        Ok((Sent { receipt, began, applied: began.elapsed() }, id))
    }

    /// Waits for the leader, and no longer.
    pub(super) fn leader_only(&self, sent: &Sent) -> Result<Stages> {
        let Sent { receipt, began, applied } = sent;
        self.settled(&receipt.leader_sync)?;
        Ok(Stages { receipt: receipt.clone(), applied: *applied, leader: began.elapsed(), backend: None })
    }

    pub(super) fn both_stages(&self, sent: &Sent) -> Result<Stages> {
        let stages = self.leader_only(sent)?;
        let confirmation = self.confirmed(&sent.receipt)?;
        Ok(Stages { backend: Some((confirmation, sent.began.elapsed())), ..stages })
    }

    /// Where the events of a commit stand in the file.
    pub(super) fn places(&self, id: CommitId) -> Result<Vec<Seq>> {
        match Reader::open(&self.path)?.find(id)? {
            Found::InLog { entries, .. } => Ok(entries.iter().map(|entry| entry.seq).collect()),
            _ => Err(self.went_wrong(&format!("commit {id} is not in the log"))),
        }
    }

    /// How many todos there are, and how many of them are done.
    pub(super) fn todos(&self) -> Result<(u64, u64)> {
        let read = self.store.query(|db| {
            db.query_row("SELECT count(*), sum(done) FROM todos", [], |row| {
                Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()))
            })
        });
        read.map_err(|error: QueryError| self.went_wrong(&error.to_string()))
    }

    /// The program ends, and another one starts.
    pub(super) fn restart(self) -> Result<Self> {
        let Self { name, line, path, store, schema } = self;
        if !store.close(PATIENCE).persisted {
            return Err(Failure::machine("demo", format!("{name}'s store did not store everything in time")));
        }
        let store = open(&path, &schema, &line)?;
        Ok(Self { name, line, path, store, schema })
    }

    pub(super) fn receipt(&self, id: CommitId) -> Result<CommitReceipt> {
        self.store.receipt(id)?.ok_or_else(|| self.went_wrong(&format!("commit {id} is not known any more")))
    }

    /// The backend is within reach again, and somebody says so: else the next try would come by itself.
    pub(super) fn reconnect(&self, receipt: &CommitReceipt) -> Result<(Confirmation, Duration)> {
        let began = Instant::now();
        self.line.restore();
        self.store.tell(News::Online);
        Ok((self.confirmed(receipt)?, began.elapsed()))
    }

    /// Waits until the log is here up to this place, and nothing is pending.
    pub(super) fn has_pulled(&self, upstream: u64) -> Result<()> {
        self.stands("the log is not here", |status| {
            let at_rest = status.drained && status.stored && status.sessions_behind == 0;
            status.upstream_head.global >= upstream && status.sync == SyncState::Synced && at_rest
        })
    }

    /// Waits until the store has noticed that it can't reach the backend.
    pub(super) fn is_offline(&self) -> Result<()> {
        self.stands("the backend is within reach", |status| matches!(status.sync, SyncState::Offline { .. }))
    }

    fn stands(&self, what: &str, wanted: impl FnMut(&Status) -> bool) -> Result<()> {
        let waited = self.store.wait_until(PATIENCE, wanted);
        waited.map(drop).map_err(|status| self.went_wrong(&format!("{what}: waited in vain, at {:?}", status.sync)))
    }

    pub(super) fn close(self) -> Result<Exit> {
        Ok(if self.store.close(PATIENCE).persisted { Exit::Reached } else { Exit::Machine })
    }

    pub(super) fn went_wrong(&self, what: &str) -> Failure {
        Failure::machine("demo", format!("{}'s store: {what}", self.name))
    }

    fn confirmed(&self, receipt: &CommitReceipt) -> Result<Confirmation> {
        match self.settled(&receipt.backend_sync)? {
            Settled::Confirmed(confirmation) => Ok(confirmation),
            other => Err(self.went_wrong(&format!("the backend's stage settled as {other:?}"))),
        }
    }

    fn settled(&self, stage: &SyncStage) -> Result<Settled> {
        let outcome: Option<Outcome> = stage.wait_timeout(PATIENCE).settled();
        let outcome = outcome.ok_or_else(|| self.went_wrong(&format!("commit {} did not settle in time", stage.id())))?;
        outcome.map_err(|error| self.went_wrong(&format!("commit {} has failed: {error}", stage.id())))
    }
}

fn open(path: &Path, schema: &Schema, line: &Line) -> Result<Store> {
    let address = line.address();
    let backend = LiveStoreBackend::new(&address).map_err(|error| Failure::machine("defect", format!("{address}: {error}")))?;
    Ok(Store::open(path).schema(schema.clone()).backend(backend).store_id(STORE_ID).blocking()?)
}
