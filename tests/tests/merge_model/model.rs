//! LiveStore's decisions as one reads them off its table: whole lists, compared index by index. Nothing here is shared with
//! the merge that it judges.

/// A place: global number, client number. Generations decide nothing.
pub(crate) type At = (u64, u64);

/// An event; the label says which of all that are spoken of, so that a copy from upstream is not the own event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ev {
    pub(crate) label: u64,
    pub(crate) at: At,
    pub(crate) parent: At,
    pub(crate) client_only: bool,
    /// Events of one content, and both client-only or both not, have the same name, author and arguments.
    pub(crate) content: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) pending: Vec<Ev>,
    pub(crate) upstream: At,
    pub(crate) local: At,
}

#[derive(Clone, Debug)]
pub(crate) enum Said {
    Advance(Vec<Ev>),
    Rebase { new: Vec<Ev>, rollback: Vec<Ev> },
    Local(Vec<Ev>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Advance { state: State, new: Vec<Ev>, confirmed: Vec<Ev> },
    Rebase { state: State, new: Vec<Ev>, rollback: Vec<Ev> },
    Reject(At),
    Die,
}

pub(crate) fn merge(state: &State, said: &Said, ignores: bool) -> Outcome {
    let (Said::Advance(new) | Said::Rebase { new, .. } | Said::Local(new)) = said;
    if breaks_chain(&state.pending) || new.windows(2).any(|two| two[1].at <= two[0].at) {
        return Outcome::Die;
    }
    match said {
        Said::Rebase { new, rollback } => {
            let moved = renumbered(&state.pending, new.last().map_or(state.upstream, |last| last.at));
            rebased(state, new, &moved, new, [rollback.as_slice(), &state.pending].concat())
        }
        Said::Advance(new) => advance(state, new, ignores),
        Said::Local(new) => push(state, new, ignores),
    }
}

pub(crate) fn breaks_chain(events: &[Ev]) -> bool {
    events.windows(2).any(|two| {
        let (before, after) = (two[0], two[1]);
        let fits = if after.at.0 > before.at.0 { after.at.1 == 0 } else { after.parent == before.at };
        after.at <= before.at || !fits
    })
}

fn advance(state: &State, new: &[Ev], ignores: bool) -> Outcome {
    let pending = &state.pending;
    if new.is_empty() {
        return Outcome::Advance { state: state.clone(), new: vec![], confirmed: vec![] };
    }
    if new[0].at <= state.upstream {
        return Outcome::Die;
    }
    let seen: Vec<usize> = (0..pending.len()).filter(|i| !(ignores && pending[*i].client_only)).collect();
    let differ = |i: &usize| {
        let (own, other) = (pending[seen[*i]], new[*i]);
        (own.at, own.client_only, own.content) != (other.at, other.client_only, other.content)
    };
    let compared = seen.len().min(new.len());
    if let Some(parted) = (0..compared).find(differ) {
        // After the last event that did match.
        let from = if parted == 0 { 0 } else { seen[parted - 1] + 1 };
        let moved = renumbered(&pending[from..], new[new.len() - 1].at);
        return rebased(state, new, &moved, &new[parted..], pending[from..].to_vec());
    }
    // Up to the first that is still waiting.
    let confirmed = if compared < seen.len() { seen[compared] } else { pending.len() };
    let remaining = pending[confirmed..].to_vec();
    let upstream = new[new.len() - 1].at;
    let local = remaining.last().map_or(state.local.max(upstream), |last| last.at);
    let to_apply = new.iter().filter(|event| pending.iter().all(|own| own.at != event.at)).copied().collect();
    Outcome::Advance {
        state: State { pending: remaining, upstream, local },
        new: to_apply,
        confirmed: pending[..confirmed].to_vec(),
    }
}

fn rebased(state: &State, said: &[Ev], moved: &[Ev], to_apply: &[Ev], rollback: Vec<Ev>) -> Outcome {
    let upstream = said.last().map_or(state.upstream, |last| last.at);
    let local = moved.last().map_or(upstream, |last| last.at);
    let state = State { pending: moved.to_vec(), upstream, local };
    Outcome::Rebase { state, new: [to_apply, moved].concat(), rollback }
}

fn renumbered(events: &[Ev], base: At) -> Vec<Ev> {
    let mut before = base;
    let mut moved = Vec::new();
    for event in events {
        let (at, parent) = follow(before, event.client_only);
        moved.push(Ev { at, parent, ..*event });
        before = at;
    }
    moved
}

/// The place after this one, and its parent.
pub(crate) fn follow(before: At, client_only: bool) -> (At, At) {
    if client_only { ((before.0, before.1 + 1), before) } else { ((before.0 + 1, 0), (before.0, 0)) }
}

fn push(state: &State, new: &[Ev], ignores: bool) -> Outcome {
    if new.is_empty() {
        return Outcome::Advance { state: state.clone(), new: vec![], confirmed: vec![] };
    }
    if new[0].at <= state.local {
        return Outcome::Reject((state.local.0, state.local.1 + 1));
    }
    let mut pending = state.pending.clone();
    pending.extend(new.iter().filter(|event| !(ignores && event.client_only)));
    if breaks_chain(&pending) {
        return Outcome::Die;
    }
    let local = pending.last().map_or(state.local.max(state.upstream), |last| last.at);
    Outcome::Advance { state: State { pending, upstream: state.upstream, local }, new: new.to_vec(), confirmed: vec![] }
}
