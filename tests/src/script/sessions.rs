//! Sessions, their commits and their databases.

use std::collections::VecDeque;

use countersign_core::{Batch, CommitError, CommitId, Event, Guard, Input, SessionApplied};

use super::{Script, events, render, session};

impl Script {
    /// Opens session `n`.
    pub fn open(&mut self, n: u8) {
        self.input(&format!("session S{n} is opened"), Input::SessionOpened { session: session(n) });
    }

    /// Opens session `n`, whose database is busy: its seed is not put in place before [`Self::seed_late`].
    pub fn open_late(&mut self, n: u8) {
        self.late_seeds = Some(Vec::new());
        self.open(n);
    }

    /// Seeds that were held are put in place.
    pub fn seed_late(&mut self) {
        let late = self.late_seeds.take().unwrap_or_default();
        self.step("the seed is put in place", |script| late.into_iter().for_each(|seeded| script.handle(seeded)));
    }

    /// Closes session `n`.
    pub fn close(&mut self, n: u8) {
        self.sessions.remove(&session(n));
        self.input(&format!("session S{n} is closed"), Input::SessionClosed { session: session(n) });
    }

    /// Session `n` commits these events as one commit.
    pub fn commit(&mut self, n: u8, names: &str) -> CommitId {
        self.commit_events(n, events(names))
    }

    /// Session `n` commits these events as one commit.
    pub fn commit_events(&mut self, n: u8, events: Vec<Event>) -> CommitId {
        self.try_commit(n, events).unwrap_or_else(|error| panic!("{}\nthe commit is refused: {error}", self.text))
    }

    /// Session `n` tries to commit these events as one commit.
    ///
    /// # Errors
    ///
    /// What the machine says.
    pub fn try_commit(&mut self, n: u8, events: Vec<Event>) -> Result<CommitId, CommitError> {
        let what = format!("S{n} commits {}", render::events(&events));
        let mut answer = None;
        self.step(&what, |script| {
            let prepared = script.prepare(n, events.into());
            if prepared.is_ok() {
                script.finish_prepared(n, true);
            }
            answer = Some(prepared);
        });
        answer.expect("the step was made")
    }

    /// Session `n` commits these events under a guard: only if, and as long as, no event called `free` is before them. Nothing if one is
    /// already.
    pub fn commit_guarded(&mut self, n: u8, names: &str, free: &str) -> Option<CommitId> {
        self.commit_batch(n, events(names), free)
    }

    /// As [`Self::commit_guarded`], of these events.
    pub fn commit_batch(&mut self, n: u8, events: Vec<Event>, free: &str) -> Option<CommitId> {
        let what = format!("S{n} commits {} unless {free} is there", render::events(&events));
        let guard = Guard { name: "unless".into(), args: format!("\"{free}\"").into() };
        let mut made = None;
        self.step(&what, |script| {
            let prepared = script.prepare(n, Batch { events, guard: Some(guard.clone()) });
            let prepared = prepared.unwrap_or_else(|error| panic!("the commit is refused: {error}"));
            let holds = super::disk::holds(&guard, script.database(n).into_iter());
            if !holds {
                script.line("it is there: nothing happens");
            }
            script.finish_prepared(n, holds);
            made = holds.then_some(prepared);
        });
        made
    }

    /// Session `n` begins a commit, and does not finish it. Answers the identity that it will have.
    pub fn begin(&mut self, n: u8, names: &str) -> CommitId {
        self.try_begin(n, events(names)).unwrap_or_else(|error| panic!("{}\nthe commit is refused: {error}", self.text))
    }

    /// Session `n` tries to begin a commit.
    ///
    /// # Errors
    ///
    /// What the machine says.
    pub fn try_begin(&mut self, n: u8, events: Vec<Event>) -> Result<CommitId, CommitError> {
        let what = format!("S{n} begins to commit {}", render::events(&events));
        let mut answer = None;
        self.step(&what, |script| answer = Some(script.prepare(n, events.into())));
        answer.expect("the step was made")
    }

    /// The commit that session `n` has begun is in its database, or its materialiser has failed.
    pub fn finish(&mut self, n: u8, applied: bool) {
        let what = if applied { "it is applied to" } else { "its materialiser fails on" };
        self.step(&format!("{what} the database of S{n}"), |script| script.finish_prepared(n, applied));
    }

    fn prepare(&mut self, n: u8, batch: Batch) -> Result<CommitId, CommitError> {
        let session = session(n);
        let Batch { events, guard } = batch.clone();
        self.inputs.push((self.now, Input::Prepare { session, events, guard }));
        let prepared = self.node.prepare(self.now, session, batch);
        match &prepared {
            Ok(prepared) => {
                self.line(&format!("it is {}", render::commit(prepared.id)));
                self.prepared.insert(session, prepared.clone());
            }
            Err(error) => self.line(&render::refusal(error)),
        }
        Ok(prepared?.id)
    }

    fn finish_prepared(&mut self, n: u8, applied: bool) {
        let session = session(n);
        let Some(prepared) = self.prepared.remove(&session) else { panic!("{}\nS{n} has begun no commit", self.text) };
        if applied {
            let database = self.sessions.get_mut(&session).expect("only an open session prepares");
            database.commit(prepared.events.iter().map(|own| &*own.event));
            self.receipts.admit(prepared.id);
            self.known.extend(prepared.events.iter().map(|own| (own.event.name.to_string(), own.clone())));
        }
        self.inputs.push((self.now, Input::Finish { session, applied }));
        let finished = self.node.finish(self.now, session, applied);
        assert_eq!(finished, Some(prepared.id), "{}\nthe commit has the identity that was promised", self.text);
    }

    /// From here on, sessions' databases answer nothing before they are let go.
    pub fn hold_sessions(&mut self) {
        self.held = Some(VecDeque::new());
        self.note("the sessions' databases are slow");
    }

    /// The sessions' databases answer again.
    pub fn let_sessions_go(&mut self) {
        let held = self.held.take().unwrap_or_default();
        self.step("the sessions' databases answer", |script| {
            for (id, effect) in held {
                script.answer_session(id, &effect);
            }
        });
    }

    /// The database of the session breaks while the first transaction that is held back is applied.
    pub fn session_breaks(&mut self) {
        let held = self.held.as_mut().and_then(VecDeque::pop_front).map(|(id, _)| id);
        let id = held.unwrap_or_else(|| panic!("{}\nno session transaction is held", self.text));
        let outcome = SessionApplied::Failed { message: "out of memory".into() };
        self.input("the session's database breaks", Input::SessionApplied { id, outcome });
    }
}
