//! The materialiser of the simulated world: two tables, and events that some states refuse.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::{Event, Guard, Poison};

/// What the events of a world do. `Insert` fails if the key is there, `Delete` if it is not; the order of `Append`s shows.
pub(crate) const SYNCED: [&str; 4] = ["v1.Append", "v1.Put", "v1.Insert", "v1.Delete"];
pub(crate) const CLIENT_ONLY: [&str; 2] = ["ui.Set", "ui.Insert"];
/// What guards ask of a key: that it is not there, or that it is.
pub(crate) const GUARDS: [&str; 2] = ["v1.Free", "v1.Taken"];
/// The backend refuses it for ever.
pub(crate) const FORBIDDEN: &str = "v1.Forbidden";
/// The backend refuses it without saying for how long: for ever.
pub(crate) const STUCK: &str = "v1.Stuck";
/// The same, but only until faults stop.
pub(crate) const STICKY: &str = "v1.Sticky";

/// The state tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) synced: BTreeMap<u64, u64>,
    pub(crate) local: BTreeMap<u64, u64>,
}

/// How to take one event back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Undo {
    local: bool,
    key: u64,
    old: Option<u64>,
}

impl State {
    pub(crate) fn apply(&mut self, event: &Event) -> Result<Undo, &'static str> {
        let (key, value) = arguments(&event.args);
        let local = event.client_only;
        let table = if local { &mut self.local } else { &mut self.synced };
        let old = table.get(&key).copied();
        let name = event.name.as_ref();
        if name.ends_with(".Insert") && old.is_some() {
            return Err("UNIQUE constraint failed");
        }
        if name.ends_with(".Delete") {
            if old.is_none() {
                return Err("CHECK constraint failed: there is no such row");
            }
            table.remove(&key);
        } else if name.ends_with(".Append") {
            table.insert(key, old.unwrap_or(0).wrapping_mul(31).wrapping_add(value + 1));
        } else {
            table.insert(key, value);
        }
        Ok(Undo { local, key, old })
    }

    pub(crate) fn undo(&mut self, undo: &Undo) {
        let table = if undo.local { &mut self.local } else { &mut self.synced };
        match undo.old {
            Some(old) => table.insert(undo.key, old),
            None => table.remove(&undo.key),
        };
    }

    /// Whether a guard holds.
    pub(crate) fn check(&self, guard: &Guard) -> Result<(), &'static str> {
        let (key, _) = arguments(&guard.args);
        match (guard.name.ends_with(".Free"), self.synced.contains_key(&key)) {
            (true, true) => Err("it is taken"),
            (false, false) => Err("it is free"),
            _ => Ok(()),
        }
    }

    /// Applies a commit, all or none of it: its guard is asked first.
    pub(crate) fn apply_commit<'a>(
        &mut self,
        guard: Option<&Guard>,
        events: impl Iterator<Item = &'a Event>,
    ) -> Result<Vec<Undo>, Poison> {
        if let Some(guard) = guard {
            self.check(guard).map_err(|message| Poison::Conflict { guard: guard.name.clone(), message: message.into() })?;
        }
        self.apply_all(events).map_err(|(event, message)| Poison::Materialise { event, message: message.into() })
    }

    /// Applies all or none.
    pub(crate) fn apply_all<'a>(
        &mut self,
        events: impl Iterator<Item = &'a Event>,
    ) -> Result<Vec<Undo>, (Arc<str>, &'static str)> {
        let mut undos: Vec<Undo> = Vec::new();
        for event in events {
            match self.apply(event) {
                Ok(undo) => undos.push(undo),
                Err(why) => {
                    for undo in undos.iter().rev() {
                        self.undo(undo);
                    }
                    return Err((event.name.clone(), why));
                }
            }
        }
        Ok(undos)
    }
}

pub(crate) fn event(name: &str, key: u64, value: u64, client_only: bool) -> Event {
    Event { name: name.into(), args: format!("{{\"k\":{key},\"v\":{value}}}").into(), client_only }
}

pub(crate) fn guard(name: &str, key: u64) -> Guard {
    Guard { name: name.into(), args: format!("{{\"k\":{key}}}").into() }
}

fn arguments(args: &str) -> (u64, u64) {
    let mut numbers = args.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let mut next = || numbers.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    (next(), next())
}
