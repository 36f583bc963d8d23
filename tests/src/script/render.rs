//! Event notation for people who know the protocol, and no Rust.

use countersign_core::{
    BackendFailure, Certainty, CommitError, CommitId, Effect, Entry, Event, GLOBAL_MAX, InvalidPush, Notice, OwnEvent,
    PulledEvent, Reason, SessionId, SessionTxn, Skip, Stage, Standing, Status, SyncError, SyncState, Txn, Whereabouts,
};

use super::receipts::Outcome;

/// More than this many events in a row are shown by the first and the last of them.
const SHOWN: usize = 6;

pub(super) fn session(id: SessionId) -> String {
    format!("S{}", id.0[15])
}

pub(super) fn commit(id: CommitId) -> String {
    format!("{}-{}", session(id.session), id.ordinal)
}

pub(super) fn list(items: &[String]) -> String {
    match items {
        [] => "nothing".to_owned(),
        [first, .., last] if items.len() > SHOWN => format!("{first} .. {last} ({} events)", items.len()),
        _ => items.join(" "),
    }
}

pub(super) fn events<'a>(events: impl IntoIterator<Item = &'a Event>) -> String {
    list(&events.into_iter().map(|event| event.name.to_string()).collect::<Vec<_>>())
}

fn owned(events: &[OwnEvent]) -> String {
    self::events(events.iter().map(|own| &*own.event))
}

pub(super) fn page(events: &[PulledEvent]) -> String {
    let one = |event: &PulledEvent| {
        let whose = if *event.client == *super::CLIENT { "" } else { "'" };
        let gap = if event.parent + 1 == event.seq { String::new() } else { format!(" (after e{})", event.parent) };
        format!("{}{whose}@e{}{gap}", event.event.name, event.seq)
    };
    list(&events.iter().map(one).collect::<Vec<_>>())
}

pub(super) fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Materialise(order) => txn(order),
        Effect::Snapshot { session: id } => format!("snapshot for {}", session(*id)),
        Effect::Session { session: id, txn } => format!("database of {}: {}", session(*id), session_txn(txn)),
        Effect::Push(push) => {
            let placed = (push.parent + 1..).zip(&push.events).map(|(at, own)| format!("{}@e{at}", own.event.name));
            format!("push [{}] on e{}", list(&placed.collect::<Vec<_>>()), push.parent)
        }
        Effect::Pull(pull) => format!("pull after e{}{}", pull.after, if pull.fresh { " (fresh)" } else { "" }),
        Effect::Abandon { .. } => "abandon the pull under way".to_owned(),
        other => format!("{other:?}"),
    }
}

fn txn(txn: &Txn) -> String {
    let mut parts = Vec::new();
    if txn.wipe {
        parts.push("wipe the history".to_owned());
    }
    parts.extend(txn.undo_to.map(|to| format!("undo to {to}")));
    for failed in &txn.failed {
        let what = if failed.error.events() == Whereabouts::Quarantine { "quarantine" } else { "fail" };
        let events = if failed.events.is_empty() { String::new() } else { format!(" [{}]", owned(&failed.events)) };
        parts.push(format!("{what} {}{events}", commit(failed.commit)));
    }
    if !txn.release.is_empty() {
        let names = txn.release.iter().map(|id| format!("event {} of {}", id.ordinal, session(id.session)));
        parts.push(format!("release {}", names.collect::<Vec<_>>().join(", ")));
    }
    for group in txn.append.chunk_by(|a, b| a.standing == b.standing) {
        let standing = match group[0].standing {
            Standing::Confirmed => "confirmed",
            Standing::Pending => "pending",
            Standing::Local => "local",
        };
        parts.push(format!("append {} {standing}", entries(group)));
    }
    let heads = &txn.heads;
    parts.push(format!("heads e{}, settled {}", heads.upstream, heads.settled));
    if heads.acknowledged > heads.upstream {
        parts.push(format!("acknowledged e{}", heads.acknowledged));
    }
    match heads.own_after {
        0 => {}
        GLOBAL_MAX => parts.push("nothing of the backend's log is its own".to_owned()),
        after => parts.push(format!("its own come after e{after}")),
    }
    parts.extend(txn.marks.iter().map(|&(id, through)| format!("mark {}-{through}", session(id))));
    format!("txn {}: {}", txn.number, parts.join("; "))
}

pub(super) fn entry(entry: &Entry) -> String {
    let whose = if entry.own_id().is_some() { "" } else { "'" };
    format!("{}{whose}@{}", entry.event.name, entry.seq)
}

pub(super) fn entries(entries: &[Entry]) -> String {
    list(&entries.iter().map(entry).collect::<Vec<_>>())
}

fn session_txn(txn: &SessionTxn) -> String {
    let mut parts = Vec::new();
    if txn.undo > 0 {
        parts.push(format!("undo {}", txn.undo));
    }
    if txn.forget > 0 {
        parts.push(format!("keep no undo of the oldest {}", txn.forget));
    }
    if !txn.apply.is_empty() {
        parts.push(format!("apply {}", events(txn.apply.iter().map(|unit| &*unit.event))));
    }
    parts.join(", ")
}

pub(super) fn settled(id: CommitId, stage: Stage, outcome: &Outcome) -> String {
    let stage = match stage {
        Stage::Leader => "leader_sync",
        Stage::Backend => "backend_sync",
    };
    let how = match outcome {
        Outcome::Persisted => "Ok".to_owned(),
        Outcome::Confirmed(confirmed) => {
            let at: Vec<String> = confirmed.positions.iter().map(|at| format!("e{at}")).collect();
            let rebases = if confirmed.rebases > 0 { format!(", rebases {}", confirmed.rebases) } else { String::new() };
            format!("Ok, confirmed at {}{rebases}", list(&at))
        }
        Outcome::NotApplicable => "NotApplicable".to_owned(),
        Outcome::Failed(error) => format!("Err {}", self::error(error)),
    };
    format!("* {} {stage}: {how}", commit(id))
}

pub(super) fn error(error: &SyncError) -> String {
    let name = match error {
        SyncError::InvalidPush { cause: InvalidPush::BackendIdMismatch { .. }, .. } => "BackendIdMismatch",
        SyncError::InvalidPush { .. } => "InvalidPush",
        SyncError::IsOffline { .. } => "IsOffline",
        SyncError::Unknown { .. } => "Unknown",
        SyncError::Materialise { .. } => "Materialise",
        SyncError::Conflict { .. } => "Conflict",
        SyncError::Rejected { .. } => "Rejected",
        SyncError::Withdrawn { .. } => "Withdrawn",
        SyncError::Closed { .. } => "Closed",
        _ => "?",
    };
    let certainty = match error.certainty() {
        Certainty::NotApplied => "not applied".to_owned(),
        Certainty::Partial { confirmed } => format!("partial, {confirmed} confirmed"),
        Certainty::Unknown => "unknown whether applied".to_owned(),
        other => format!("{other:?}"),
    };
    let events = match error.events() {
        Whereabouts::Queued => "queued",
        Whereabouts::Quarantine => "in quarantine",
        Whereabouts::HandedBack => "handed back",
        _ => "?",
    };
    format!("{name}, {certainty}, events {events}: {error}")
}

pub(super) fn notice(notice: &Notice) -> String {
    let text = match notice {
        Notice::Rebased { events, behind, generation } => format!("{events} rebased behind {behind}, r{generation}"),
        Notice::Quarantined { commit: id, .. } => format!("{} is in quarantine", commit(*id)),
        Notice::Released { commit: id, at } => format!("an event of {} is out of quarantine, at {at}", commit(*id)),
        Notice::Skipped(skips) => format!("skipped {}", skips.iter().map(skip).collect::<Vec<_>>().join(", ")),
        Notice::EchoDiffers { commit: id, at } => format!("an event of {} came back with other bytes, at {at}", commit(*id)),
        Notice::Unreachable { message } => format!("the backend can't be reached: {message}"),
        Notice::Reachable => "the backend answers again".to_owned(),
        Notice::NeedsAuth { message } => format!("credentials wanted: {message}"),
        Notice::Stuck { commit: id, message } => format!("{} is stuck: {message}", commit(*id)),
        Notice::BackendIdMismatch { expected, received } => format!("another backend: {received} instead of {expected}"),
        Notice::BackendLogBroken { at } => format!("the backend's log has a gap after e{at}"),
        Notice::StorageTrouble(failure) => format!("storage: {:?}, {}", failure.class, failure.message),
        Notice::StorageWorks => "storage works again".to_owned(),
        Notice::Reseeding { session: id, message } => format!("{} is seeded anew: {message}", session(*id)),
        other => format!("{other:?}"),
    };
    format!("notice: {text}")
}

pub(super) fn skip(skip: &Skip) -> String {
    format!("{} ({})", skip.at, skip.reason)
}

pub(super) fn failure(failure: &BackendFailure) -> String {
    match failure {
        BackendFailure::Unreachable { message, maybe_applied: true } => format!("{message}; it may have been applied"),
        BackendFailure::Unreachable { message, maybe_applied: false } => format!("{message}; it was not sent"),
        BackendFailure::NeedsAuth { message } => format!("credentials wanted, {message}"),
        BackendFailure::ServerAhead { head } => format!("ServerAhead, the head is e{head}"),
        BackendFailure::Identity { theirs } => format!("this is {theirs}"),
        BackendFailure::Truncated { message } => format!("history is missing, {message}"),
        BackendFailure::Refused { events } => {
            let one = |(index, why): &(u32, std::sync::Arc<str>)| format!("number {index} for ever ({why})");
            format!("refused: {}", events.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        BackendFailure::Unknown { message } => format!("refused, without saying for how long: {message}"),
    }
}

pub(super) fn refusal(error: &CommitError) -> String {
    format!("no receipt, Err: {error}")
}

pub(super) fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::PushRetry => "push again",
        Reason::PullRetry => "pull again",
        Reason::StorageRetry => "write again",
        Reason::OfflineDeadline => "the offline deadline",
        Reason::Acknowledgement => "store an acknowledgement",
        Reason::StuckPolicy => "the policy for stuck commits",
        _ => "?",
    }
}

pub(super) fn status(status: &Status) -> String {
    let sync = match &status.sync {
        SyncState::NoBackend => "no backend".to_owned(),
        SyncState::Pulling => "pulling".to_owned(),
        SyncState::Pushing => "pushing".to_owned(),
        SyncState::Synced => "synced".to_owned(),
        SyncState::Offline { .. } => "offline".to_owned(),
        SyncState::NeedsAuth { .. } => "needs auth".to_owned(),
        SyncState::BackendIdMismatch { ignored, .. } => {
            if *ignored {
                "another backend, ignored".to_owned()
            } else {
                "another backend".to_owned()
            }
        }
        SyncState::BackendLogBroken { at } => format!("log broken after e{at}"),
        SyncState::StorageBroken { .. } => "storage broken".to_owned(),
        other => format!("{other:?}"),
    };
    let mut text = format!("= log to {}, confirmed to {}, {sync}", status.local_head, status.upstream_head);
    if status.pending_events > 0 {
        text += &format!(", pending {}", status.pending_events);
    }
    if status.pending_client_only > 0 {
        text += &format!(" and {} client-only", status.pending_client_only);
    }
    if let Some((id, _)) = &status.stuck {
        text += &format!(", {} stuck", commit(*id));
    }
    if let Some((_, why)) = &status.next {
        text += &format!(", waiting to {}", reason(*why));
    }
    text
}
