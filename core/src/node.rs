//! One leader and its sessions, wired in memory.
//!
//! # Contract
//!
//! > Hand in an input with [`Node::handle`] (or [`Node::prepare`] and [`Node::finish`]), then call [`Node::poll`] until it answers
//! > [`Output::Idle`], and carry out what it says.
//!
//! - Effects belong to lanes: storage (`Materialise`, `Snapshot`), one for each session (`Session`), push (`Push`), pull (`Pull`,
//!   `Abandon`). Within a lane, in the order given; between lanes, in any order. Each is answered once, or never if the process dies.
//! - Any input may come at any time. An answer that is not waited for is counted in [`Status::stale_answers`] and ignored.
//! - What a transaction or a push contains is decided while an input is handled, never while polling: how often the outputs are
//!   drained changes nothing (D2).
//! - The same configuration, seed and inputs give the same outputs (D1).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::boot::{Boot, BootError};
use crate::config::Config;
use crate::effect::{Effect, Notice, Output, Stage};
use crate::ensure::ensure;
use crate::error::CommitError;
use crate::guard::Batch;
use crate::id::{CommitId, EffectId, EventId, SessionId};
use crate::input::Input;
use crate::leader::Leader;
use crate::limits::Limits;
use crate::message::Down;
use crate::mutant::Mutant;
use crate::outbox::Outbox;
use crate::session::{Ledger, Prepared, Session};
use crate::status::Status;
use crate::tally::Tally;
use crate::time::Time;

/// The machine: one leader and its sessions. A value, without any connection to the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    pub(crate) config: Config,
    pub(crate) leader: Leader,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    out: Outbox,
    /// Whether sessions have been told something since they were last tidied up.
    told: bool,
    pub(crate) now: Time,
    closing: bool,
    stale_answers: Tally,
    leader_ahead: Tally,
}

impl Node {
    /// A machine that goes on from what storage has loaded. `seed` feeds the jitter of retries, and nothing else.
    ///
    /// # Errors
    ///
    /// If what was loaded can't be the state of a store: the file is damaged.
    pub fn new(config: Config, boot: Boot, seed: u64) -> Result<Self, BootError> {
        boot.check_numbers()?;
        let mut sessions: BTreeMap<SessionId, Session> = BTreeMap::new();
        for entry in &boot.pending {
            if let Some(commit) = entry.commit_id() {
                let waits = !entry.event.client_only && entry.seq.pos.global > boot.heads.acknowledged;
                let open = config.backend && waits && !boot.failed.contains(&commit);
                let new = || Session::closed(commit.session, Ledger::new(commit.session));
                sessions.entry(commit.session).or_insert_with(new).ledger.resume(commit.ordinal, open);
            }
        }
        let leader = Leader::new(&config, boot, seed)?;
        let mut node = Self {
            config,
            leader,
            sessions,
            out: Outbox::default(),
            told: false,
            now: Time::ZERO,
            closing: false,
            stale_answers: Tally::default(),
            leader_ahead: Tally::default(),
        };
        node.settle();
        node.check().map_err(BootError::Inconsistent)?;
        Ok(node)
    }

    /// Numbers a commit of `session`. Check its guard on the session's database and apply its events to it, then call [`Node::finish`].
    ///
    /// # Errors
    ///
    /// If a limit is reached, or the session can't take a commit now. Nothing has happened then. After
    /// [`CommitError::SessionBusy`], answer the session's effects that are due and call again: it will not be busy twice.
    pub fn prepare(&mut self, now: Time, session: SessionId, batch: impl Into<Batch>) -> Result<Prepared, CommitError> {
        self.tick(now);
        let batch = batch.into();
        let found = self.sessions.get_mut(&session);
        let unadmitted = found.as_deref().map_or((0, 0), Session::unadmitted);
        let limits = Limits { config: &self.config, leader: &self.leader, closing: self.closing, now: self.now };
        if let Err(error) = limits.check(unadmitted, &batch) {
            // Whoever had to wait for the session gives up here: it need not be kept free any longer.
            if found.is_some_and(Session::let_go) {
                self.settle();
            }
            return Err(error);
        }
        found.ok_or(CommitError::SessionClosed)?.prepare(batch)
    }

    /// The prepared commit of `session` is in its database, or it is not and nothing has happened. Answers the commit's identity;
    /// `None` if no commit was prepared. So whoever gives up after [`CommitError::SessionBusy`] says that nothing was applied: a session
    /// takes nothing from the leader as long as somebody is about to commit.
    pub fn finish(&mut self, now: Time, session: SessionId, applied: bool) -> Option<CommitId> {
        self.tick(now);
        let found = self.sessions.get_mut(&session)?;
        let Some(id) = found.finish(applied) else {
            if found.let_go() {
                self.settle();
            }
            return None;
        };
        self.leader_ahead += found.send(&mut self.leader, &self.config);
        // While storage is busy, a commit only joins those that wait for it: nothing else can follow from it.
        debug_assert!(!found.has_something_to_send(), "a commit is the leader's at once, unless it is ahead");
        if found.has_news() || !self.leader.is_gathering(&self.config) {
            self.settle();
        }
        Some(id)
    }

    /// Takes any input, at any time. A `now` that goes backwards counts as the latest that was handed in.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.tick(now);
        let known = match input {
            Input::Prepare { session, events, guard } => {
                // The recorded form: whoever replays it has the error from the first time.
                let _ = self.prepare(now, session, Batch { events, guard });
                return;
            }
            Input::Finish { session, applied } => {
                self.finish(now, session, applied);
                return;
            }
            Input::Materialised { id, outcome } => self.leader.materialised(&self.config, id, outcome, &mut self.out),
            Input::SessionApplied { id, outcome } => self.answer_session(|session| session.applied(id, outcome.clone())),
            Input::Seeded { id, seed } => {
                let waits = self.sessions.values_mut().find(|session| session.is_seeding(id));
                waits.is_some_and(|session| session.seeded(id, seed, &self.leader))
            }
            Input::PushOk { id } => self.leader.push_ok(id, &mut self.out),
            Input::PushFailed { id, failure } => self.leader.push_failed(&self.config, id, failure, &mut self.out),
            Input::Pulled { id, page } => self.leader.pulled(&self.config, id, page, &mut self.out),
            Input::PullFailed { id, failure } => self.leader.pull_failed(&self.config, id, failure, &mut self.out),
            Input::SessionOpened { session } => self.open_session(session),
            Input::SessionClosed { session } => self.close_session(session),
            other => {
                self.decide(other);
                true
            }
        };
        self.stale_answers += u64::from(!known);
        self.settle();
    }

    /// The next output. After the last one, [`Output::Idle`].
    #[must_use]
    pub fn poll(&mut self) -> Output {
        let next = if self.config.has(Mutant::UnorderedPop) { self.out.pop_newest() } else { self.out.pop() };
        next.unwrap_or_else(|| Output::Idle { deadline: self.leader.deadline(&self.config) })
    }

    /// A snapshot of where everything stands. Cheap: costs nothing in proportion to what is queued, but for the sessions.
    #[must_use]
    pub fn status(&self) -> Status {
        let open = || self.sessions.values().filter(|session| session.is_open());
        let closed = self.sessions.len() - open().count();
        let sessions = (open().count(), closed, open().filter(|session| session.is_behind()).count());
        let mut status = Status::new(&self.leader, &self.config, sessions, self.stale_answers.0, self.leader_ahead.0, self.now);
        status.drained &= self.sessions.values().all(Session::is_drained);
        status
    }

    /// Whether a receipt is open here, and at which stages; `None` if it has settled or was never known here: storage knows.
    #[must_use]
    pub fn find(&self, commit: CommitId) -> Option<OpenStages> {
        let (leader, backend) = self.sessions.get(&commit.session)?.ledger.find(commit.ordinal)?;
        Some(OpenStages { leader, backend })
    }

    /// Whether the session is open, or has receipts that have not settled.
    #[must_use]
    pub fn knows(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Where the synced events of a commit stand for good, and how often they were rebased on the way: those that the backend has accepted
    /// while storage may still hold them elsewhere. Looks at all of these; for the others, storage knows.
    pub fn accepted(&self, commit: CommitId) -> impl Iterator<Item = (EventId, u64, u32)> + '_ {
        self.leader.tail().accepted(commit)
    }

    /// Whether the session can take a commit, or only has to answer its effects first.
    #[must_use]
    pub fn is_ready(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(Session::is_ready)
    }

    /// Checks everything that can be checked without knowing the past. For tests, after every input.
    ///
    /// # Errors
    ///
    /// Says what does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        self.leader.check()?;
        for (id, session) in &self.sessions {
            session.check(self.config.session_backlog)?;
            ensure!(session.is_of(*id), "a session is found by its identity");
        }
        let open = self.sessions.iter().filter(|(_, session)| session.is_open());
        let made = open.map(|(&id, session)| (id, session.ledger.last()));
        let same = |((a, last), (b, made)): ((SessionId, u64), (SessionId, u64))| a == b && last <= made;
        let (admitted, made): (Vec<_>, Vec<_>) = (self.leader.admitted().collect(), made.collect());
        ensure!(admitted.len() == made.len(), "the leader knows the sessions that are open");
        ensure!(admitted.into_iter().zip(made).all(same), "the leader has admitted what they have made, in order");
        ensure!(self.leader.down.is_empty() && !self.told, "what the leader says to sessions is said at once");
        let sessions = self.sessions.values().filter_map(Session::awaited);
        let mut awaited: Vec<EffectId> = self.leader.awaited().chain(sessions).collect();
        awaited.sort_unstable();
        ensure!(awaited.windows(2).all(|pair| pair[0] != pair[1]), "no two wait for the same answer");
        ensure!(awaited.into_iter().all(|id| self.out.has_ordered(id)), "what is waited for was ordered");
        Ok(())
    }

    fn tick(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.leader.tick(self.now);
    }

    fn decide(&mut self, input: Input) {
        match input {
            Input::Offline => self.leader.offline(),
            Input::Online => self.leader.online(),
            Input::OfflineForGood => self.leader.give_up_offline(&self.config),
            Input::Refresh => self.leader.refresh(),
            Input::Authenticated => self.leader.authenticated(),
            Input::Withdraw { commit } => {
                let is_coming = self.sessions.get(&commit.session).is_some_and(|session| session.is_coming(commit.ordinal));
                self.leader.ask_to_withdraw(commit, is_coming);
            }
            Input::Decide { decision } => self.leader.decide(decision),
            Input::Shutdown => {
                self.closing = true;
                self.leader.close();
            }
            // Timers only move `now`; the others have been handled.
            _ => {}
        }
    }

    // Sessions.

    fn open_session(&mut self, session: SessionId) -> bool {
        if self.sessions.contains_key(&session) {
            return false;
        }
        let seeding = self.out.effect(Effect::Snapshot { session });
        let earlier = self.sessions.insert(session, Session::open(session, seeding));
        debug_assert!(earlier.is_none(), "an identity is used once");
        self.leader.session_opened(session);
        true
    }

    fn close_session(&mut self, session: SessionId) -> bool {
        let Some(found) = self.sessions.get_mut(&session).filter(|found| found.is_open()) else { return false };
        found.close();
        self.told = true;
        self.leader_ahead += found.send(&mut self.leader, &self.config);
        debug_assert!(found.is_drained(), "a closed session has sent everything (L4)");
        self.leader.session_closed(session);
        true
    }

    fn answer_session(&mut self, mut answer: impl FnMut(&mut Session) -> bool) -> bool {
        self.sessions.values_mut().any(&mut answer)
    }

    /// Goes on until nothing more can be done without the world.
    fn settle(&mut self) {
        loop {
            if !self.waits_for_sessions() {
                self.leader.settle(&self.config, &mut self.out);
            }
            let told = self.tell_sessions();
            if !self.sessions_go_on() && !told {
                break;
            }
        }
        debug_assert!(self.leader.down.is_empty() && self.sessions.values().all(|session| session.lost().is_none()));
        if core::mem::take(&mut self.told) {
            self.sessions.retain(|_, session| {
                session.ledger.flush(&mut self.out);
                session.is_open() || !session.is_done()
            });
        }
    }

    /// A bug that can be put back: whether a session that is behind holds up the leader.
    fn waits_for_sessions(&self) -> bool {
        self.config.has(Mutant::WaitForSessions) && self.sessions.values().any(|session| session.is_open() && session.is_behind())
    }

    fn tell_sessions(&mut self) -> bool {
        if self.leader.down.is_empty() {
            return false;
        }
        self.told = true;
        let mut down = core::mem::take(&mut self.leader.down);
        for message in down.drain(..) {
            match message {
                Down::Stored(txn) => {
                    for session in self.sessions.values_mut() {
                        session.stored(&txn, self.config.session_backlog);
                    }
                }
                Down::Persisted { session, through } => {
                    if let Some(found) = self.sessions.get_mut(&session) {
                        found.ledger.stored(through, self.config.backend, &mut self.out);
                    }
                }
                Down::Confirmed { session, commits } => {
                    if let Some(found) = self.sessions.get_mut(&session) {
                        found.ledger.confirmed(commits);
                    }
                }
                Down::Failed { commit, error } => {
                    if let Some(found) = self.sessions.get_mut(&commit.session) {
                        found.ledger.failed(commit, &error, &mut self.out);
                    }
                }
                Down::Wiped => self.sessions.values_mut().for_each(Session::wiped),
            }
        }
        debug_assert!(self.leader.down.is_empty());
        // Nobody has added to it meanwhile: what it has room for is kept for the next time.
        self.leader.down = down;
        true
    }

    fn sessions_go_on(&mut self) -> bool {
        let mut to_send: Option<Vec<SessionId>> = None;
        for (&id, session) in &mut self.sessions {
            session.take(&mut self.out);
            // What was refused may be sent again now: something has been taken, or the session has been seeded anew.
            if session.has_something_to_send() {
                to_send.get_or_insert_with(Vec::new).push(id);
            }
            if let Some(message) = session.lost().cloned() {
                self.out.notify(Notice::Reseeding { session: id, message });
                let seeding = self.out.effect(Effect::Snapshot { session: id });
                session.seeding(seeding);
            }
        }
        let Some(to_send) = to_send else { return false };
        for id in to_send {
            if let Some(session) = self.sessions.get_mut(&id) {
                self.leader_ahead += session.send(&mut self.leader, &self.config);
            }
        }
        true
    }
}

/// Which stages of a receipt are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpenStages {
    /// The leader has not stored the commit.
    pub leader: bool,
    /// The backend has not accepted it.
    pub backend: bool,
}

impl OpenStages {
    /// Whether this stage is open.
    #[must_use]
    pub fn is_open(self, stage: Stage) -> bool {
        match stage {
            Stage::Leader => self.leader,
            Stage::Backend => self.backend,
        }
    }
}
