//! Which faults a world has, and how strong they are: drawn from its choices, nothing of everything included.

use core::time::Duration;

use countersign_core::{Config, IdentityPolicy, OfflinePolicy, StuckPolicy};

use super::choices::Choices;

/// The options of one world. Fields without a unit are times in a thousand.
#[derive(Clone, Debug)]
pub(crate) struct Swarm {
    pub(crate) clients: u64,
    pub(crate) sessions: u64,
    /// What users do, in all.
    pub(crate) actions: u64,
    /// The mean time between two of those, in microseconds.
    pub(crate) pace: u64,
    pub(crate) keys: u64,
    pub(crate) commit_events: u64,
    pub(crate) big_commit: u64,
    /// How many different values events have: few make equal events.
    pub(crate) values: u64,
    pub(crate) keeps_ids: bool,
    /// The longest delay of one message, in microseconds.
    pub(crate) delay: u64,
    pub(crate) lose_request: u64,
    pub(crate) lose_reply: u64,
    pub(crate) refuse_connection: u64,
    pub(crate) late: u64,
    pub(crate) duplicate: u64,
    pub(crate) page: u64,
    /// The fewest events of a page, if there are as many.
    pub(crate) page_min: u64,
    pub(crate) gap: u64,
    pub(crate) overlap: u64,
    pub(crate) empty_page: u64,
    pub(crate) stall: u64,
    pub(crate) cut_stream: u64,
    pub(crate) forbidden: u64,
    pub(crate) stuck: u64,
    pub(crate) sticky: u64,
    pub(crate) moody: u64,
    pub(crate) auth: u64,
    pub(crate) offline: u64,
    pub(crate) offline_for_good: u64,
    pub(crate) disk_fails: u64,
    pub(crate) disk_full: u64,
    pub(crate) disk_unknown: u64,
    /// The longest transaction, in microseconds.
    pub(crate) disk_delay: u64,
    pub(crate) snapshot_fails: u64,
    pub(crate) session_fails: u64,
    pub(crate) session_delay: u64,
    pub(crate) slow_commit: u64,
    pub(crate) crash: u64,
    /// A crash at any event, in a hundred thousand.
    pub(crate) crash_anywhere: u64,
    pub(crate) close: u64,
    pub(crate) churn: u64,
    pub(crate) withdraw: u64,
    pub(crate) reset: u64,
    pub(crate) truncate: u64,
    pub(crate) decide: u64,
    pub(crate) dead_session: bool,
    pub(crate) noise: u64,
    /// Everything sleeps for hours.
    pub(crate) suspend: u64,
    /// Whether the backend changes what some events say.
    pub(crate) rewrites: bool,
    /// Commits under a guard.
    pub(crate) guarded: u64,
    /// For a time nothing that a client is sent arrives, and all that it sends does.
    pub(crate) deaf: u64,
    /// Something between client and backend answers with an error of its own, whatever became of the request.
    pub(crate) gateway: u64,
    /// The backend starts anew and keeps its log: streams and requests under way are lost.
    pub(crate) restart: u64,
    /// For how long, in microseconds, what the backend has taken is not shown to those who pull.
    pub(crate) lag: u64,
    /// The clock that a machine is told by goes back.
    pub(crate) clock_back: u64,
    /// A session stops answering, with whatever it has.
    pub(crate) dies: u64,
    /// A client that is not in this world has events accepted.
    pub(crate) others: u64,
    /// Somebody copies a client's file, and puts the copy in the place of the file later on.
    pub(crate) older_copy: u64,
    /// What the first client suffers from for as long as it takes, when other faults have stopped.
    pub(crate) lasting: Lasting,
    pub(crate) config: Config,
}

/// A fault that does not go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    Nothing,
    /// One session answers nothing more.
    DeadSession,
    /// There is no network.
    Offline,
    /// Nothing that it is sent arrives.
    Deaf,
    /// Its disk is full.
    DiskFull,
    /// Its disk takes seconds for everything.
    SlowDisk,
    /// Its credentials are refused.
    Unauthorised,
}

impl Lasting {
    pub(crate) const ALL: [Self; 6] =
        [Self::DeadSession, Self::Offline, Self::Deaf, Self::DiskFull, Self::SlowDisk, Self::Unauthorised];

    /// The situation that it makes.
    pub(crate) fn mark(self) -> Option<&'static str> {
        Some(match self {
            Self::Nothing => return None,
            Self::DeadSession => "for ever: a dead session",
            Self::Offline => "for ever: no network",
            Self::Deaf => "for ever: nothing arrives",
            Self::DiskFull => "for ever: a full disk",
            Self::SlowDisk => "for ever: a slow disk",
            Self::Unauthorised => "for ever: refused credentials",
        })
    }
}

impl Swarm {
    pub(crate) fn draw(c: &mut Choices) -> Self {
        let calm = c.chance(50);
        let mut s = |max: u64| if calm { 0 } else { c.strength(max) };
        let mut swarm = Self {
            clients: 0,
            sessions: 0,
            actions: 0,
            pace: 0,
            keys: 0,
            commit_events: 0,
            big_commit: s(60),
            values: 0,
            keeps_ids: false,
            delay: 1_000,
            lose_request: s(300),
            lose_reply: s(400),
            refuse_connection: s(200),
            late: s(100),
            duplicate: s(300),
            page: 0,
            page_min: 1,
            gap: s(150),
            overlap: s(150),
            empty_page: s(100),
            stall: s(300),
            cut_stream: s(150),
            forbidden: s(60),
            stuck: s(15),
            sticky: s(40),
            moody: s(30),
            auth: s(30),
            offline: s(60),
            offline_for_good: s(25),
            disk_fails: s(150),
            disk_full: s(30),
            disk_unknown: s(150),
            disk_delay: 1_000,
            snapshot_fails: s(200),
            session_fails: s(40),
            session_delay: 100,
            slow_commit: s(300),
            crash: s(40),
            crash_anywhere: s(300),
            close: s(30),
            churn: s(80),
            withdraw: s(80),
            reset: 0,
            truncate: 0,
            decide: 0,
            dead_session: false,
            noise: s(60),
            suspend: 0,
            rewrites: false,
            guarded: 0,
            deaf: 0,
            gateway: 0,
            restart: 0,
            lag: 0,
            clock_back: 0,
            dies: 0,
            others: 0,
            older_copy: 0,
            lasting: Lasting::Nothing,
            config: Config::default(),
        };
        swarm.rest(c, calm);
        let older_copy = c.beside(400);
        // Without identities nothing shows that an event had been taken out.
        swarm.older_copy = if swarm.keeps_ids && older_copy <= 50 { older_copy } else { 0 };
        swarm
    }

    fn rest(&mut self, c: &mut Choices, calm: bool) {
        self.clients = c.between(1, 3);
        self.sessions = c.between(1, 3);
        self.actions = c.between(40, 600);
        self.pace = *pick(c, &[1_000, 20_000, 20_000, 200_000, 2_000_000]);
        self.keys = c.between(3, 30);
        self.commit_events = c.between(1, 5);
        self.values = *pick(c, &[1_000_000, 1_000_000, 3]);
        self.keeps_ids = c.chance(600);
        self.delay = *pick(c, &[500, 20_000, 20_000, 400_000]);
        self.page = *pick(c, &[1, 3, 10, 100]);
        self.disk_delay = *pick(c, &[200, 5_000, 5_000, 100_000]);
        self.session_delay = *pick(c, &[50, 1_000, 50_000]);
        self.dead_session = !calm && c.chance(100);
        let shifting = !calm && c.chance(120);
        if shifting {
            self.reset = c.strength(25);
            self.truncate = c.strength(25);
            self.decide = 60;
        }
        self.config = config(c, calm);
        if calm {
            return;
        }
        self.guarded = c.strength(500);
        self.suspend = c.strength(15);
        // Without identities, an event with other bytes is told from a withdrawn one only where nothing is withdrawn.
        self.rewrites = c.chance(100) && self.keeps_ids;
        if c.chance(100) {
            self.config.pending_bytes = c.between(200, 3_000) as usize;
            self.config.unpersisted_bytes = c.between(200, 2_000) as usize;
        }
        // New options come last, so that what earlier ones come to changes as little as possible.
        self.deaf = c.strength(25);
        self.gateway = c.strength(100);
        self.restart = c.strength(20);
        self.lag = c.strength(300_000);
        self.clock_back = c.strength(100);
        self.dies = c.strength(30);
        self.others = c.strength(150);
        if c.chance(500) {
            self.lasting = *pick(c, &Lasting::ALL);
        }
    }

    /// What is left when faults stop: the configuration, and a network that delays.
    pub(crate) fn healed(&self) -> Self {
        Self {
            big_commit: 0,
            delay: 20_000,
            lose_request: 0,
            lose_reply: 0,
            refuse_connection: 0,
            late: 0,
            duplicate: 0,
            gap: 0,
            overlap: 0,
            empty_page: 0,
            stall: 0,
            cut_stream: 0,
            forbidden: 0,
            stuck: 0,
            sticky: 0,
            moody: 0,
            auth: 0,
            offline: 0,
            offline_for_good: 0,
            disk_fails: 0,
            disk_full: 0,
            disk_unknown: 0,
            snapshot_fails: 0,
            session_fails: 0,
            slow_commit: 0,
            crash: 0,
            crash_anywhere: 0,
            close: 0,
            churn: 0,
            withdraw: 0,
            reset: 0,
            truncate: 0,
            decide: 0,
            noise: 0,
            suspend: 0,
            guarded: 0,
            deaf: 0,
            gateway: 0,
            restart: 0,
            lag: 0,
            clock_back: 0,
            dies: 0,
            others: 0,
            older_copy: 0,
            ..self.clone()
        }
    }
}

fn config(c: &mut Choices, calm: bool) -> Config {
    let mut config = Config { push_events: c.between(3, 20) as usize, ..Config::default() };
    (config.event_bytes, config.commit_bytes, config.commit_events) = (5_000, 20_000, 100);
    config.txn_events = *pick(c, &[1, 5, 2_000]);
    config.txns_in_flight = c.between(1, 2) as usize;
    config.pulled_events = *pick(c, &[1, 10, 10_000]);
    config.session_backlog = *pick(c, &[1, 3, 1_024]);
    config.refusals_before_bisect = c.between(1, 3) as u32;
    if calm {
        return config;
    }
    config.backend = !c.chance(40);
    if c.chance(150) {
        config.pending_events = c.between(5, 40) as usize;
        config.pending_client_only = c.between(2, 10) as usize;
        config.unpersisted_events = c.between(3, 20) as usize;
    }
    if c.chance(250) {
        config.stuck = StuckPolicy::WithdrawAfter(Duration::from_secs(c.between(1, 60)));
    }
    config.identity = *pick(c, &[IdentityPolicy::Stop, IdentityPolicy::Stop, IdentityPolicy::Reset, IdentityPolicy::Ignore]);
    if c.chance(120) {
        config.offline = OfflinePolicy { deadline: Some(Duration::from_secs(c.between(2, 60))), withdraw: false };
    }
    config.offline.withdraw = c.chance(300);
    config
}

fn pick<'a, T>(c: &mut Choices, from: &'a [T]) -> &'a T {
    &from[c.index(from.len())]
}
