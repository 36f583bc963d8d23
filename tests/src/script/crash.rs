//! What a crash leaves, and how a store is opened again.

use std::collections::{BTreeMap, VecDeque};

use countersign_core::{Config, Node};

use super::{Script, render};

impl Script {
    /// The process is killed; the store is opened again as the disk has it.
    pub fn crash(&mut self) {
        self.note("the process is killed");
        self.reopen(self.config.clone());
    }

    /// Power is lost, and the disk turns out to hold only the transactions up to this number.
    pub fn power_loss(&mut self, number: u64) {
        self.note(&format!("power is lost; the disk has the transactions up to {number}"));
        self.disk = self.past[&number].clone();
        self.past.retain(|&at, _| at <= number);
        self.reopen(self.config.clone());
    }

    /// The file is replaced by a copy that was made after this transaction: what was said since may be open again.
    pub fn older_copy(&mut self, number: u64) {
        self.note(&format!("the file is replaced by a copy of itself, made after transaction {number}"));
        self.disk = self.past[&number].clone();
        self.past.retain(|&at, _| at <= number);
        self.receipts.set_back(|commit| self.disk.failed.contains_key(&commit));
        self.reopen(self.config.clone());
    }

    /// The process ends and the store is opened with another configuration.
    pub fn reopen(&mut self, config: Config) {
        self.config = config;
        (self.storage, self.pushes, self.pulls) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        (self.sessions, self.held, self.prepared) = (BTreeMap::new(), None, BTreeMap::new());
        self.disk.open(self.config.backend);
        let boot = self.disk.boot(self.config.backend);
        self.node = Node::new(self.config.clone(), boot, super::SEED)
            .unwrap_or_else(|error| panic!("{}\nthe store can't be opened: {error}", self.text));
        (self.inputs, self.outputs) = (Vec::new(), Vec::new());
        self.step("the store is opened again", |_| {});
        for commit in self.receipts.commits().collect::<Vec<_>>() {
            let open = self.node.find(commit);
            let decided = self.disk.marks.get(&commit.session).is_some_and(|&through| commit.ordinal <= through);
            if decided {
                self.receipts.reopen(commit, open);
            } else {
                self.receipts.lost(commit);
                self.line(&format!("the receipt of {} is unknown: it was never stored", render::commit(commit)));
            }
            if open.is_some() {
                self.line(&format!("the receipt of {} is found again, waiting for the backend", render::commit(commit)));
            }
        }
    }
}
