//! Whether several stores and their backend hold the same.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use countersign::backend::EmbeddedBackend;
use countersign::core::Pos;
use countersign::{LogState, Reader};

use super::actor::Actor;
use crate::exit::Exit;
use crate::failure::Result;

/// An event of the one log, as each of them has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) seq: u64,
    /// The client that wrote it.
    pub(super) client: String,
    pub(super) name: String,
    pub(super) args: String,
}

/// What was compared, and what differs.
pub(super) struct Check {
    /// The backend's.
    pub(super) log: Vec<Event>,
    /// Who is which client.
    pub(super) names: BTreeMap<String, &'static str>,
    /// Where each log was read, and how long it is.
    pub(super) compared: Vec<(&'static str, usize)>,
    pub(super) differences: Vec<String>,
}

impl Check {
    pub(super) fn new(actors: &[&Actor], backend: &EmbeddedBackend) -> Result<Self> {
        let pulled = backend.log()?.into_iter().map(|pulled| Event {
            seq: pulled.seq,
            client: pulled.client.to_string(),
            name: pulled.event.name.to_string(),
            args: pulled.event.args.to_string(),
        });
        let log: Vec<Event> = pulled.collect();
        let mut check = Self { compared: vec![("backend", log.len())], log, names: BTreeMap::new(), differences: Vec::new() };
        let mut states = Vec::new();
        for actor in actors {
            let mut reader = Reader::open(&actor.path)?;
            check.names.insert(reader.client().to_string(), actor.name);
            let confirmed = confirmed(&mut reader)?;
            check.compared.push((actor.name, confirmed.len()));
            check.differences.extend(difference(actor.name, &confirmed, &check.log));
            states.push((actor.name, actor.store.dump().map_err(|error| actor.went_wrong(&error.to_string()))?));
        }
        check.differences.extend(states.windows(2).filter_map(|pair| match pair {
            [(a, of_a), (b, of_b)] if of_a != of_b => Some(format!("the states of {a} and {b} differ:\n{of_a}\n{of_b}")),
            _ => None,
        }));
        Ok(check)
    }

    pub(super) fn exit(&self) -> Exit {
        if self.differences.is_empty() { Exit::Reached } else { Exit::Machine }
    }
}

fn confirmed(reader: &mut Reader) -> Result<Vec<Event>> {
    let own = reader.client().clone();
    let mut confirmed = Vec::new();
    reader.each(Pos::ROOT, |row| {
        if row.state == LogState::Confirmed {
            let client = match &row.entry.origin {
                countersign::core::Origin::Own { .. } => own.to_string(),
                countersign::core::Origin::Foreign { client, .. } => client.to_string(),
            };
            let (seq, event) = (row.entry.seq.pos.global, &row.entry.event);
            confirmed.push(Event { seq, client, name: event.name.to_string(), args: event.args.to_string() });
        }
        ControlFlow::Continue(())
    })?;
    Ok(confirmed)
}

/// The first place where a log is not the backend's.
fn difference(name: &str, log: &[Event], backend: &[Event]) -> Option<String> {
    let longest = log.len().max(backend.len());
    let at = (0..longest).find(|at| log.get(*at) != backend.get(*at))?;
    Some(format!("{name}'s log differs from the backend's: {:?} there, {:?} in the backend", log.get(at), backend.get(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        let event = |seq, args: &str| Event { seq, client: "c".into(), name: "n".into(), args: args.into() };
        let log = [event(1, "1"), event(2, "2")];
        assert_eq!(difference("anna", &log, &log), None);
        for other in [&log[..1], &[event(1, "1"), event(2, "3")], &[event(1, "1"), event(2, "2"), event(3, "3")]] {
            let said = difference("anna", other, &log).unwrap();
            assert!(said.starts_with("anna's log differs from the backend's: "), "{said}");
        }
    }
}
