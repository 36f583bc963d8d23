//! The reference model: what was admitted, what each receipt said, and what that allows.
//!
//! It knows nothing of sequence numbers, rebases or batches: only commits, their events, and the truth of the backend's log.

mod answers;
mod judge;
mod lives;
mod rest;

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::{CommitId, Config, EventId, OwnEvent, Prepared, Push, SessionId, SyncError};

use crate::world::backend::Backend;
use crate::world::{Choices, Disk, Reach, Violation};

/// How a stage stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Open,
    Ok(Vec<u64>),
    NotApplicable,
    Err(SyncError),
}

/// A commit and its receipt.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Commit {
    pub(crate) id: CommitId,
    pub(crate) client: usize,
    pub(crate) events: Vec<OwnEvent>,
    pub(crate) leader: Stage,
    pub(crate) backend: Stage,
    /// Whether the stage was said in the process that lives now.
    leader_said: bool,
    backend_said: bool,
    /// Whether the process that lives now has found it waiting for the backend.
    resumed: bool,
    /// How many histories the backend had had when it was confirmed.
    histories: Option<usize>,
    /// The process died before the commit was stored.
    lost: bool,
    /// Its client's file was replaced by an older copy that has it.
    set_back: bool,
    withdrawn: bool,
}

impl Commit {
    pub(crate) fn guard(&self) -> Option<&countersign_core::Guard> {
        self.events.iter().find_map(|own| own.guard.as_deref())
    }

    /// Whether its client's file may have forgotten that it had been taken out of the queue: then what came behind it shows that.
    fn is_overtaken(&self, backend: &Backend) -> bool {
        self.set_back && backend.has_overtaken(self.id)
    }

    fn synced(&self) -> impl DoubleEndedIterator<Item = &OwnEvent> {
        self.events.iter().filter(|own| !own.event.client_only)
    }
}

pub(crate) fn violated(id: &'static str, what: String) -> Result<(), Violation> {
    Err(Violation::new(id, what))
}

/// All commits of a world.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Model {
    commits: BTreeMap<CommitId, Commit>,
    /// The last commit of each session for which a stage was said to be Ok, in the process that lives now.
    last_leader: BTreeMap<SessionId, u64>,
    last_backend: BTreeMap<SessionId, u64>,
    /// Events that a failure said the backend will never hold.
    never: BTreeSet<EventId>,
    /// Events that were in a push, once.
    sent: BTreeSet<EventId>,
    fresh_ids: Vec<CommitId>,
    pub(crate) fresh: usize,
}

impl Model {
    pub(crate) fn len(&self) -> usize {
        self.commits.len()
    }

    pub(crate) fn of_session(&self, session: SessionId) -> impl Iterator<Item = &Commit> {
        let from = CommitId { session, ordinal: 0 };
        self.commits.range(from..).map(|(_, commit)| commit).take_while(move |commit| commit.id.session == session)
    }

    pub(crate) fn admitted(&mut self, client: usize, prepared: &Prepared) {
        let commit = Commit {
            id: prepared.id,
            client,
            events: prepared.events.to_vec(),
            leader: Stage::Open,
            backend: Stage::Open,
            leader_said: false,
            backend_said: false,
            resumed: false,
            histories: None,
            lost: false,
            set_back: false,
            withdrawn: false,
        };
        self.commits.insert(prepared.id, commit);
    }

    /// Some commit whose backend stage is open.
    pub(crate) fn any_open(&self, client: usize, choices: &mut Choices) -> Option<CommitId> {
        let open: Vec<CommitId> =
            self.commits.values().filter(|c| c.client == client && c.backend == Stage::Open && !c.lost).map(|c| c.id).collect();
        open.get(choices.index(open.len())).copied()
    }

    /// Some commit, however it stands.
    pub(crate) fn any(&self, client: usize, choices: &mut Choices) -> Option<CommitId> {
        let all: Vec<CommitId> = self.commits.values().filter(|c| c.client == client && !c.lost).map(|c| c.id).collect();
        all.get(choices.index(all.len())).copied()
    }

    /// The newest commit whose backend stage is open.
    pub(crate) fn newest_open(&self, client: usize) -> Option<CommitId> {
        let open = |c: &&Commit| c.client == client && c.backend == Stage::Open && !c.lost;
        self.commits.values().rev().find(open).map(|c| c.id)
    }

    pub(crate) fn withdrawing(&mut self, commit: CommitId) {
        if let Some(commit) = self.commits.get_mut(&commit) {
            commit.withdrawn = true;
        }
    }

    /// A push is handed to the network.
    pub(crate) fn pushed(&mut self, push: &Push, disk: &Disk, config: &Config, reach: &mut Reach) -> Result<(), Violation> {
        if push.events.is_empty() || push.events.len() > config.push_events {
            return Err(Violation::new(
                "V5",
                format!("a push of {} events, the limit is {}", push.events.len(), config.push_events),
            ));
        }
        for own in &push.events {
            if own.event.client_only {
                return Err(Violation::new("L7", format!("{:?} is client-only and pushed", own.id)));
            }
            if !disk.stored.contains(&own.id) {
                return Err(Violation::new("R2", format!("{:?} is pushed and not stored", own.id)));
            }
            if self.never.contains(&own.id) {
                return Err(Violation::new("R6", format!("{:?} is pushed after NotApplied", own.id)));
            }
            let commit = self.commits.get(&own.commit_id());
            let said = commit.and_then(|commit| commit.events.iter().find(|said| said.id == own.id));
            if said.is_none_or(|said| said.event != own.event || said.last != own.last) {
                return Err(Violation::new("R8", format!("{:?} is pushed as {own:?}, and was committed as {said:?}", own.id)));
            }
            self.sent.insert(own.id);
        }
        let ends = |own: &OwnEvent, next: Option<&OwnEvent>| {
            let commit = self.commits.get(&own.commit_id());
            let all = commit.map_or(0, |commit| commit.synced().count());
            next.is_none() && all > config.push_events
        };
        if push.events.last().is_some_and(|own| ends(own, None)) {
            reach.mark("a commit split over two pushes");
        }
        if push.events.len() == 1 && config.push_events > 2 {
            reach.mark("bisected");
        }
        Ok(())
    }

    /// The backend has taken a batch.
    pub(crate) fn accepted(&self, push: &Push) -> Result<(), Violation> {
        match push.events.iter().find(|own| self.never.contains(&own.id)) {
            Some(own) => Err(Violation::new("R6", format!("{:?} was said never to be applied, and is accepted", own.id))),
            None => Ok(()),
        }
    }
}
