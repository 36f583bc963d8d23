//! What a machine answers when it is asked how things stand: it has to be what it has said, and what it was told.

use std::collections::BTreeSet;

use countersign_core::{Class, CommitId, Node, SessionId, Stage as Which, Time, Waiting, Why};

use super::{Commit, Model, Stage, violated};
use crate::world::Violation;
use crate::world::backend::Backend;
use crate::world::client::Client;
use crate::world::heard::ToPush;

impl Commit {
    fn is_open(&self, which: Which) -> bool {
        match which {
            Which::Leader => self.leader == Stage::Open,
            // What was known by an acknowledgement alone may have been found open again.
            Which::Backend => self.backend == Stage::Open || (self.resumed && !self.backend_said),
        }
    }

    fn first_open(&self) -> Option<Which> {
        [Which::Leader, Which::Backend].into_iter().find(|&which| self.is_open(which))
    }
}

impl Model {
    /// The answers about all sessions of a client.
    pub(crate) fn judge_answers(&self, c: usize, client: &Client, backend: &Backend) -> Result<(), Violation> {
        let Some(process) = &client.process else { return Ok(()) };
        let of_client = || self.commits.values().filter(|commit| commit.client == c && !commit.lost);
        let sessions: BTreeSet<SessionId> = of_client().map(|commit| commit.id.session).collect();
        let to_push: Vec<ToPush> = client.to_push(backend.keeps_ids).collect();
        let deadline = process.deadline.map(|(at, _)| at);
        let mut open = 0;
        for session in sessions {
            let commits: Vec<&Commit> = self.of_session(session).filter(|commit| !commit.lost).collect();
            open += commits.iter().filter(|commit| commit.first_open().is_some()).count();
            judge_marks(&process.node, session, &commits)?;
            let mut before = None;
            for commit in &commits {
                let Some(waiting) = judge_stage(&process.node, commit)? else { continue };
                self.judge_waiting(commit, &waiting, deadline, client, backend)?;
                match waiting.stage {
                    Which::Leader => self.judge_ahead_at_leader(commit, &waiting, client, &mut before)?,
                    Which::Backend => self.judge_ahead_at_backend(commit, &waiting, client, backend, &to_push)?,
                }
            }
        }
        let told: usize = process.node.open_commits(Which::Leader).len() + process.node.open_commits(Which::Backend).len();
        if open == 0 && told > 0 {
            return violated("R1", format!("nothing is open, and {told} sessions are told to be"));
        }
        Ok(())
    }

    /// How many commits are stored before one that is not: those that were made earlier, as long as nobody was refused or given up.
    fn judge_ahead_at_leader(
        &self,
        commit: &Commit,
        waiting: &Waiting,
        client: &Client,
        before: &mut Option<usize>,
    ) -> Result<(), Violation> {
        let Some(node) = client.node() else { return Ok(()) };
        let open = self.commits.values().filter(|other| other.is_open(Which::Leader) && !other.lost);
        let made = |commit: &Commit| client.heard.when_made(commit.id).map(|(place, _)| place);
        let earlier = open.filter(|other| made(other).is_some() && made(other) < made(commit)).count();
        let heard = &client.heard;
        let in_doubt = heard.shaken || !heard.doomed.is_empty();
        let told = waiting.ahead;
        // Whoever was refused at first may have been overtaken, and never by its own session.
        let exact = !in_doubt && node.status().leader_ahead == 0;
        let is_right = if exact { told == earlier } else { in_doubt || before.is_none_or(|before| before < told) };
        *before = Some(told);
        if is_right {
            return Ok(());
        }
        violated("R2", format!("{} is told to have {told} commits before it at the disk, and there are {earlier}", commit.id))
    }

    /// How many commits the backend has to accept before one: those before it in its client's log that it is not known to have, or,
    /// where it has all of this one, those of its session that are open.
    fn judge_ahead_at_backend(
        &self,
        commit: &Commit,
        waiting: &Waiting,
        client: &Client,
        backend: &Backend,
        to_push: &[ToPush],
    ) -> Result<(), Violation> {
        let heard = &client.heard;
        // Where pulls carry no identities, equal events may be taken for one another.
        if heard.shaken || !backend.keeps_ids || client.disk.unsettled.is_some() || !client.config.backend {
            return Ok(());
        }
        // What is to leave the queue may have done so in memory.
        let gives_up = client.config.offline.withdraw && (heard.was_final.is_some() || heard.turned);
        let is_overtaken = |id: &CommitId| self.commits.get(id).is_some_and(|commit| commit.is_overtaken(backend));
        let may_be_gone = |id: &CommitId| gives_up || heard.doomed.contains(id) || heard.refused.contains(id) || is_overtaken(id);
        if may_be_gone(&commit.id) {
            return Ok(());
        }
        let queued: Vec<&ToPush> = to_push.iter().filter(|next| next.commit == commit.id).collect();
        let mut before: Vec<&ToPush> = to_push.iter().take_while(|next| next.commit != commit.id).collect();
        // A commit is before it as long as one of its events is.
        before.sort_by_key(|next| (next.commit, next.may_be_accepted));
        before.dedup_by_key(|next| next.commit);
        let least = before.iter().filter(|next| !next.may_be_accepted && !may_be_gone(&next.commit)).count();
        let told = waiting.ahead;
        let earlier = self.of_session(commit.id.session).take_while(|earlier| earlier.id < commit.id);
        let open = earlier.filter(|earlier| !earlier.lost && earlier.is_open(Which::Backend)).count();
        let most = before.len();
        let may_be_accepted = queued.iter().all(|next| next.may_be_accepted);
        if (!queued.is_empty() && (least..=most).contains(&told)) || (may_be_accepted && told == open) {
            return Ok(());
        }
        violated(
            "R2",
            format!("{} is told to have {told} commits before it at the backend, and there are {least} to {most}", commit.id),
        )
    }

    /// Why a commit waits, and for how long it has been tried, by what the machine was told.
    fn judge_waiting(
        &self,
        commit: &Commit,
        waiting: &Waiting,
        deadline: Option<Time>,
        client: &Client,
        backend: &Backend,
    ) -> Result<(), Violation> {
        let heard = &client.heard;
        let at_leader = waiting.stage == Which::Leader;
        let is_stuck = |id: &CommitId| heard.stuck.contains(id);
        let is_earlier =
            |id: &CommitId| *id != commit.id && self.commits.get(id).is_some_and(|found| found.client == commit.client);
        let (hindered, offline) = (heard.wants_auth || heard.shaken, heard.offline || heard.outage.is_some());
        let turned = heard.turned;
        let fits = match &waiting.why {
            Why::Persisting => at_leader && !heard.storage_fails && !heard.storage_surely_broken,
            Why::StorageTrouble(failure) => at_leader && heard.storage.contains(failure) && !heard.storage_surely_broken,
            Why::StorageBroken { .. } => heard.storage_broken,
            Why::Offline { since, .. } => {
                // Of a clock that went back, only that much is known.
                let is_right = heard.outage == Some(*since) || (turned && heard.outage.is_some_and(|outage| *since <= outage));
                !at_leader && offline && is_right && !heard.wants_auth
            }
            Why::NeedsAuth { .. } => !at_leader && heard.wants_auth,
            Why::BackendIdMismatch { .. } => !at_leader && backend.incarnations.len() > 1 && heard.shaken,
            Why::BackendLogBroken { .. } => !at_leader && heard.gap && !offline && !heard.wants_auth,
            Why::Pulling | Why::Pushing => !at_leader && !offline && !heard.wants_auth,
            Why::Stuck { .. } => !at_leader && !offline && is_stuck(&commit.id),
            Why::Fenced { behind, message: Some(_) } => !at_leader && !offline && is_stuck(behind) && is_earlier(behind),
            Why::Fenced { behind, message: None } => {
                let is_open = self.commits.get(behind).is_some_and(|behind| behind.is_open(Which::Backend));
                !at_leader && is_open && behind.session == commit.id.session && *behind < commit.id
            }
            Why::Withdrawing => {
                let gives_up = client.config.offline.withdraw && (heard.was_final.is_some() || heard.turned);
                let is_doomed = heard.doomed.contains(&commit.id) || heard.refused.contains(&commit.id);
                !at_leader && (gives_up || hindered || is_doomed || commit.is_overtaken(backend))
            }
            _ => false,
        };
        if !fits {
            return violated("R1", format!("{} says that it waits so: {waiting:?}, and it was told {heard:?}", commit.id));
        }
        // A stream that ends short of what was acknowledged counts as a failure, and can't be told from here.
        let tried = if at_leader { heard.txns } else { heard.pushes.max(heard.pulls) + 1 };
        if waiting.attempt > tried && !heard.shaken {
            return violated("R1", format!("{} is told to have been tried in vain: {waiting:?}; {tried} have failed", commit.id));
        }
        let class = waiting.error.as_ref().map(|error| error.class);
        let fits = match (&waiting.why, class) {
            (Why::StorageTrouble(_) | Why::Offline { .. }, class) => class != Some(Class::Auth),
            (Why::NeedsAuth { .. }, class) => class == Some(Class::Auth),
            (Why::Stuck { .. }, class) => class.is_some(),
            _ => true,
        };
        if !fits {
            return violated("R1", format!("{} waits for one thing, and has the error of another: {waiting:?}", commit.id));
        }
        // Whoever says when it tries again is woken by then.
        match waiting.next {
            Some(next) if deadline.is_none_or(|deadline| deadline > next) => {
                violated("V4", format!("{} is told to be tried at {next}, and the machine sleeps until {deadline:?}", commit.id))
            }
            _ => Ok(()),
        }
    }
}

/// The stage that a commit is told to wait for is the first that has not settled.
fn judge_stage(node: &Node, commit: &Commit) -> Result<Option<Waiting>, Violation> {
    let waiting = node.waiting(commit.id);
    let told = node.find(commit.id).map_or((false, false), |stages| (stages.leader, stages.backend));
    let stage = waiting.as_ref().map(|waiting| waiting.stage);
    let is_open = (commit.is_open(Which::Leader), commit.is_open(Which::Backend));
    if stage != commit.first_open() || told != is_open {
        let id = commit.id;
        violated("R1", format!("{id} waits for {stage:?} and is found open at {told:?}; what it said leaves {is_open:?} open"))?;
    }
    Ok(waiting)
}

/// The marks of a session, for barriers: the last open commit, and up to where all have settled.
fn judge_marks(node: &Node, session: SessionId, commits: &[&Commit]) -> Result<(), Violation> {
    for which in [Which::Leader, Which::Backend] {
        let mut open = commits.iter().filter(|commit| commit.is_open(which)).map(|commit| commit.id.ordinal);
        let first = open.next();
        let last = open.next_back().or(first);
        let told = node.open_commits(which).into_iter().find(|(of, _)| *of == session).map(|(_, last)| last);
        let settles = |through| node.is_settled_through(which, session, through);
        let is_right = first.map_or(settles(u64::MAX), |first| settles(first - 1) && !settles(first));
        if last != told || !is_right {
            return violated("R1", format!("the open commits of {session} are {first:?} to {last:?}, and {told:?} is told"));
        }
    }
    Ok(())
}
