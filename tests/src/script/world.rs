//! What storage, network and backend answer, and what a crash leaves.

use std::sync::Arc;

use countersign_core::{
    BackendFailure, Effect, EffectId, Input, Materialised, Poison, Push, StorageClass, StorageFailure, Time, Txn,
};

use super::{Script, render};

impl Script {
    // Storage.

    /// These events can't be applied from here on; if `behind` is given, only with that one before them.
    pub fn poison(&mut self, name: &str, behind: Option<&str>) {
        let poison = Poison::Materialise { event: name.into(), message: "no such row".into() };
        self.poisons.add(name, behind, poison);
        let behind = behind.map(|other| format!(" behind {other}")).unwrap_or_default();
        self.note(&format!("{name} can't be applied{behind}"));
    }

    /// This event can't be applied behind that one, unless this other one is before it too.
    pub fn poison_until(&mut self, name: &str, behind: &str, until: &str) {
        let poison = Poison::Materialise { event: name.into(), message: "no such row".into() };
        self.poisons.add_until(name, behind, until, poison);
        self.note(&format!("{name} can't be applied behind {behind}, unless {until} is there too"));
    }

    /// This event can only be applied where that one has had its effect.
    pub fn needs(&mut self, name: &str, other: &str) {
        let poison = Poison::Materialise { event: name.into(), message: "no such row".into() };
        self.poisons.add_needs(name, other, poison);
        self.note(&format!("{name} can't be applied without the effect of {other}"));
    }

    /// The guard of this event does not hold from here on, behind that other one.
    pub fn guard(&mut self, name: &str, behind: &str) {
        let poison = Poison::Conflict { guard: "seat is free".into(), message: "it is taken".into() };
        self.poisons.add(name, Some(behind), poison);
        self.note(&format!("the guard of {name} does not hold behind {behind}"));
    }

    /// How many transactions are under way.
    #[must_use]
    pub fn txns(&self) -> usize {
        self.storage.iter().filter(|(_, effect)| matches!(effect, Effect::Materialise(_))).count()
    }

    /// Storage carries out the oldest transaction under way, if there is one.
    pub fn store(&mut self) {
        if self.txns() == 0 {
            return;
        }
        let (id, txn) = self.next_txn();
        let outcome = self.disk.apply(&txn, &self.poisons);
        let what = match &outcome {
            Materialised::Committed { .. } => format!("txn {} is committed", txn.number),
            Materialised::RolledBack { refused } => {
                let refused: Vec<String> = refused.iter().map(|(commit, _)| render::commit(*commit)).collect();
                format!("txn {} is rolled back: {} can't be applied", txn.number, refused.join(", "))
            }
            _ => format!("txn {} is rolled back: the file is at {}", txn.number, self.disk.number),
        };
        if let Materialised::Committed { .. } = outcome {
            self.past.insert(self.disk.number, self.disk.clone());
        }
        self.storage_answers(&what, id, outcome);
    }

    /// Storage carries out everything that is asked of it.
    pub fn store_all(&mut self) {
        let mut most = 100;
        while self.txns() > 0 {
            self.store();
            most -= 1;
            assert!(most > 0, "{}\nstorage is kept busy for ever", self.text);
        }
    }

    /// The oldest transaction under way fails, and nothing is done.
    pub fn store_fails(&mut self, class: StorageClass) {
        let (id, txn) = self.next_txn();
        let failure = StorageFailure { class, message: trouble(class).into() };
        let what = format!("txn {} fails: {}", txn.number, failure.message);
        self.storage_answers(&what, id, Materialised::Failed(failure));
    }

    /// It can't be said whether the oldest transaction under way was committed; the file knows.
    pub fn store_unknown(&mut self, was_committed: bool) {
        let (id, txn) = self.next_txn();
        if was_committed {
            let outcome = self.disk.apply(&txn, &self.poisons);
            assert!(matches!(outcome, Materialised::Committed { .. }), "it could be committed");
            self.past.insert(self.disk.number, self.disk.clone());
        }
        self.disk.unknown = Some(txn.number);
        let really = if was_committed { "it was" } else { "it was not" };
        let failure = StorageFailure { class: StorageClass::Io, message: "the file could not be synced".into() };
        let what = format!("txn {} may or may not be committed ({really})", txn.number);
        self.storage_answers(&what, id, Materialised::UnknownOutcome(failure));
    }

    /// The file is exchanged for one with another transaction number: the oldest transaction under way does not stand on it.
    pub fn store_stale(&mut self) {
        let (id, txn) = self.next_txn();
        let what = format!("txn {} is rolled back: the file carries another number", txn.number);
        self.storage_answers(&what, id, Materialised::Stale);
    }

    fn next_txn(&mut self) -> (EffectId, Arc<Txn>) {
        match self.storage.pop_front() {
            Some((id, Effect::Materialise(txn))) => (id, txn),
            _ => panic!("{}\nno transaction is under way", self.text),
        }
    }

    fn storage_answers(&mut self, what: &str, id: EffectId, outcome: Materialised) {
        self.step(what, |script| {
            script.handle(Input::Materialised { id, outcome });
            script.drain();
            script.take_snapshots();
        });
    }

    // Pushing.

    /// The push under way: the names of its events.
    #[must_use]
    pub fn pushed(&self) -> Option<Vec<String>> {
        let (_, push) = self.pushes.front()?;
        Some(push.events.iter().map(|own| own.event.name.to_string()).collect())
    }

    /// Pulls are answered and time passes until a push is under way.
    pub fn until_pushed(&mut self) {
        for _ in 0..20 {
            match self.pulls.front() {
                _ if !self.pushes.is_empty() => return,
                Some((_, pull)) if pull.fresh => self.page(),
                _ => {
                    self.wake();
                }
            }
        }
        panic!("{}\nnothing is pushed", self.text);
    }

    /// The backend answers the push under way: takes it if its parent is the head, else it is ahead.
    pub fn push(&mut self) {
        let (id, push) = self.next_push();
        match self.backend.take(&push) {
            Ok(()) => self.input("the backend takes the push", Input::PushOk { id }),
            Err(head) => self.push_fails(id, BackendFailure::ServerAhead { head }),
        }
    }

    /// The backend takes the push under way, and its reply is lost.
    pub fn push_reply_lost(&mut self) {
        let (id, push) = self.next_push();
        assert_eq!(self.backend.take(&push), Ok(()), "{}\nthe backend takes it", self.text);
        self.note("the backend takes the push; its reply is lost");
        self.push_fails(id, BackendFailure::Unreachable { message: "no answer in time".into(), maybe_applied: true });
    }

    /// The push under way is lost on its way.
    pub fn push_lost(&mut self) {
        self.push_answers(BackendFailure::Unreachable { message: "no answer in time".into(), maybe_applied: true });
    }

    /// The push under way could not be sent.
    pub fn push_unsent(&mut self) {
        self.push_answers(BackendFailure::Unreachable { message: "no route".into(), maybe_applied: false });
    }

    /// The backend refuses these events of the push under way for ever, by index.
    pub fn push_rejected(&mut self, events: &[u32]) {
        let events = events.iter().map(|&index| (index, Arc::from("forbidden"))).collect();
        self.push_answers(BackendFailure::Refused { events });
    }

    /// The backend refuses the push under way, without saying for how long.
    pub fn push_refused(&mut self) {
        self.push_answers(BackendFailure::Unknown { message: "internal error".into() });
    }

    /// The push under way fails.
    pub fn push_answers(&mut self, failure: BackendFailure) {
        let (id, _) = self.next_push();
        self.push_fails(id, failure);
    }

    /// The push under way is on its way for long. It arrives with [`Self::push_arrives`].
    pub fn delay_push(&mut self) -> DelayedPush {
        let (id, push) = self.next_push();
        self.note("the push is slow");
        DelayedPush { id, push: Some(push) }
    }

    /// The backend takes the push under way, and its reply is slow. It arrives with [`Self::push_arrives`].
    pub fn delay_reply(&mut self) -> DelayedPush {
        let (id, push) = self.next_push();
        assert_eq!(self.backend.take(&push), Ok(()), "{}\nthe backend takes it", self.text);
        self.note("the backend takes the push; its reply is slow");
        DelayedPush { id, push: None }
    }

    /// The push under way seems to be lost, and is on its way all the same.
    pub fn lose_push(&mut self) -> DelayedPush {
        let (id, push) = self.next_push();
        self.push_fails(id, BackendFailure::Unreachable { message: "no answer in time".into(), maybe_applied: true });
        DelayedPush { id, push: Some(push) }
    }

    /// A slow push is given up after so many seconds.
    pub fn push_times_out_after(&mut self, seconds: u64, delayed: DelayedPush) {
        self.now = Time(self.now.0 + seconds * 1_000_000);
        self.note(&format!("{seconds} s pass, it is {}", self.now));
        self.push_fails(delayed.id, BackendFailure::Unreachable { message: "no answer in time".into(), maybe_applied: true });
    }

    /// A push that seemed to be lost arrives at the backend, which takes it. Nobody waits for the reply.
    pub fn push_arrives_unnoticed(&mut self, delayed: DelayedPush) {
        let push = delayed.push.expect("only a push arrives");
        assert_eq!(self.backend.take(&push), Ok(()), "{}\nthe backend takes it", self.text);
        self.note("the push arrives after all, and the backend takes it");
    }

    /// A slow push arrives, and is answered as the backend stands now; or a slow reply does.
    pub fn push_arrives(&mut self, delayed: DelayedPush) {
        match delayed.push {
            Some(push) => {
                self.pushes.push_front((delayed.id, push));
                self.push();
            }
            None => self.input("the reply to the push arrives: it was taken", Input::PushOk { id: delayed.id }),
        }
    }

    fn push_fails(&mut self, id: EffectId, failure: BackendFailure) {
        self.input(&format!("the push fails: {}", render::failure(&failure)), Input::PushFailed { id, failure });
    }

    fn next_push(&mut self) -> (EffectId, Push) {
        self.pushes.pop_front().unwrap_or_else(|| panic!("{}\nno push is under way", self.text))
    }

    /// Storage and backend do what they are asked for, until nothing is asked any more but the news.
    pub fn run(&mut self) {
        let mut most = 200;
        loop {
            most -= 1;
            assert!(most > 0, "{}\nit never comes to rest", self.text);
            if self.txns() > 0 {
                self.store();
            } else if !self.pushes.is_empty() {
                self.push();
            } else if let Some((_, pull)) = self.pulls.front()
                && (pull.fresh || pull.after < self.backend.head())
            {
                self.page();
            } else {
                return;
            }
        }
    }

    /// As [`Self::run`], and time passes whenever the machine waits for it.
    pub fn run_awake(&mut self) {
        let mut most = 50;
        self.run();
        while self.deadline.is_some() {
            self.wake();
            self.run();
            most -= 1;
            assert!(most > 0, "{}\nit never comes to rest", self.text);
        }
    }
}

/// A push on its way.
#[derive(Debug)]
pub struct DelayedPush {
    id: EffectId,
    /// None if the backend has it, and only the reply is on its way.
    push: Option<Push>,
}

fn trouble(class: StorageClass) -> &'static str {
    match class {
        StorageClass::Full => "the disk is full",
        StorageClass::Io => "the disk does not read",
        StorageClass::Busy => "another process holds the file",
        StorageClass::Memory => "out of memory",
        StorageClass::Corrupt => "the file is damaged",
        _ => "something else",
    }
}
