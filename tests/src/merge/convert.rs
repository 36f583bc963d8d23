use std::cmp::max_by_key;
use std::collections::VecDeque;

use countersign_core::merge::{Boundary, Delta, MergeError, Upstream, admit, check_ascending, check_chain, merge};
use countersign_core::{GLOBAL_MAX, Pos, Seq};

use super::form::{Event, Outcome, PayloadTag, Request, SyncState};
use super::livestore::{ClientOnly, LiveStore};

/// A number after this one is needed, and there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the numbers end at {after}: use lower ones")]
pub struct NoRoom {
    after: Seq,
}

/// What comes of a payload, as LiveStore puts it.
///
/// # Errors
///
/// If the answer would need a number beyond the largest that the notation has.
pub fn answer(request: Request) -> Result<Outcome, NoRoom> {
    let Request { sync_state: state, payload, client_only_names, ignore_client_only_events, .. } = request;
    let client_only = client_only_names.map_or(ClientOnly::ByPlace, ClientOnly::Named);
    let boundary = LiveStore { client_only: &client_only, ignore_client_only: ignore_client_only_events.unwrap_or(false) };
    let rollback = payload.rollback_events.unwrap_or_default();
    let outcome = match payload.tag {
        PayloadTag::UpstreamAdvance => from_upstream(state, payload.new_events, None, boundary),
        PayloadTag::UpstreamRebase => from_upstream(state, payload.new_events, Some(rollback), boundary),
        PayloadTag::LocalPush => from_downstream(state, payload.new_events, boundary),
    };
    match outcome {
        Ok(outcome) => Ok(outcome),
        Err(Failure::Broken(broken)) => Ok(Outcome::Die { message: broken.to_string() }),
        Err(Failure::NoRoom(no_room)) => Err(no_room),
    }
}

enum Failure {
    Broken(Broken),
    NoRoom(NoRoom),
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<NoRoom> for Failure {
    fn from(no_room: NoRoom) -> Self {
        Self::NoRoom(no_room)
    }
}

/// Where the contract is broken. Numbers in lists count from 0.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("syncState.pending: {0}")]
    Pending(MergeError),
    #[error("payload.newEvents: {0}")]
    Incoming(MergeError),
    #[error("syncState.pending with payload.newEvents appended: {0}")]
    Appended(MergeError),
}

/// `rolled_back` is what the upstream takes back, if it does.
fn from_upstream(
    state: SyncState,
    incoming: Vec<Event>,
    rolled_back: Option<Vec<Event>>,
    mut boundary: LiveStore<'_>,
) -> Result<Outcome, Failure> {
    check_pending(&state.pending).map_err(Broken::Pending)?;
    let upstream = if rolled_back.is_some() { Upstream::Rebase(&incoming) } else { Upstream::Advance(&incoming) };
    let delta = merge(&state.pending, state.upstream_head.pos, &upstream, &mut boundary).map_err(Broken::Incoming)?;
    match delta {
        Delta::Advance { confirmed, taken } => Ok(advance(state, incoming, confirmed, taken)),
        // None is moved: an event elsewhere is another one to LiveStore.
        Delta::Rebase { confirmed, taken, moved: _ } => {
            let rolled_back = rolled_back.unwrap_or_default();
            Ok(rebase(state, incoming, rolled_back, confirmed, taken, boundary.client_only)?)
        }
    }
}

fn advance(state: SyncState, mut incoming: Vec<Event>, confirmed: usize, taken: usize) -> Outcome {
    let SyncState { mut pending, upstream_head, local_head } = state;
    let Some(last) = incoming.last() else {
        let new_sync_state = SyncState { pending, upstream_head, local_head };
        return Outcome::Advance { new_sync_state, new_events: Vec::new(), confirmed_events: Vec::new() };
    };
    let upstream_head = last.seq_num;
    let mut new_events = incoming.split_off(taken);
    // A client-only event that was passed over, and is named after all, keeps its place and is not applied again.
    new_events.retain(|event| pending.binary_search_by_key(&event.seq_num.pos, |own| own.seq_num.pos).is_err());
    let remaining = pending.split_off(confirmed);
    let local_head = remaining.back().map_or_else(|| later(local_head, upstream_head), |last| last.seq_num);
    Outcome::Advance {
        new_sync_state: SyncState { pending: remaining, upstream_head, local_head },
        new_events,
        confirmed_events: pending.into(),
    }
}

fn rebase(
    state: SyncState,
    mut incoming: Vec<Event>,
    mut rollback_events: Vec<Event>,
    confirmed: usize,
    taken: usize,
    client_only: &ClientOnly,
) -> Result<Outcome, NoRoom> {
    let SyncState { mut pending, upstream_head, .. } = state;
    let upstream_head = incoming.last().map_or(upstream_head, |last| last.seq_num);
    let moving = pending.split_off(confirmed);
    rollback_events.extend(moving.iter().cloned());
    let moved = renumber(moving, upstream_head, client_only)?;
    let local_head = moved.back().map_or(upstream_head, |last| last.seq_num);
    let mut new_events = incoming.split_off(taken);
    new_events.extend(moved.iter().cloned());
    let new_sync_state = SyncState { pending: moved, upstream_head, local_head };
    Ok(Outcome::Rebase { new_sync_state, new_events, rollback_events })
}

/// Numbers events as they follow `base`, in one generation after all that they and it have had.
fn renumber(mut events: VecDeque<Event>, base: Seq, client_only: &ClientOnly) -> Result<VecDeque<Event>, NoRoom> {
    let newest = events.iter().map(|event| event.seq_num).chain([base]).max_by_key(|seq| seq.generation).unwrap_or(base);
    let mut before = base;
    for event in &mut events {
        let generation = newest.generation.checked_add(1).ok_or(NoRoom { after: newest })?;
        let is_client_only = client_only.is(event);
        event.seq_num = Seq::new(next(before, is_client_only)?, generation);
        // Between the events of the global order there may be client-only ones; they are no one's parent there.
        event.parent_seq_num = if is_client_only { before } else { Seq::new(Pos::synced(before.pos.global), before.generation) };
        before = event.seq_num;
    }
    Ok(events)
}

fn from_downstream(state: SyncState, pushed: Vec<Event>, boundary: LiveStore<'_>) -> Result<Outcome, Failure> {
    let SyncState { mut pending, upstream_head, mut local_head } = state;
    check_pending(&pending).map_err(Broken::Pending)?;
    check_ascending(pushed.iter().map(|event| event.seq_num.pos)).map_err(Broken::Incoming)?;
    if let Some(first) = pushed.first() {
        next(local_head, true)?;
        if let Err(minimum) = admit(local_head.pos, first.seq_num.pos) {
            return Ok(Outcome::Reject { expected_minimum_id: Seq::new(minimum, local_head.generation) });
        }
        pending.extend(pushed.iter().filter(|event| !boundary.passes_over(event)).cloned());
        check_pending(&pending).map_err(Broken::Appended)?;
        local_head = pending.back().map_or_else(|| later(local_head, upstream_head), |last| last.seq_num);
    }
    let new_sync_state = SyncState { pending, upstream_head, local_head };
    Ok(Outcome::Advance { new_sync_state, new_events: pushed, confirmed_events: Vec::new() })
}

fn check_pending(pending: &VecDeque<Event>) -> Result<(), MergeError> {
    check_chain(pending.iter().map(|event| (event.seq_num, event.parent_seq_num.pos)))
}

fn next(after: Seq, client_only: bool) -> Result<Pos, NoRoom> {
    let room = if client_only { after.pos.client < u32::MAX } else { after.pos.global < GLOBAL_MAX };
    if room { Ok(after.pos.next(client_only)) } else { Err(NoRoom { after }) }
}

/// The later place, or of one place the later generation.
fn later(a: Seq, b: Seq) -> Seq {
    max_by_key(a, b, |seq| (seq.pos, seq.generation))
}
