//! A drawn scenario, played.

use std::cell::Cell;

use countersign::backend::EmbeddedBackend;
use countersign::rusqlite::Connection;
use countersign::{CommitError, CommitId, CommitReceipt, Event, FailureError, NewGuard, Risk, Session, Store, ToEvents as _};
use serde_json::json;
use tempfile::TempDir;

use super::drawing::Draw;
use super::drawn::{Block, Life, blocks, life};
use super::rig::{Rig, STORE, UNUSED, config, schema, wrong};
use super::scenario::{Run, Stop};
use super::scenarios::{filter, find_again, noted, notes, todo};
use crate::todos::LONG;

/// A store while it is played with. Between two blocks it is open, and its backend is reached.
pub(super) struct Played<'a> {
    rig: &'a Rig,
    draw: Draw,
    backend: Option<EmbeddedBackend>,
    store: Store,
    session: Option<Session>,
    /// The schema's version.
    version: u32,
    /// Todos so far: no two have the same id by accident.
    todos: u32,
    /// Where another client lives, whose machine does not crash.
    elsewhere: TempDir,
}

impl<'a> Played<'a> {
    /// The whole of it.
    pub(super) fn run(rig: &'a Rig) -> Run {
        let seed = rig.scenario.seed;
        let has_backend = matches!(life(seed), Life::Synced | Life::Reset);
        let backend = if has_backend { Some(rig.backend()?) } else { None };
        let elsewhere = crate::vfs::folder().map_err(wrong)?;
        let store = open(rig, backend.as_ref(), 1)?;
        let draw = Draw::of(seed, "play");
        let mut played = Self { rig, draw, backend, store, session: None, version: 1, todos: 100, elsewhere };
        find_again(rig, &played.store)?;
        for block in blocks(seed) {
            played.block(block)?;
        }
        played.sync()
    }

    fn block(&mut self, block: Block) -> Run {
        match block {
            Block::Plain => self.commits(6)?,
            Block::Gathered => self.gathered()?,
            Block::Reopened => self.reopen()?,
            Block::Rebuilt => {
                self.version = 2;
                self.reopen()?;
            }
            Block::Attached => {
                self.backend = Some(self.rig.backend()?);
                self.reopen()?;
                self.sync()?;
            }
            // Where the disk fails, there is none.
            Block::Session => self.session = if self.session.is_some() { None } else { self.store.session().ok() },
            Block::Checkpoint => self.checkpoint()?,
            Block::Decided => self.decide()?,
            Block::Offline => self.offline(|played| if played.draw.one_in(3) { played.reopen() } else { Ok(()) })?,
            Block::Lossy => self.lossy()?,
            Block::Refused => self.refused()?,
            Block::Withdrawn => self.withdrawn()?,
            Block::Overtaken => self.offline(|played| {
                let theirs = (0..1 + played.draw.below(3)).map(|_| played.some()).collect();
                played.others(theirs)
            })?,
            Block::Poisoned => self.poisoned(false)?,
            Block::Guarded => self.poisoned(true)?,
            Block::Reset => self.reset()?,
        }
        if self.draw.one_in(2) { self.sync() } else { self.rig.store_all(&self.store) }
    }

    /// What a commit may consist of.
    fn some(&mut self) -> Vec<Event> {
        let many = self.draw.below(12);
        match self.draw.below(12) {
            0 => Vec::new(),
            1 => vec![filter("only here")],
            2 | 3 => vec![self.new_todo(), filter("with it")],
            4 | 5 => vec![noted("a line"), self.new_todo()],
            6 => notes("a lot", 30 + 10 * many),
            7 => vec![noted(&"long ".repeat(500 * (1 + many)))],
            8 | 9 => notes("some", 1 + many),
            _ => vec![noted("one")],
        }
    }

    fn new_todo(&mut self) -> Event {
        self.todos += 1;
        todo(self.todos)
    }

    /// Up to so many commits, each in one of the sessions that there are.
    fn commits(&mut self, most: usize) -> Run {
        for _ in 0..1 + self.draw.below(most) {
            let events = self.some();
            let in_second = self.draw.one_in(2);
            let count = events.len();
            let receipt = match &self.session {
                Some(session) if in_second => session.commit(events),
                _ => self.store.commit(events),
            };
            self.took(receipt, count)?;
            if self.draw.one_in(3) {
                self.rig.store_all(&self.store)?;
            }
        }
        Ok(())
    }

    /// A commit was taken; while the disk fails for ever, a session that has to be made anew takes none.
    fn took(&self, receipt: Result<CommitReceipt, CommitError>, count: usize) -> Run<CommitId> {
        match receipt {
            Ok(receipt) => Ok(self.rig.took(receipt, count)),
            Err(CommitError::Session(_)) if self.rig.is_given_up() => Err(Stop::DiskFails),
            Err(error) => Err(wrong(error)),
        }
    }

    fn reopen(&mut self) -> Run {
        self.session = None;
        self.rig.close(self.store.clone())?;
        self.store = open(self.rig, self.backend.as_ref(), self.version)?;
        find_again(self.rig, &self.store)
    }

    /// Commits while the backend is not reached; then this happens; then it is reached again.
    fn offline(&mut self, meanwhile: impl FnOnce(&mut Self) -> Run) -> Run {
        self.switch(false);
        self.commits(4)?;
        self.rig.store_all(&self.store)?;
        meanwhile(self)?;
        self.switch(true);
        self.sync()
    }

    /// As far as there is somebody to sync with.
    fn sync(&self) -> Run {
        if self.backend.is_some() { self.rig.sync(&self.store) } else { self.rig.store_all(&self.store) }
    }

    fn switch(&self, on: bool) {
        if let Some(backend) = &self.backend {
            if on { backend.switch().on() } else { backend.switch().off() }
        }
    }

    /// Another client's commits, in the backend's log when this returns.
    fn others(&mut self, commits: Vec<Vec<Event>>) -> Run {
        let path = self.elsewhere.path().join("others.db");
        let backend = self.rig.backend()?;
        let opener = Store::open(path).schema(schema(self.version)?).config(config()).backend(backend);
        let others = opener.blocking().map_err(wrong)?;
        let committed = commits.into_iter().try_for_each(|events| others.commit(events).map(drop).map_err(wrong));
        let synced = committed.and_then(|()| self.rig.sync(&others));
        let _ = others.close(LONG);
        synced
    }

    fn gathered(&mut self) -> Run {
        self.rig.disk.hold();
        self.rig.commit(&self.store, vec![noted("the one that is being written")])?;
        let _ = self.rig.disk.wait_held(LONG);
        for _ in 0..1 + self.draw.below(5) {
            let events = self.some();
            self.rig.commit(&self.store, events)?;
        }
        self.rig.disk.release();
        Ok(())
    }

    fn lossy(&mut self) -> Run {
        let (fail, lose) = (self.draw.below(3), 1 + self.draw.below(2));
        if let Some(backend) = &self.backend {
            backend.fail_next_pushes(u32::try_from(fail).unwrap_or(0));
            backend.lose_next_replies(u32::try_from(lose).unwrap_or(0));
        }
        self.commits(4)?;
        self.sync()
    }

    fn refused(&mut self) -> Run {
        let unwanted = self.new_todo();
        let (Some(backend), args) = (&self.backend, unwanted.args.clone()) else { return Ok(()) };
        backend.refuse(move |own| own.event.args == args, true, "not here");
        self.rig.commit(&self.store, vec![noted("with it"), unwanted])?;
        self.commits(2)?;
        self.sync()?;
        if let Some(backend) = &self.backend {
            backend.accept_all();
        }
        Ok(())
    }

    fn withdrawn(&mut self) -> Run {
        self.switch(false);
        self.commits(2)?;
        let regretted = vec![noted("regretted"), self.new_todo()];
        let regretted = self.rig.commit(&self.store, regretted)?;
        self.commits(2)?;
        self.rig.store_all(&self.store)?;
        self.store.withdraw(regretted);
        // A push that is on its way could still arrive.
        self.rig.settle(regretted)?;
        self.rig.store_all(&self.store)?;
        self.switch(true);
        self.sync()
    }

    /// A commit that what another client does makes impossible, or that its guard then forbids.
    fn poisoned(&mut self, guarded: bool) -> Run {
        self.offline(|played| {
            let mine = played.new_todo();
            let theirs = vec![vec![noted("theirs")], vec![mine.clone()]];
            if guarded {
                let id = json!({ "id": played.todos.to_string() });
                let events = vec![noted("only without it")];
                let receipt = played.store.commit(events.guarded(NewGuard::new(UNUSED, id)));
                played.took(receipt, 1)?;
            } else {
                played.rig.commit(&played.store, vec![noted("with it"), mine])?;
            }
            played.commits(2)?;
            played.rig.store_all(&played.store)?;
            played.others(theirs)
        })
    }

    fn reset(&mut self) -> Run {
        self.sync()?;
        self.switch(false);
        self.commits(2)?;
        self.rig.store_all(&self.store)?;
        if let Some(backend) = &self.backend {
            self.rig.again("the backend is reset", |_| true, || backend.reset())?;
        }
        self.switch(true);
        self.sync()
    }

    /// Each failure is seen, committed again, let go of or left.
    fn decide(&mut self) -> Run {
        let is_passing = |error: &FailureError| matches!(error, FailureError::Storage(_));
        for row in self.rig.again("the failures", is_passing, || self.store.failures())? {
            let (id, count) = (row.quarantined.commit, row.quarantined.events.len());
            let store = &self.store;
            match self.draw.below(5) {
                0 => self.rig.again("acknowledged", is_passing, || store.acknowledge(id))?,
                1 => {
                    let tries = Cell::new(0);
                    let discard = || {
                        tries.set(tries.get() + 1);
                        settled(store.discard(id))
                    };
                    match self.rig.again("discarded", is_passing, discard)? {
                        // What failed may have been done all the same.
                        Err(FailureError::Discarded { .. }) if tries.get() > 1 => {}
                        Ok(()) => {}
                        Err(error) => return Err(wrong(error)),
                    }
                }
                // How sure it is that the backend has nothing of it may depend on when its disk failed.
                2 | 3 => match self.rig.again("retried", is_passing, || settled(store.retry(id, Risk::MayDuplicate)))? {
                    Ok(receipt) => drop(self.rig.took(receipt, count)),
                    // What can't be materialised still can't, and what its guard forbids neither.
                    Err(FailureError::Commit(CommitError::Materialise { .. } | CommitError::Conflict { .. })) => {}
                    Err(error) => return Err(wrong(error)),
                },
                _ => {}
            }
        }
        Ok(())
    }

    /// As a tool does that somebody runs beside. It may fail as anything may.
    fn checkpoint(&mut self) -> Run {
        self.commits(3)?;
        let how = self.draw.pick(&["PASSIVE", "FULL", "RESTART", "TRUNCATE"]);
        if let Ok(tool) = Connection::open(self.rig.path(STORE)) {
            let _ = tool.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(()));
        }
        self.commits(2)
    }
}

/// What to do about trouble that passes, apart from what is an answer.
fn settled<T>(retried: Result<T, FailureError>) -> Result<Result<T, FailureError>, FailureError> {
    match retried {
        Err(error @ FailureError::Storage(_)) => Err(error),
        answer => Ok(answer),
    }
}

fn open(rig: &Rig, backend: Option<&EmbeddedBackend>, version: u32) -> Run<Store> {
    let schema = schema(version)?;
    rig.open_with(STORE, |opener| {
        let opener = opener.schema(schema.clone());
        match backend {
            Some(backend) => opener.backend(backend.clone()),
            None => opener,
        }
    })
}
