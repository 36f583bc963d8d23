//! What a machine answers when it is asked how things stand: it has to be what it has said.

use countersign_core::{CommitId, Node, SessionId, Stage as Which, Time, Waiting, Why};

use super::{Commit, Model, Stage};
use crate::world::Violation;

impl Commit {
    fn first_open(&self) -> Option<Which> {
        match (&self.leader, &self.backend) {
            (Stage::Open, _) => Some(Which::Leader),
            (_, Stage::Open) => Some(Which::Backend),
            _ => None,
        }
    }

    fn is_open(&self, which: Which) -> bool {
        let stage = if which == Which::Leader { &self.leader } else { &self.backend };
        *stage == Stage::Open
    }
}

impl Model {
    /// The answers about a session that is open in the process that lives now, by a machine that next wants to be woken at `deadline`.
    pub(crate) fn judge_answers(&self, node: &Node, session: SessionId, deadline: Option<Time>) -> Result<(), Violation> {
        let commits: Vec<&Commit> = self.of_session(session).collect();
        for commit in &commits {
            let waiting = node.waiting(commit.id);
            let stage = waiting.as_ref().map(|waiting| waiting.stage);
            if stage != commit.first_open() {
                let said = commit.first_open();
                return Err(Violation::new(
                    "R1",
                    format!("{} waits for {stage:?}, and what it said leaves {said:?} open", commit.id),
                ));
            }
            if let Some(waiting) = waiting {
                sensible(commit.id, &waiting, deadline)?;
            }
        }
        for which in [Which::Leader, Which::Backend] {
            let last = commits.iter().rev().find(|commit| commit.is_open(which)).map(|commit| commit.id.ordinal);
            let told = node.open_commits(which).into_iter().find(|(of, _)| *of == session).map(|(_, last)| last);
            let first = commits.iter().find(|commit| commit.is_open(which)).map(|commit| commit.id.ordinal);
            let through = first.map_or(u64::MAX, |first| first - 1);
            if last != told || !node.is_settled_through(which, session, through) {
                return Err(Violation::new("R1", format!("the last open commit of {session} is {last:?}, and {told:?} is told")));
            }
        }
        Ok(())
    }
}

fn sensible(commit: CommitId, waiting: &Waiting, deadline: Option<Time>) -> Result<(), Violation> {
    let fits = match waiting.why {
        Why::Persisting => waiting.stage == Which::Leader,
        Why::Offline { .. } | Why::NeedsAuth { .. } | Why::Pulling | Why::Pushing | Why::Stuck { .. } | Why::Fenced { .. } => {
            waiting.stage == Which::Backend
        }
        _ => true,
    };
    if !fits {
        return Err(Violation::new("R1", format!("{commit} says that it waits so: {waiting:?}")));
    }
    // Whoever says when it tries again is woken by then.
    match waiting.next {
        Some(next) if deadline.is_none_or(|deadline| deadline > next) => Err(Violation::new(
            "V4",
            format!("{commit} is told to be tried at {next}, and the machine sleeps until {deadline:?}"),
        )),
        _ => Ok(()),
    }
}
