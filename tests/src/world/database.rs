//! A session's database: a state, and a stack of units that can be undone.

use std::collections::VecDeque;
use std::sync::Arc;

use countersign_core::{Prepared, SessionTxn, Unit};

use super::disk::Disk;
use super::state::{State, Undo};

#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Database {
    pub(crate) state: State,
    /// One an event; nothing to undo where its commit was left out.
    stack: VecDeque<Option<Undo>>,
}

impl Database {
    pub(crate) fn seeded(disk: &Disk) -> Self {
        Self { state: disk.state.clone(), stack: disk.undoable().map(|row| row.undo.clone()).collect() }
    }

    /// The commit of an application: all or nothing.
    pub(crate) fn commit(&mut self, prepared: &Prepared) -> bool {
        match self.state.apply_commit(prepared.guard.as_deref(), prepared.events.iter().map(|own| own.event.as_ref())) {
            Ok(undos) => {
                self.stack.extend(undos.into_iter().map(Some));
                true
            }
            Err(_) => false,
        }
    }

    /// Carries out an order; says what is wrong with it, if so.
    pub(crate) fn run(&mut self, txn: &SessionTxn) -> Result<(), String> {
        if txn.undo + txn.forget > self.stack.len() {
            return Err(format!("undo {} and forget {} of {} units", txn.undo, txn.forget, self.stack.len()));
        }
        for _ in 0..txn.undo {
            if let Some(Some(undo)) = self.stack.pop_back() {
                self.state.undo(&undo);
            }
        }
        self.stack.drain(..txn.forget);
        let mut rest = &txn.apply[..];
        while let Some(first) = rest.first() {
            let of_commit = |unit: &&Unit| unit.undoable && unit.commit == first.commit;
            let len = if first.undoable && first.commit.is_some() { rest.iter().take_while(of_commit).count() } else { 1 };
            let (group, behind) = rest.split_at(len);
            rest = behind;
            if !first.undoable && !self.stack.is_empty() {
                return Err("a unit that can't be undone comes on top of some that can".into());
            }
            let guard = group.iter().find_map(|unit| unit.guard.as_deref());
            let done = self.state.apply_commit(guard, group.iter().map(|unit| Arc::as_ref(&unit.event)));
            if first.undoable {
                match done {
                    Ok(undos) => self.stack.extend(undos.into_iter().map(Some)),
                    Err(_) => self.stack.extend(group.iter().map(|_| None)),
                }
            }
        }
        Ok(())
    }
}
