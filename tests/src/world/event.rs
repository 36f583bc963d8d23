//! What is going to happen in a world.

use countersign_core::{BackendFailure, EffectId, Page, Push, SessionId, Time};

use super::Step;

/// When something is going to happen: a moment, its place among what happens then, and the order in which it was planned.
pub(crate) type Place = (Time, u64, u64);

/// Something that is going to happen. `u32` is the life of the process that it belongs to.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Event {
    User,
    Storage(usize, u32),
    Session(usize, u32, SessionId),
    Finish(usize, u32, SessionId),
    PushArrives(usize, u32, EffectId, Push),
    PushReply(usize, u32, EffectId, Option<Box<BackendFailure>>),
    PullServed(usize, u32, EffectId),
    PageArrives(usize, u32, EffectId, Page),
    PullCut(usize, u32, EffectId),
    Timer(usize, u32, Time),
    Boot(usize),
    Restart(usize, u32),
    LinkUp(usize),
    DiskFreed(usize),
    Credentials(usize),
    Hears(usize),
    Calm,
    /// The backend shows what it had taken by then, in this of its histories.
    Shows(usize, u64),
    CloseDone(usize, u32),
}

impl Event {
    /// Whose it is, if it is one client's.
    pub(crate) fn client(&self) -> Option<usize> {
        match *self {
            Self::User | Self::Calm | Self::Shows(..) => None,
            Self::Storage(c, _)
            | Self::Session(c, ..)
            | Self::Finish(c, ..)
            | Self::PushArrives(c, ..)
            | Self::PushReply(c, ..)
            | Self::PullServed(c, ..)
            | Self::PageArrives(c, ..)
            | Self::PullCut(c, ..)
            | Self::Timer(c, ..)
            | Self::Boot(c)
            | Self::Restart(c, _)
            | Self::CloseDone(c, _)
            | Self::LinkUp(c)
            | Self::DiskFreed(c)
            | Self::Credentials(c)
            | Self::Hears(c) => Some(c),
        }
    }

    pub(super) fn step(&self) -> Step {
        match *self {
            Self::User => Step::User,
            Self::Storage(c, _) => Step::Storage(c),
            Self::Session(c, ..) | Self::Finish(c, ..) => Step::Session(c),
            Self::PushArrives(c, ..) | Self::PushReply(c, ..) => Step::Push(c),
            Self::PullServed(c, ..) | Self::PageArrives(c, ..) | Self::PullCut(c, ..) => Step::Pull(c),
            Self::Timer(c, ..) => Step::Timer(c),
            Self::Boot(c) | Self::Restart(c, _) | Self::CloseDone(c, _) => Step::Process(c),
            Self::LinkUp(_) | Self::DiskFreed(_) | Self::Credentials(_) | Self::Hears(_) | Self::Calm | Self::Shows(..) => {
                Step::Heal
            }
        }
    }
}
