//! Receipts: what a commit hands back, and how to wait for its two stages.
//!
//! The machine settles stages by watermark; here live the only futures, wakers and channels of the project. A stage settles at
//! most once, every waiter sees the same outcome (R1), and waiting changes nothing: a wait can be dropped at any time.

mod cell;
mod goal;
mod status;
mod table;
mod token;
mod updates;
mod wait;

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_core::{CommitId, Pos, Stage, SyncError};
use smallvec::SmallVec;

pub(crate) use cell::{Cell, Waiters};
pub use goal::{Endless, Milestone, MilestoneWait};
pub(crate) use goal::{Goals, Look, Watching};
pub use status::ReceiptStatus;
pub(crate) use table::Table;
pub(crate) use token::LogName;
pub use token::{ParseTokenError, PositionToken};
pub use updates::Updates;
pub use wait::Wait;
pub(crate) use wait::block_on;

/// How a stage settles.
pub type Outcome = Result<Settled, SyncError>;

/// A stage that has been reached, or that does not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// The leader has materialised the commit and persisted it.
    Persisted,
    /// The backend has accepted the commit.
    Confirmed(Confirmation),
    /// Nothing of the commit leaves this client, or there is no backend.
    NotApplicable,
}

impl Settled {
    /// The final place of the commit's last synced event; `None` if the backend has no part in it.
    #[must_use]
    pub fn position(&self) -> Option<Pos> {
        match self {
            Self::Confirmed(confirmation) => confirmation.positions.last().copied().map(Pos::synced),
            Self::Persisted | Self::NotApplicable => None,
        }
    }

    /// That place as a token, for `Store::reached` on another client; `None` if the backend has no part in it.
    #[must_use]
    pub fn token(&self) -> Option<PositionToken> {
        match self {
            Self::Confirmed(confirmation) => confirmation.token(),
            Self::Persisted | Self::NotApplicable => None,
        }
    }
}

/// Where a confirmed commit stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Confirmation {
    /// The final global number of each of its synced events, in order.
    pub positions: SmallVec<[u64; 1]>,
    /// How often it was renumbered by a rebase on the way.
    pub rebases: u32,
    /// In which log.
    pub(crate) log: Option<Arc<LogName>>,
}

impl Confirmation {
    /// The last of its positions as a token, for `Store::reached` on another client of the same log.
    #[must_use]
    pub fn token(&self) -> Option<PositionToken> {
        Some(PositionToken::new(Arc::clone(self.log.as_ref()?), *self.positions.last()?))
    }
}

/// What a commit hands back. May be ignored: the commit goes on without it.
///
/// Cheap to clone, and to keep: a receipt never keeps the store alive.
#[derive(Clone, Debug)]
pub struct CommitReceipt {
    /// Settles when the leader has materialised the whole commit and its transaction has committed, to the store's durability.
    pub leader_sync: SyncStage,
    /// Settles when the sync backend has accepted the commit's last synced event into the global order.
    pub backend_sync: SyncStage,
}

impl CommitReceipt {
    pub(crate) fn new(cell: Arc<Cell>) -> Self {
        let leader_sync = SyncStage { cell: Arc::clone(&cell), stage: Stage::Leader };
        Self { leader_sync, backend_sync: SyncStage { cell, stage: Stage::Backend } }
    }

    /// The commit's identity: store it anywhere, and find the receipt again with `Store::receipt`, after a restart too.
    #[must_use]
    pub fn id(&self) -> CommitId {
        self.leader_sync.id()
    }

    /// How the receipt stands: what it waits for, since when without success, what comes before it. Looks at what is queued before it.
    #[must_use]
    pub fn status(&self) -> ReceiptStatus {
        ReceiptStatus::of(&self.leader_sync.cell)
    }

    /// Tells whenever the status has changed, beginning with how it stands now. What changes faster than it is looked at is told
    /// together: only the newest is kept. Ends when both stages have settled or the store is closed, with how they ended.
    #[must_use = "nothing is told unless it is polled"]
    pub fn updates(&self) -> Updates {
        Updates::new(Arc::clone(&self.leader_sync.cell))
    }
}

/// One stage of a receipt.
///
/// Await it (`(&stage).await`, or `stage.await`), on any executor; or wait for it, on any thread. Dropping a wait, or letting
/// it time out, never touches the commit.
#[derive(Clone)]
pub struct SyncStage {
    cell: Arc<Cell>,
    stage: Stage,
}

impl SyncStage {
    /// The commit's identity.
    #[must_use]
    pub fn id(&self) -> CommitId {
        self.cell.id()
    }

    /// Which of the two stages it is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// How the stage has settled; `None` if it has not.
    #[must_use]
    pub fn peek(&self) -> Option<Outcome> {
        self.cell.observe(self.stage)
    }

    /// Blocks until the stage has settled, or the store is closed.
    ///
    /// # Errors
    ///
    /// How the stage has failed; [`SyncError::Closed`] if the store was closed first. Inside a query or a materialiser, where the wait
    /// could never end, [`SyncError::Unknown`] says so.
    pub fn wait(&self) -> Outcome {
        wait::block_on(self.listen(), None).unwrap_or_else(|| Err(wait::endless()))
    }

    /// Blocks until the stage has settled, or this long at most.
    #[must_use = "it may have settled, or failed, or neither"]
    pub fn wait_timeout(&self, timeout: Duration) -> Waited {
        match wait::block_on(self.listen(), Instant::now().checked_add(timeout)) {
            Some(outcome) => Waited::Settled(outcome),
            None => Waited::Pending(self.cell.waiting_for(self.stage)),
        }
    }

    fn listen(&self) -> Wait {
        Wait::new(Arc::clone(&self.cell), self.stage)
    }
}

impl IntoFuture for SyncStage {
    type Output = Outcome;
    type IntoFuture = Wait;

    /// A future that ends when the stage has settled. It is `'static` and `Send`, and can be dropped at any time.
    fn into_future(self) -> Wait {
        Wait::new(self.cell, self.stage)
    }
}

impl IntoFuture for &SyncStage {
    type Output = Outcome;
    type IntoFuture = Wait;

    /// As by value.
    fn into_future(self) -> Wait {
        self.listen()
    }
}

impl fmt::Debug for SyncStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncStage")
            .field("id", &self.id())
            .field("stage", &self.stage)
            .field("outcome", &self.cell.peek(self.stage))
            .finish()
    }
}

/// What became of a wait with a deadline.
#[derive(Clone, Debug)]
pub enum Waited {
    /// The stage has settled.
    Settled(Outcome),
    /// The time is over; the commit goes on, and this is what it waits for.
    Pending(WaitingFor),
}

impl Waited {
    /// The outcome, if there is one.
    #[must_use]
    pub fn settled(self) -> Option<Outcome> {
        match self {
            Self::Settled(outcome) => Some(outcome),
            Self::Pending(_) => None,
        }
    }
}

/// What a commit waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitingFor {
    /// The stage that is open.
    pub stage: Stage,
    /// Where the store stands; nothing if it is gone.
    pub status: Option<Box<countersign_core::Status>>,
}

impl WaitingFor {
    /// What this stage of any commit waits for, where the store stands so.
    #[must_use]
    pub fn new(stage: Stage, status: countersign_core::Status) -> Self {
        Self { stage, status: Some(Box::new(status)) }
    }
}

impl fmt::Display for WaitingFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(status) = &self.status else { return f.write_str("the store is gone") };
        match (self.stage, &status.storage) {
            (Stage::Leader, Some(failure)) => write!(f, "storage is in trouble: {}", failure.message),
            (Stage::Leader, None) => f.write_str("waiting for the disk"),
            (Stage::Backend, _) => crate::store::describe(status, f),
        }
    }
}
