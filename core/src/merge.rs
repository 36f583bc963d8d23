//! One merge for both boundaries: session against leader, leader against backend.
//!
//! Given what this side believes (its pending events, the upstream's head) and what the upstream says, the answer is to
//! *advance*, to *rebase* or to *reject*. It is a delta of indices, never a copied list: a caller with a million pending
//! events pays for those that the upstream names.
//!
//! The merge knows neither identities nor content; it is told when two events are the same. LiveStore compares
//! positions, so that an event which an upstream has moved is applied twice; the machines compare identities.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::seq::{Pos, Seq};

/// What is the same, as far as a boundary is concerned. `P` is a pending event, `I` one that the upstream names.
pub trait Boundary<P, I> {
    /// Where the upstream says that the event stands.
    fn position(&self, incoming: &I) -> Pos;

    /// Whether the upstream never names such an event, so that it is passed over when the two lists are compared.
    fn passes_over(&self, pending: &P) -> bool;

    /// Whether the two are the same event, each being the next in its list.
    fn same(&mut self, pending: &P, incoming: &I) -> bool;

    /// After the lists have parted: the pending event that this is, wherever it stands at or after `from`. Each is named at
    /// most once. By default none is.
    fn elsewhere(&mut self, _pending: &VecDeque<P>, _from: usize, _incoming: &I) -> Option<usize> {
        None
    }
}

/// What the upstream says.
#[derive(Clone, Copy, Debug)]
pub enum Upstream<'a, I> {
    /// These follow what it said before.
    Advance(&'a [I]),
    /// It has taken back part of what it said before, and goes on with these. All pending events stand on what is gone.
    Rebase(&'a [I]),
}

/// What follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Delta {
    /// Nothing moves.
    Advance {
        /// This many of the oldest pending events are confirmed where they stand.
        confirmed: usize,
        /// This many of the first incoming events are those; the others are new, and come after everything.
        taken: usize,
    },
    /// What is pending after the confirmed part is undone; the incoming events after `taken` are applied, then what is left.
    Rebase {
        /// This many of the oldest pending events are confirmed where they stand.
        confirmed: usize,
        /// This many of the first incoming events are those.
        taken: usize,
        /// Of the incoming events after that, these (first index) are pending events (second index): confirmed at a new place.
        moved: Vec<(usize, usize)>,
    },
}

/// The upstream breaks the contract. LiveStore dies here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MergeError {
    /// Events are not in strictly ascending order.
    #[error("events must be in strictly ascending order: number {index} stands at {at}, after {before}")]
    NotAscending {
        /// The index of the first that is not.
        index: usize,
        /// Where it stands.
        at: Pos,
        /// Where the one before it stands.
        before: Pos,
    },
    /// The first event is not after what the upstream said before.
    #[error("incoming events must be after the upstream head {head}: the first stands at {first}")]
    NotAfterHead {
        /// What the upstream had said before.
        head: Pos,
        /// Where the first incoming event stands.
        first: Pos,
    },
    /// An event of a list does not name the one before it as its parent.
    #[error("the chain is broken at number {index}, {at}: its parent is {parent}, the event before it is {before}")]
    BrokenChain {
        /// The index of the event.
        index: usize,
        /// Where it stands.
        at: Pos,
        /// The parent that it names.
        parent: Pos,
        /// Where the event before it stands.
        before: Pos,
    },
}

/// Merges what the upstream says into what is pending.
///
/// Costs time in proportion to the incoming events and the confirmed ones, plus what [`Boundary::elsewhere`] costs.
///
/// # Errors
///
/// If the incoming events are not in ascending order, or an advance is not after `head`.
pub fn merge<P, I, B: Boundary<P, I>>(
    pending: &VecDeque<P>,
    head: Pos,
    upstream: &Upstream<'_, I>,
    boundary: &mut B,
) -> Result<Delta, MergeError> {
    let (Upstream::Advance(incoming) | Upstream::Rebase(incoming)) = *upstream;
    check_ascending(incoming.iter().map(|event| boundary.position(event)))?;
    if let Upstream::Rebase(_) = upstream {
        return Ok(Delta::Rebase { confirmed: 0, taken: 0, moved: moved(pending, 0, incoming, 0, boundary) });
    }
    let Some(first) = incoming.first() else {
        return Ok(Delta::Advance { confirmed: 0, taken: 0 });
    };
    let first = boundary.position(first);
    if first <= head {
        return Err(MergeError::NotAfterHead { head, first });
    }

    let mut next = 0;
    let mut confirmed = 0;
    for (taken, event) in incoming.iter().enumerate() {
        next = pass_over(pending, next, boundary);
        debug_assert!(taken <= confirmed && confirmed <= next && next <= pending.len(), "each of them is one that is pending");
        let Some(candidate) = pending.get(next) else {
            debug_assert!(next == pending.len(), "what is left is new, and nothing is left to move");
            return Ok(Delta::Advance { confirmed: next, taken });
        };
        if !boundary.same(candidate, event) {
            let moved = moved(pending, confirmed, &incoming[taken..], taken, boundary);
            debug_assert!(confirmed < pending.len() && taken < incoming.len(), "something moves behind something");
            debug_assert!(moved.len() <= (pending.len() - confirmed).min(incoming.len() - taken));
            return Ok(Delta::Rebase { confirmed, taken, moved });
        }
        next += 1;
        confirmed = next;
    }
    Ok(Delta::Advance { confirmed: pass_over(pending, next, boundary), taken: incoming.len() })
}

fn pass_over<P, I, B: Boundary<P, I>>(pending: &VecDeque<P>, mut next: usize, boundary: &B) -> usize {
    while pending.get(next).is_some_and(|event| boundary.passes_over(event)) {
        next += 1;
    }
    next
}

fn moved<P, I, B: Boundary<P, I>>(
    pending: &VecDeque<P>,
    from: usize,
    incoming: &[I],
    offset: usize,
    boundary: &mut B,
) -> Vec<(usize, usize)> {
    let mut moved = Vec::new();
    for (i, event) in incoming.iter().enumerate() {
        if let Some(index) = boundary.elsewhere(pending, from, event) {
            debug_assert!(index >= from && index < pending.len());
            debug_assert!(moved.iter().all(|&(_, earlier)| earlier != index));
            moved.push((offset + i, index));
        }
    }
    moved
}

/// Whether events that a downstream sends, the first of which it has given the place `first`, stand on `head`.
///
/// # Errors
///
/// The first place that is free, if they do not: the downstream has to rebase first.
pub fn admit(head: Pos, first: Pos) -> Result<(), Pos> {
    if first > head { Ok(()) } else { Err(head.next(true)) }
}

/// Finds the events to take out of `pending`: the first index from which everything has to be renumbered, and how many go.
/// Withdrawal is the second verb beside [`merge`]: poison, refusal, a failed guard, and the user use it.
pub fn withdraw<P>(pending: &VecDeque<P>, mut goes: impl FnMut(&P) -> bool) -> Option<(usize, usize)> {
    let first = pending.iter().position(&mut goes)?;
    let count = 1 + pending.iter().skip(first + 1).filter(|event| goes(event)).count();
    debug_assert!(count <= pending.len() - first, "all of them are at or behind the first");
    Some((first, count))
}

/// Checks that places are in strictly ascending order.
///
/// # Errors
///
/// Names the first that is not.
pub fn check_ascending(places: impl IntoIterator<Item = Pos>) -> Result<(), MergeError> {
    let mut before = None;
    for (index, at) in places.into_iter().enumerate() {
        match before {
            Some(before) if at <= before => return Err(MergeError::NotAscending { index, at, before }),
            _ => before = Some(at),
        }
    }
    Ok(())
}

/// Checks that events, each given by its number and the place of its parent, are in ascending order and form a chain: a
/// synced event follows any event, a client-only one its neighbour. Gaps in the global numbers are not seen here.
///
/// # Errors
///
/// Names the first that does not fit.
pub fn check_chain(events: impl Iterator<Item = (Seq, Pos)> + Clone) -> Result<(), MergeError> {
    check_ascending(events.clone().map(|(seq, _)| seq.pos))?;
    let mut before: Option<Pos> = None;
    for (index, (Seq { pos: at, .. }, parent)) in events.enumerate() {
        if let Some(before) = before {
            let follows = if at.global > before.global { at.client == 0 } else { parent == before };
            if !follows {
                return Err(MergeError::BrokenChain { index, at, parent, before });
            }
        }
        before = Some(at);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events are (name, position); upper case is synced; the same name is the same event.
    struct ByName {
        passes_over: bool,
        anywhere: bool,
        named: Vec<usize>,
    }

    type Event = (char, Pos);

    impl Boundary<Event, Event> for ByName {
        fn position(&self, incoming: &Event) -> Pos {
            incoming.1
        }

        fn passes_over(&self, pending: &Event) -> bool {
            self.passes_over && pending.0.is_lowercase()
        }

        fn same(&mut self, pending: &Event, incoming: &Event) -> bool {
            pending.0 == incoming.0 && (self.anywhere || pending.1 == incoming.1)
        }

        fn elsewhere(&mut self, pending: &VecDeque<Event>, from: usize, incoming: &Event) -> Option<usize> {
            let found =
                (from..pending.len()).find(|i| self.anywhere && pending[*i].0 == incoming.0 && !self.named.contains(i))?;
            self.named.push(found);
            Some(found)
        }
    }

    /// `"A c B"` numbered from the place after `head`.
    fn list(head: Pos, names: &str) -> VecDeque<Event> {
        let mut at = head;
        let number = |name: char| {
            at = at.next(name.is_lowercase());
            (name, at)
        };
        names.chars().filter(|c| *c != ' ').map(number).collect()
    }

    fn leader(pending: &str, incoming: &str) -> Delta {
        let incoming: Vec<Event> = list(Pos::ROOT, incoming).into();
        let mut by_name = ByName { passes_over: true, anywhere: true, named: Vec::new() };
        merge(&list(Pos::ROOT, pending), Pos::ROOT, &Upstream::Advance(&incoming), &mut by_name).unwrap()
    }

    #[test]
    fn what_comes_back_in_place_is_confirmed() {
        assert_eq!(leader("A B", "A"), Delta::Advance { confirmed: 1, taken: 1 });
        assert_eq!(leader("c A d B", "A"), Delta::Advance { confirmed: 3, taken: 1 });
        assert_eq!(leader("A", "A X"), Delta::Advance { confirmed: 1, taken: 1 });
        assert_eq!(leader("c", "X"), Delta::Advance { confirmed: 1, taken: 0 });
        assert_eq!(leader("A", ""), Delta::Advance { confirmed: 0, taken: 0 });
    }

    // Verifies: L4 (an own event that comes back is never taken for a new one, client-only events before it or not)
    #[test]
    fn a_foreign_event_moves_only_what_comes_after_it() {
        let rebase = |confirmed, taken, moved: &[_]| Delta::Rebase { confirmed, taken, moved: moved.to_vec() };
        assert_eq!(leader("A B", "A X"), rebase(1, 1, &[]));
        assert_eq!(leader("c A B", "A X"), rebase(2, 1, &[]));
        assert_eq!(leader("c d A B", "A X"), rebase(3, 1, &[]));
        assert_eq!(leader("A c B", "A X"), rebase(1, 1, &[]));
        assert_eq!(leader("c A", "X"), rebase(0, 0, &[]));
    }

    // Verifies: R8
    #[test]
    fn an_own_event_is_recognised_wherever_it_stands() {
        assert_eq!(leader("A", "X A"), Delta::Rebase { confirmed: 0, taken: 0, moved: alloc::vec![(1, 0)] });
        assert_eq!(leader("A B C", "A X C"), Delta::Rebase { confirmed: 1, taken: 1, moved: alloc::vec![(2, 2)] });
    }

    #[test]
    fn a_broken_upstream_is_an_error() {
        let run = |incoming: &[Event]| {
            let mut by_name = ByName { passes_over: true, anywhere: false, named: Vec::new() };
            merge(&VecDeque::new(), Pos::synced(2), &Upstream::Advance(incoming), &mut by_name)
        };
        let at = |n| ('X', Pos::synced(n));
        assert_eq!(run(&[at(2)]), Err(MergeError::NotAfterHead { head: Pos::synced(2), first: Pos::synced(2) }));
        let not_ascending = MergeError::NotAscending { index: 1, at: Pos::synced(3), before: Pos::synced(4) };
        assert_eq!(run(&[at(4), at(3)]), Err(not_ascending));
    }

    #[test]
    fn withdrawal_names_the_first_that_has_to_be_renumbered() {
        let pending = list(Pos::ROOT, "A B C B");
        assert_eq!(withdraw(&pending, |event| event.0 == 'B'), Some((1, 2)));
        assert_eq!(withdraw(&pending, |event| event.0 == 'X'), None);
    }

    #[test]
    fn a_chain_has_no_jump_to_a_client_only_event() {
        let seq = |text: &str| text.parse::<Seq>().unwrap();
        let pos = |text: &str| text.parse::<Pos>().unwrap();
        let chain = [(seq("e1"), pos("e0")), (seq("e1.1"), pos("e1")), (seq("e2"), pos("e1"))];
        assert_eq!(check_chain(chain.into_iter()), Ok(()));
        let jump = [(seq("e1"), pos("e0")), (seq("e1.2"), pos("e1.1"))];
        assert!(matches!(check_chain(jump.into_iter()), Err(MergeError::BrokenChain { index: 1, .. })));
    }
}
