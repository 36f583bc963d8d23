//! One client of the world: a node, its file, its sessions' databases, and the lanes that carry out its effects.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use countersign_core::{
    Boot, Config, Effect, EffectId, Input, Node, Output, Prepared, Pull, Push, Reason, SessionId, SessionTxn, Time, Txn,
};

use super::Violation;
use super::database::Database;
use super::disk::Disk;
use super::heard::Heard;
use super::sum::Sum;

/// What storage has been told to do.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Job {
    Materialise(Arc<Txn>),
    Snapshot(SessionId),
}

/// An open session, as its driver sees it.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Local {
    pub(crate) db: Database,
    pub(crate) lane: VecDeque<(EffectId, SessionTxn)>,
    pub(crate) busy: bool,
    pub(crate) prepared: Option<Prepared>,
    /// Never answers its effects.
    pub(crate) dead: bool,
    /// Whether it has been seeded, and what was told of since is in order.
    pub(crate) seeded: bool,
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct PullLane {
    pub(crate) effect: EffectId,
    pub(crate) pull: Pull,
    /// Waits for the backend to have something.
    pub(crate) parked: bool,
}

#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Stream {
    pub(crate) cursor: u64,
    pub(crate) incarnation: usize,
    /// Nothing has been sent on it.
    pub(crate) first: bool,
}

/// A machine in one process life, with everything to play it again.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) node: Node,
    boot: Boot,
    seed: u64,
    /// Nothing where lives are not played again.
    recorded: Option<Vec<(Time, Input)>>,
    outputs: Sum,
    count: u64,
    /// The deadline that was told last.
    pub(crate) deadline: Option<(Time, Reason)>,
}

impl Process {
    pub(crate) fn start(config: &Config, boot: Boot, seed: u64, records: bool) -> Result<Self, Violation> {
        let node = Node::new(config.clone(), boot.clone(), seed)
            .map_err(|error| Violation::new("S2", format!("the store does not open: {error}")))?;
        Ok(Self { node, boot, seed, recorded: records.then(Vec::new), outputs: Sum::default(), count: 0, deadline: None })
    }

    pub(crate) fn record(&mut self, now: Time, input: &Input) {
        if let Some(recorded) = &mut self.recorded {
            recorded.push((now, input.clone()));
        }
    }

    /// Everything that the machine has to say.
    pub(crate) fn drain(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        loop {
            match self.node.poll() {
                Output::Idle { deadline } => {
                    self.deadline = deadline;
                    break;
                }
                output => {
                    self.outputs.add(&output);
                    self.count += 1;
                    outputs.push(output);
                }
            }
        }
        outputs
    }

    pub(crate) fn trace(&self) -> u128 {
        self.outputs.wide()
    }

    /// Plays the life again into a fresh machine, drained after every `every` inputs: the outputs are the same.
    pub(crate) fn replay(&self, config: &Config, every: usize) -> Result<(), Violation> {
        let Some(recorded) = &self.recorded else { return Ok(()) };
        let mut again = Self::start(config, self.boot.clone(), self.seed, false)?;
        for (i, (now, input)) in recorded.iter().enumerate() {
            again.node.handle(*now, input.clone());
            if i % every == every - 1 {
                again.drain();
            }
        }
        again.drain();
        if again.outputs != self.outputs || again.count != self.count {
            let (here, there) = (self.count, again.count);
            return Err(Violation::new(
                "D2",
                format!("{here} outputs, played again and drained after {every}: {there}, or others"),
            ));
        }
        if again.node != self.node {
            return Err(Violation::new("D1", "the machine played again is another one"));
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) name: Arc<str>,
    pub(crate) config: Config,
    pub(crate) process: Option<Process>,
    /// Counts the processes; answers for an earlier one go nowhere.
    pub(crate) life: u32,
    pub(crate) disk: Disk,
    /// What the file was when somebody copied it.
    pub(crate) copy: Option<Box<Disk>>,
    pub(crate) disk_full: bool,
    pub(crate) sessions: BTreeMap<SessionId, Local>,
    pub(crate) storage: VecDeque<(EffectId, Job)>,
    pub(crate) storage_busy: bool,
    /// The number of the last transaction that the machine knows to be committed.
    pub(crate) told: u64,
    pub(crate) push: Option<(EffectId, Push)>,
    pub(crate) pull: Option<PullLane>,
    pub(crate) stream: Option<Stream>,
    pub(crate) link: bool,
    pub(crate) authorised: bool,
    /// What the last timer event was set for.
    pub(crate) timer: Option<Time>,
    pub(crate) closing: bool,
    /// Answers that were given once, to be given again.
    pub(crate) old_answers: VecDeque<Input>,
    /// Requests to the backend since anything happened that could make them useful, and since when.
    pub(crate) barren: (u32, Time),
    /// The reply to the next push that is taken is lost.
    pub(crate) lose_next_reply: bool,
    /// A push of this client was lost on its way back: its parent and length.
    pub(crate) lost_reply: Option<(u64, usize)>,
    pub(crate) heard: Heard,
    /// Nothing that it is sent arrives.
    pub(crate) deaf: bool,
    /// Its disk takes seconds.
    pub(crate) slow_disk: bool,
}

impl Client {
    pub(crate) fn new(name: &str, config: Config) -> Self {
        Self {
            name: name.into(),
            config,
            process: None,
            life: 0,
            disk: Disk::default(),
            copy: None,
            disk_full: false,
            sessions: BTreeMap::new(),
            storage: VecDeque::new(),
            storage_busy: false,
            told: 0,
            push: None,
            pull: None,
            stream: None,
            link: true,
            authorised: true,
            timer: None,
            closing: false,
            old_answers: VecDeque::new(),
            barren: (0, Time::ZERO),
            lose_next_reply: false,
            lost_reply: None,
            heard: Heard::default(),
            deaf: false,
            slow_disk: false,
        }
    }

    pub(crate) fn node(&self) -> Option<&Node> {
        self.process.as_ref().map(|process| &process.node)
    }

    /// The process is gone, and everything in memory with it.
    pub(crate) fn kill(&mut self) {
        self.process = None;
        self.life += 1;
        self.sessions.clear();
        self.storage.clear();
        self.old_answers.clear();
        (self.storage_busy, self.push, self.pull, self.stream, self.timer) = (false, None, None, None, None);
        self.closing = false;
        self.disk.unsettled = None;
    }

    pub(crate) fn job(effect: &Effect) -> Option<Job> {
        match effect {
            Effect::Materialise(txn) => Some(Job::Materialise(txn.clone())),
            Effect::Snapshot { session } => Some(Job::Snapshot(*session)),
            _ => None,
        }
    }
}
