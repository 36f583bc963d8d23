//! What is told: a line a deed, a line whatever has changed by it, and at the end logs and states.

use countersign_core::{Certainty, Entry, InvalidPush, Status, SyncError, SyncState};

/// What the clients are called.
pub(super) const NAMES: [&str; 3] = ["A", "B", "C"];

/// Line by line.
pub type Told = Vec<String>;

/// How a stage stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The commit was not taken.
    Never,
    Open,
    Persisted,
    Confirmed(Vec<u64>),
    NotApplicable,
    Failed(SyncError),
}

pub(super) fn receipt((leader, backend): &(Seen, Seen)) -> String {
    match (leader, backend) {
        (Seen::Never, _) => "was not taken".into(),
        (leader, backend) => format!("leader {}, backend {}", seen(leader), seen(backend)),
    }
}

fn seen(seen: &Seen) -> String {
    match seen {
        Seen::Never => "never".into(),
        Seen::Open => "open".into(),
        Seen::Persisted => "ok".into(),
        Seen::Confirmed(at) => match at.as_slice() {
            [first, .., last] if at.len() > 4 && (last - first) as usize == at.len() - 1 => format!("at e{first} to e{last}"),
            _ => format!("at {}", at.iter().map(|at| format!("e{at}")).collect::<Vec<_>>().join(", ")),
        },
        Seen::NotApplicable => "not applicable".into(),
        Seen::Failed(error) => failed(error),
    }
}

/// A failure without its texts, which are those of whoever failed.
fn failed(error: &SyncError) -> String {
    let what = match error {
        SyncError::InvalidPush { cause: InvalidPush::BackendIdMismatch { .. }, .. } => "another backend",
        SyncError::IsOffline { .. } => "offline",
        SyncError::Materialise { .. } => "can't be materialised",
        SyncError::Conflict { .. } => "guard does not hold",
        SyncError::Rejected { .. } => "rejected",
        SyncError::Withdrawn { .. } => "withdrawn",
        SyncError::Closed { .. } => "closed",
        other => return format!("{other:?}"),
    };
    let certain = match error.certainty() {
        Certainty::NotApplied => "not applied".to_owned(),
        Certainty::Partial { confirmed } => format!("{confirmed} confirmed"),
        Certainty::Unknown => "applied or not".to_owned(),
        other => format!("{other:?}"),
    };
    format!("failed: {what}, {certain}, {:?}", error.events())
}

/// What a client's syncing is doing, once it is at rest.
pub(super) fn sync(status: &Status) -> String {
    let pending = match status.pending_events + status.pending_client_only {
        0 => String::new(),
        pending => format!(", {pending} pending"),
    };
    let sync = match &status.sync {
        SyncState::NoBackend => "for itself",
        SyncState::Synced => "synced",
        SyncState::Offline { .. } => "offline",
        SyncState::BackendIdMismatch { .. } => "stopped: another backend",
        _ if status.stuck.is_some() => "stuck",
        other => return format!("{other:?}{pending}"),
    };
    format!("{sync}{pending}")
}

/// Whether nothing will change any more by itself, at a backend of this identity with so many events.
pub(super) fn is_at_rest(status: &Status, online: bool, (id, head): (&str, u64)) -> bool {
    let here = status.upstream_head.global == head && status.backend.as_deref() == Some(id);
    let idle = status.drained && status.stored && status.sessions_behind == 0;
    idle && match &status.sync {
        SyncState::NoBackend => true,
        SyncState::Synced => online && here && status.pending_events == 0,
        SyncState::Offline { .. } => !online,
        SyncState::BackendIdMismatch { received, .. } => **received == *id,
        _ => online && here && status.stuck.is_some(),
    }
}

pub(super) fn entry(client: usize, entry: &Entry, has_effect: bool) -> String {
    let effect = if has_effect { "" } else { " (without effect)" };
    format!("{} {} {}{}{effect}", NAMES[client], entry.seq.pos, entry.event.name, entry.event.args)
}

pub(super) fn state(client: usize, [synced, local]: &[Vec<(u64, u64)>; 2]) -> String {
    format!("{} has {synced:?}, and for itself {local:?}", NAMES[client])
}
