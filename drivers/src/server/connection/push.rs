//! A push: checked, appended, and how it ended in the peer's words.

use countersign_core::{BackendFailure, BackendId, PulledEvent};

use super::visitor::Visitor;
use crate::backend::log::Draft;
use crate::livestore::protocol::{Cause, Dialect, Exit, Fail, Ours, PushCall, SuccessValue};

/// The log can't be used: nothing is known for sure, and the connection ends instead of an answer, so that the client tries
/// again.
#[derive(Debug)]
pub(super) struct OutOfOrder;

impl OutOfOrder {
    pub(super) const MESSAGE: &str = "the server can't use the log of this store right now; try again later";
}

/// Takes a batch, or says why not. What has ended well is on disk, and published.
pub(super) async fn push(visitor: &Visitor, call: PushCall, dialect: Dialect) -> Result<Exit, OutOfOrder> {
    let pushes = &visitor.host.metrics.pushes;
    if !visitor.grant.write {
        pushes.denied.add(1);
        return Ok(may_not("write", visitor));
    }
    // Their own server refuses it, and their clients could not read it back.
    if let (Some(missing), Dialect::List) = (call.void.first(), dialect) {
        pushes.refused.add(1);
        return Ok(die(format!("Missing key\n  at [\"batch\"][{missing}][\"args\"]")));
    }
    if let Err((index, why)) = check_chain(&call.events) {
        pushes.refused.add(1);
        return Ok(refused(vec![(index, why.into())]));
    }
    let PushCall { events, void, backend, .. } = call;
    let parent = events.first().map_or(0, |first| first.parent);
    let drafts: Vec<Draft> = events.into_iter().enumerate().map(|(i, event)| draft(event, void.contains(&i))).collect();
    let count = drafts.len();
    match visitor.log.push(backend.clone(), parent, drafts).await {
        Ok(()) => {
            pushes.taken.add(1);
            visitor.host.metrics.events_taken.add(count);
            Ok(Exit::Success(SuccessValue::Pushed))
        }
        Err(failure) => {
            match &failure {
                BackendFailure::ServerAhead { .. } => &pushes.ahead,
                BackendFailure::Identity { .. } => &pushes.other_backend,
                BackendFailure::Refused { .. } => &pushes.refused,
                _ => &pushes.failed,
            }
            .add(1);
            ended(visitor, failure, backend.as_ref(), parent)
        }
    }
}

/// How a call ends that the log has not carried out.
pub(super) fn ended(
    visitor: &Visitor,
    failure: BackendFailure,
    received: Option<&BackendId>,
    parent: u64,
) -> Result<Exit, OutOfOrder> {
    let number = |position: u64| i64::try_from(position).unwrap_or(i64::MAX);
    Ok(match failure {
        BackendFailure::ServerAhead { head } => {
            Exit::fail(Fail::ServerAhead { minimum_expected: number(head), provided: number(parent) })
        }
        BackendFailure::Identity { theirs } => {
            let received = received.cloned().unwrap_or_else(|| "".into());
            Exit::fail(Fail::BackendIdMismatch { expected: theirs, received })
        }
        BackendFailure::Refused { events } => refused(events),
        BackendFailure::Unknown { message } => Exit::fail(Fail::Unknown { message: message.to_string(), ours: None }),
        BackendFailure::Unreachable { message, .. }
        | BackendFailure::NeedsAuth { message }
        | BackendFailure::Truncated { message } => {
            visitor.host.metrics.refusals.storage.add(1);
            tracing::error!(store = %visitor.store_id, error = %message, "the log of a store is out of order");
            return Err(OutOfOrder);
        }
    })
}

/// The answer to who may not do this.
pub(super) fn may_not(what: &str, visitor: &Visitor) -> Exit {
    let message = format!("this token may not {what} the store {}; ask who runs this server to allow it", visitor.store_id);
    Exit::fail(Fail::Unknown { ours: Some(Ours::NeedsAuth(message.as_str().into())), message })
}

/// The answer to what can't be understood.
pub(super) fn die(message: String) -> Exit {
    Exit::Failure(vec![Cause::Die(message)])
}

fn refused(events: Vec<(u32, std::sync::Arc<str>)>) -> Exit {
    let message = events.iter().map(|(index, why)| format!("event {index} of the batch: {why}")).collect::<Vec<_>>().join("; ");
    Exit::fail(Fail::Unknown { message, ours: Some(Ours::Refused(events)) })
}

/// A batch is a chain: each event stands on the one before it, one position further on.
fn check_chain(events: &[PulledEvent]) -> Result<(), (u32, String)> {
    let mut parent = events.first().map_or(0, |first| first.parent);
    for (i, event) in events.iter().enumerate() {
        if event.parent != parent || parent.checked_add(1) != Some(event.seq) {
            let PulledEvent { seq, parent: theirs, .. } = event;
            let why = format!(
                "e{seq} on e{theirs} is no link of a chain here: it has to be e{} on e{parent}",
                parent.saturating_add(1)
            );
            return Err((u32::try_from(i).unwrap_or(u32::MAX), why));
        }
        parent = event.seq;
    }
    Ok(())
}

fn draft(event: PulledEvent, void: bool) -> Draft {
    let PulledEvent { client, session, ids, event, .. } = event;
    Draft { client, session, ids, event, void }
}
