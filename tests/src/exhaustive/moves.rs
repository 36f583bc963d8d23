//! What can happen next in a small world, and how it happens.

use countersign_core::{BackendFailure, Batch, IdentityPolicy, Input, SessionId};

use super::worlds::{Do, Small};
use crate::world::{Event, Place, Violation, World, state};

/// One move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// Something that was planned happens, with these chances taken.
    Planned { place: Place, chances: Vec<bool> },
    /// The next thing in a list is done, with these chances taken.
    User { program: usize, chances: Vec<bool> },
}

impl Move {
    fn chances(&self) -> &Vec<bool> {
        match self {
            Self::Planned { chances, .. } | Self::User { chances, .. } => chances,
        }
    }

    fn with(&self, chances: Vec<bool>) -> Self {
        match *self {
            Self::Planned { place, .. } => Self::Planned { place, chances },
            Self::User { program, .. } => Self::User { program, chances },
        }
    }
}

/// How far users have come, and how many steps are left.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Progress {
    pub(crate) done: Vec<usize>,
    pub(crate) left: u32,
}

impl Progress {
    pub(crate) fn new(small: &Small, steps: u32) -> Self {
        Self { done: vec![0; small.programs.len()], left: steps }
    }

    /// Everything that can happen next, with no chance taken.
    pub(crate) fn moves(&self, small: &Small, world: &World) -> Vec<Move> {
        let mut moves: Vec<Move> = Vec::new();
        let planned = |place: &Place| Move::Planned { place: *place, chances: Vec::new() };
        if !small.slow_sessions {
            let answer = world.queue.iter().find(|(_, event)| matches!(event, Event::Session(..)));
            if let Some((place, _)) = answer {
                return vec![planned(place)];
            }
        }
        moves.extend(world.queue.iter().filter(|(_, event)| !is_late(event)).map(|(place, _)| planned(place)));
        if moves.is_empty() {
            // Time passes only when nothing else is left to happen.
            moves.extend(world.queue.keys().next().map(planned));
        }
        if self.left > 0 {
            let open = (0..small.programs.len()).filter(|&program| self.can(small, program, world));
            moves.extend(open.map(|program| Move::User { program, chances: Vec::new() }));
        }
        moves
    }

    fn can(&self, small: &Small, program: usize, world: &World) -> bool {
        let Some(&next) = small.programs[program].get(self.done[program]) else { return false };
        let alive = |c: usize| world.clients[c].process.is_some();
        match next {
            Do::Commit(c, n, ..) | Do::CommitTwo(c, n, _) | Do::Claim(c, n, _) => session(world, c, n).is_some_and(|id| {
                let ready = world.clients[c].node().is_some_and(|node| node.is_ready(id));
                ready && world.clients[c].sessions.get(&id).is_some_and(|local| local.prepared.is_none())
            }),
            Do::Close(c, n) => session(world, c, n).is_some(),
            Do::Withdraw(c) => alive(c) && world.model.newest_open(c).is_some(),
            Do::Kill(c) | Do::Open(c) | Do::StartOver(c) | Do::Offline(c) | Do::Online(c) => alive(c),
            Do::Truncate => world.backend.head() > 0,
            Do::Reset | Do::Others(..) => true,
        }
    }

    /// Makes a move.
    pub(crate) fn take(&mut self, small: &Small, world: &mut World, step: &Move) -> Result<(), Violation> {
        world.choices.chances(step.chances().clone());
        self.left = self.left.saturating_sub(u32::from(step.chances().contains(&true)));
        match *step {
            Move::Planned { place, .. } => {
                let Some(event) = world.queue.remove(&place) else { return Ok(()) };
                if is_late(&event) {
                    world.now = world.now.max(place.0);
                }
                world.dispatch(event)?;
            }
            Move::User { program, .. } => {
                let Some(&next) = small.programs[program].get(self.done[program]) else { return Ok(()) };
                self.done[program] += 1;
                self.left = self.left.saturating_sub(1);
                carry_out(world, next)?;
            }
        }
        world.forget_the_past();
        Ok(())
    }

    /// The same move with one more of the chances taken that there were in it, as far as steps are left.
    pub(crate) fn variants(&self, step: &Move, world: &World) -> Vec<Move> {
        let taken = step.chances();
        // Whoever has paid for one may take more.
        if self.left == 0 && !taken.contains(&true) {
            return Vec::new();
        }
        let more = taken.len()..world.choices.chances_seen();
        let with = |at: usize| {
            let mut chances = taken.clone();
            chances.resize(at, false);
            chances.push(true);
            step.with(chances)
        };
        more.map(with).collect()
    }
}

fn session(world: &World, c: usize, n: usize) -> Option<SessionId> {
    world.clients[c].sessions.keys().nth(n).copied()
}

fn carry_out(world: &mut World, what: Do) -> Result<(), Violation> {
    match what {
        Do::Commit(c, n, name, key) => match session(world, c, n) {
            Some(id) => world.commit(c, id, vec![state::event(name, key, c as u64 + 1, name.starts_with("ui."))]),
            None => Ok(()),
        },
        Do::CommitTwo(c, n, key) => match session(world, c, n) {
            Some(id) => {
                let one = |value| state::event("v1.Append", key, value, false);
                world.commit(c, id, vec![one(1), one(2)])
            }
            None => Ok(()),
        },
        Do::Claim(c, n, key) => match session(world, c, n) {
            Some(id) => {
                let events = vec![state::event("v1.Insert", key, c as u64 + 1, false)];
                world.commit(c, id, Batch { events, guard: Some(state::guard("v1.Free", key)) })
            }
            None => Ok(()),
        },
        Do::Withdraw(c) => match world.model.newest_open(c) {
            Some(commit) => world.withdraw(c, commit),
            None => Ok(()),
        },
        Do::Kill(c) => world.crash(c),
        Do::Open(c) => world.open_session(c).map(drop),
        Do::Close(c, n) => match session(world, c, n) {
            Some(id) => world.close_session(c, id),
            None => Ok(()),
        },
        Do::Reset => {
            world.reset_backend();
            Ok(())
        }
        Do::Truncate => {
            let to = world.backend.head() - 1;
            world.restore_backup(to);
            Ok(())
        }
        Do::Others(name, key) => {
            world.others(state::event(name, key, 9, false));
            Ok(())
        }
        Do::StartOver(c) => {
            world.news(c);
            world.input(c, Input::Decide { decision: IdentityPolicy::Reset })
        }
        Do::Offline(c) => {
            world.clients[c].link = false;
            world.input(c, Input::Offline)
        }
        Do::Online(c) => {
            world.clients[c].link = true;
            world.news(c);
            world.input(c, Input::Online)
        }
    }
}

/// What only happens once everything else has had its time.
pub(super) fn is_late(event: &Event) -> bool {
    match event {
        Event::Timer(..) | Event::PullCut(..) | Event::CloseDone(..) => true,
        Event::PushReply(_, _, _, Some(failure)) => {
            matches!(**failure, BackendFailure::Unreachable { maybe_applied: true, .. })
        }
        _ => false,
    }
}
