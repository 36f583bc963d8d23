//! A session's database: the names of the events in it, of which the newest can be undone one by one.

use countersign_core::{Event, Pos, Seed, SessionTxn, Unit};

use super::disk::Disk;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SessionDb {
    base: Vec<String>,
    /// Nothing where a commit was left out, since its guard does not hold.
    units: Vec<Option<String>>,
}

impl SessionDb {
    pub(super) fn seeded(disk: &Disk, seed: &Seed) -> Self {
        let first: Pos = disk.heads.settled;
        let base = disk.log.iter().filter(|entry| entry.seq.pos <= first).map(|entry| entry.event.name.to_string()).collect();
        Self { base, units: seed.pending.iter().map(|entry| Some(entry.event.name.to_string())).collect() }
    }

    pub(super) fn commit<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>) {
        self.units.extend(events.into_iter().map(|event| Some(event.name.to_string())));
    }

    pub(super) fn apply(&mut self, txn: &SessionTxn) {
        let kept = self.units.len().checked_sub(txn.undo).expect("no more is undone than there is");
        self.units.truncate(kept);
        assert!(txn.forget <= kept, "no more is forgotten than there is");
        self.base.extend(self.units.drain(..txn.forget).flatten());
        for units in txn.apply.chunk_by(|a, b| a.commit.is_some() && a.commit == b.commit) {
            self.apply_together(units);
        }
    }

    fn apply_together(&mut self, units: &[Unit]) {
        let guard = units.iter().find_map(|unit| unit.guard.as_deref());
        let holds = guard.is_none_or(|guard| super::disk::holds(guard, self.names().into_iter()));
        for unit in units {
            let name = unit.event.name.to_string();
            if unit.undoable {
                self.units.push(Some(name).filter(|_| holds));
            } else {
                assert!(self.units.is_empty(), "{name} is settled, and goes below what can be undone");
                self.base.push(name);
            }
        }
    }

    /// The names of all its events, oldest first.
    pub(super) fn names(&self) -> Vec<&str> {
        self.base.iter().chain(self.units.iter().flatten()).map(String::as_str).collect()
    }
}
