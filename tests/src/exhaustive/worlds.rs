//! The small worlds: what users do, in which order each, and what may go wrong beside it.

use countersign_core::{Config, IdentityPolicy};

use crate::world::Choices;
use crate::world::swarm::Swarm;

/// Something that a user or an operating system does. The first number is the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Do {
    /// A session, by the order of its opening, commits an event on this key. An upper-case name is synced.
    Commit(usize, usize, &'static str, u64),
    /// A commit of two synced events, more than a push holds in these worlds if they say so.
    CommitTwo(usize, usize, u64),
    /// A session inserts this key by a commit under the guard that nobody has yet.
    Claim(usize, usize, u64),
    /// The newest commit whose backend stage is open is withdrawn.
    Withdraw(usize),
    /// The process is killed, and starts again.
    Kill(usize),
    /// Another session is opened.
    Open(usize),
    /// A session is closed.
    Close(usize, usize),
    /// The backend becomes another one.
    Reset,
    /// The backend becomes a restored backup without its last event.
    Truncate,
    /// A client that is not in this world has an event accepted, on this key.
    Others(&'static str, u64),
    /// Somebody decides to start over with the other backend.
    StartOver(usize),
    /// There is no network any more, and the machine is told so.
    Offline(usize),
    /// There is one again.
    Online(usize),
}

/// A small world.
#[derive(Clone, Copy, Debug)]
pub struct Small {
    /// What it is about.
    pub about: &'static str,
    pub(crate) clients: u64,
    pub(crate) sessions: u64,
    /// What is done: within each list in this order, between lists in any.
    pub(crate) programs: &'static [&'static [Do]],
    /// Whether sessions answer in any order with the rest; else at once.
    pub(crate) slow_sessions: bool,
    /// What may go wrong, and how the machines are set up.
    pub(crate) options: fn(&mut Swarm),
}

/// The small worlds.
pub const WORLDS: &[Small] = &[
    Small {
        about: "two clients commit, a reply is lost, a process is killed",
        clients: 2,
        sessions: 1,
        programs: &[&[Do::Commit(0, 0, "v1.Append", 1)], &[Do::Commit(1, 0, "v1.Append", 1)], &[Do::Kill(0)]],
        slow_sessions: false,
        options: |swarm| swarm.lose_reply = 1,
    },
    Small {
        about: "two clients insert the same key, one of them twice",
        clients: 2,
        sessions: 1,
        programs: &[&[Do::Commit(0, 0, "v1.Insert", 1), Do::Commit(0, 0, "v1.Append", 1)], &[Do::Commit(1, 0, "v1.Insert", 1)]],
        slow_sessions: false,
        options: |_| {},
    },
    Small {
        about: "two sessions of one client commit, one of them slowly, and one is closed",
        clients: 1,
        sessions: 2,
        programs: &[
            &[Do::Commit(0, 0, "v1.Append", 1), Do::Close(0, 0)],
            &[Do::Commit(0, 1, "v1.Append", 1)],
            &[Do::Others("v1.Append", 1)],
        ],
        slow_sessions: true,
        options: |swarm| swarm.slow_commit = 1,
    },
    Small {
        about: "a commit is withdrawn while others follow, and a request or its reply is lost",
        clients: 1,
        sessions: 1,
        programs: &[
            &[Do::Commit(0, 0, "v1.Append", 1), Do::Commit(0, 0, "v1.Append", 1)],
            &[Do::Withdraw(0)],
            &[Do::Others("v1.Append", 2)],
        ],
        slow_sessions: false,
        options: |swarm| (swarm.lose_reply, swarm.lose_request) = (1, 1),
    },
    Small {
        about: "client-only events between synced ones, one of them poisoned, and a process is killed",
        clients: 1,
        sessions: 1,
        programs: &[
            &[
                Do::Commit(0, 0, "v1.Append", 1),
                Do::Commit(0, 0, "ui.Set", 1),
                Do::Commit(0, 0, "v1.Insert", 2),
                Do::Commit(0, 0, "ui.Set", 2),
            ],
            &[Do::Others("v1.Insert", 2)],
            &[Do::Kill(0)],
        ],
        slow_sessions: false,
        options: |swarm| swarm.crash = 1,
    },
    Small {
        about: "the backend becomes another one",
        clients: 1,
        sessions: 1,
        programs: &[
            &[Do::Commit(0, 0, "v1.Append", 1), Do::Commit(0, 0, "v1.Append", 2)],
            &[Do::Others("v1.Append", 1), Do::Reset, Do::Others("v1.Append", 1)],
        ],
        slow_sessions: false,
        options: |swarm| {
            swarm.lose_reply = 1;
            swarm.config.identity = IdentityPolicy::Reset;
        },
    },
    Small {
        about: "the backend loses its last event",
        clients: 1,
        sessions: 1,
        programs: &[
            &[Do::Commit(0, 0, "v1.Append", 1), Do::Commit(0, 0, "v1.Append", 2)],
            &[Do::Truncate, Do::StartOver(0)],
            &[Do::Kill(0)],
        ],
        slow_sessions: false,
        options: |_| {},
    },
    Small {
        about: "the disk fails or does not say what became of a transaction",
        clients: 1,
        sessions: 1,
        programs: &[
            &[Do::Commit(0, 0, "v1.Append", 1), Do::Commit(0, 0, "v1.Insert", 1)],
            &[Do::Open(0)],
            &[Do::Others("v1.Append", 1)],
        ],
        slow_sessions: true,
        options: |swarm| {
            (swarm.disk_fails, swarm.disk_unknown) = (1, 1);
            swarm.config.txns_in_flight = 2;
        },
    },
    Small {
        about: "a commit is split over two pushes, with another's event between them, and withdrawn",
        clients: 1,
        sessions: 1,
        programs: &[
            &[Do::CommitTwo(0, 0, 1), Do::Commit(0, 0, "v1.Append", 1)],
            &[Do::Others("v1.Append", 1), Do::Others("v1.Append", 1)],
            &[Do::Withdraw(0)],
        ],
        slow_sessions: false,
        options: |swarm| {
            swarm.lose_reply = 1;
            swarm.config.push_events = 1;
        },
    },
    Small {
        about: "without a backend",
        clients: 1,
        sessions: 2,
        programs: &[
            &[Do::Commit(0, 0, "v1.Insert", 1), Do::Commit(0, 0, "ui.Set", 1)],
            &[Do::Commit(0, 1, "v1.Insert", 1), Do::Close(0, 1)],
            &[Do::Kill(0)],
        ],
        slow_sessions: true,
        options: |swarm| {
            swarm.config.backend = false;
            swarm.disk_unknown = 1;
        },
    },
    Small {
        about: "two clients commit, one of them twice, and replies are lost",
        clients: 2,
        sessions: 1,
        programs: &[&[Do::Commit(0, 0, "v1.Append", 1), Do::Commit(0, 0, "v1.Append", 1)], &[Do::Commit(1, 0, "v1.Append", 1)]],
        slow_sessions: false,
        options: |swarm| swarm.lose_reply = 1,
    },
    Small {
        about: "without identities on the wire: of two equal commits one is withdrawn, a reply is lost, a process is killed",
        clients: 1,
        sessions: 1,
        programs: &[
            &[Do::Commit(0, 0, "v1.Append", 1), Do::Commit(0, 0, "v1.Append", 1)],
            &[Do::Withdraw(0)],
            &[Do::Others("v1.Append", 1)],
            &[Do::Kill(0)],
        ],
        slow_sessions: false,
        options: |swarm| (swarm.lose_reply, swarm.keeps_ids) = (1, false),
    },
    Small {
        about: "a key is claimed under a guard by one client and by others, a process is killed, and something follows",
        clients: 1,
        sessions: 1,
        programs: &[
            &[Do::Claim(0, 0, 1), Do::Commit(0, 0, "v1.Append", 1)],
            &[Do::Others("v1.Insert", 1), Do::Others("v1.Delete", 1)],
            &[Do::Kill(0)],
        ],
        slow_sessions: false,
        options: |swarm| swarm.lose_reply = 1,
    },
    Small {
        about: "an insert is accepted between an insert and a delete of others, a process is killed, and pages are short",
        clients: 1,
        sessions: 1,
        programs: &[
            &[Do::Commit(0, 0, "v1.Insert", 1)],
            &[Do::Others("v1.Insert", 1), Do::Others("v1.Delete", 1), Do::Others("v1.Append", 1)],
            &[Do::Kill(0)],
        ],
        slow_sessions: false,
        options: |swarm| {
            (swarm.page, swarm.page_min, swarm.keeps_ids) = (1, 1, false);
            swarm.config.pulled_events = 1;
        },
    },
    Small {
        about: "the network goes and comes, under small limits, and a reply is lost",
        clients: 1,
        sessions: 1,
        programs: &[
            &[Do::Commit(0, 0, "v1.Append", 1), Do::Commit(0, 0, "v1.Append", 1), Do::Commit(0, 0, "v1.Append", 2)],
            &[Do::Offline(0), Do::Online(0)],
            &[Do::Others("v1.Append", 1)],
        ],
        slow_sessions: false,
        options: |swarm| {
            swarm.lose_reply = 1;
            (swarm.config.pending_events, swarm.config.unpersisted_events) = (2, 2);
        },
    },
];

impl Small {
    /// What is on in it: nothing but what it says.
    pub(crate) fn swarm(&self) -> Swarm {
        let mut swarm = Swarm::draw(&mut Choices::given(Vec::new()));
        (swarm.clients, swarm.sessions) = (self.clients, self.sessions);
        swarm.keeps_ids = true;
        (swarm.page, swarm.page_min) = (10, 10);
        swarm.config = Config { push_events: 3, ..Config::default() };
        (self.options)(&mut swarm);
        swarm
    }
}
