use std::collections::{BTreeSet, VecDeque};

use countersign_core::Seq;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One question: a state, and what is to be merged into it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Comes back with the answer; any JSON.
    pub id: Value,
    /// What this side believes.
    pub sync_state: SyncState,
    /// What it is told.
    pub payload: Payload,
    /// The names of the client-only events. Without it, an event with a client part in its number is client-only.
    pub client_only_names: Option<BTreeSet<String>>,
    /// Whether the upstream never sees client-only events, so that they are passed over, and not kept pending.
    pub ignore_client_only_events: Option<bool>,
}

/// What one side of a boundary believes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncState {
    /// Local events that the upstream has not confirmed, oldest first.
    pub pending: VecDeque<Event>,
    /// The last event that the upstream has named.
    pub upstream_head: Seq,
    /// The last event of this side.
    pub local_head: Seq,
}

/// What a side is told, by its upstream or by its downstream.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// By whom, and how.
    #[serde(rename = "_tag")]
    pub tag: PayloadTag,
    /// The events it is about.
    pub new_events: Vec<Event>,
    /// What an upstream that has rebased takes back.
    pub rollback_events: Option<Vec<Event>>,
}

/// How a payload is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PayloadTag {
    /// The upstream goes on.
    UpstreamAdvance,
    /// The upstream has taken events back, and goes on with others.
    UpstreamRebase,
    /// The downstream has new events.
    LocalPush,
}

/// An event. Whatever else its object holds, `args` among it, is kept as it came.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its name in the schema.
    pub name: String,
    /// Where it stands.
    pub seq_num: Seq,
    /// The event that it follows.
    pub parent_seq_num: Seq,
    /// The client that wrote it.
    pub client_id: String,
    /// The session that wrote it.
    pub session_id: String,
    /// All other fields.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Event {
    /// Its arguments; `null` if it has none.
    #[must_use]
    pub fn args(&self) -> &Value {
        self.rest.get("args").unwrap_or(&Value::Null)
    }
}

/// The answer to one line.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// That of the request; `null` if it can't be read.
    pub id: Value,
    /// What comes of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What comes of a merge.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "_tag", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// Nothing moves.
    Advance {
        /// The state afterwards.
        new_sync_state: SyncState,
        /// To apply.
        new_events: Vec<Event>,
        /// No longer pending.
        confirmed_events: Vec<Event>,
    },
    /// Pending events move.
    Rebase {
        /// The state afterwards.
        new_sync_state: SyncState,
        /// To apply after the rollback: the upstream's, then the pending ones under their new numbers.
        new_events: Vec<Event>,
        /// To undo, under their old numbers.
        rollback_events: Vec<Event>,
    },
    /// What was pushed does not stand on the local head.
    Reject {
        /// The first number that would.
        expected_minimum_id: Seq,
    },
    /// The contract is broken; LiveStore stops here.
    Die {
        /// What is wrong, and where.
        message: String,
    },
    /// The line is not a question.
    Error {
        /// What is wrong, and where.
        message: String,
    },
}
