//! The thread that waits for receipts, in commit order, and says what became of them.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use countersign::SyncStage;

use super::{Patience, Sent};
use crate::args::Wait;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::progress::took;
use crate::stage::{ReceiptView, StageView};

/// What became of all commits.
pub(super) struct Tally {
    pub(super) commits: u64,
    pub(super) pending: u64,
    pub(super) failed: u64,
    pub(super) worst: Exit,
}

/// Says what became of each commit, as soon as its awaited stage is known. If nobody listens any more, it goes on in silence: what is
/// read is still committed.
pub(super) fn say(receiver: &Receiver<Sent>, patience: Patience, detailed: bool, output: &mut Output) -> Result<Tally> {
    let mut tally = Tally { commits: 0, pending: 0, failed: 0, worst: Exit::Reached };
    let mut heard = Ok(());
    while let Some(sent) = next(receiver, output, &mut heard) {
        let (view, times) = settle(&sent, patience, output, &mut heard);
        let exit = view.exit(patience.awaited);
        tally.commits += 1;
        tally.pending += u64::from(exit == Exit::Pending);
        tally.failed += u64::from(exit == Exit::Failed);
        tally.worst = tally.worst.max(exit);
        if heard.is_ok() {
            heard = if output.json {
                output.object(&view)
            } else if detailed || exit != Exit::Reached {
                output.line(format_args!("{}{times}", view.text(output.paint)))
            } else {
                Ok(())
            };
        }
    }
    match heard {
        Ok(()) | Err(Failure::OutputClosed) => Ok(tally),
        Err(failure) => Err(failure),
    }
}

/// The next commit; what was said before is handed on where it has to be waited for.
fn next(receiver: &Receiver<Sent>, output: &mut Output, heard: &mut Result<()>) -> Option<Sent> {
    match receiver.try_recv() {
        Ok(sent) => Some(sent),
        Err(TryRecvError::Disconnected) => None,
        Err(TryRecvError::Empty) => {
            flush(output, heard);
            receiver.recv().ok()
        }
    }
}

/// Waits for the awaited stage. Also says how long it took, for people.
fn settle(sent: &Sent, patience: Patience, output: &mut Output, heard: &mut Result<()>) -> (ReceiptView, String) {
    let receipt = &sent.receipt;
    let deadline = sent.at.checked_add(patience.timeout).unwrap_or_else(|| sent.at + Duration::from_secs(u32::MAX.into()));
    let mut wait = |stage: &SyncStage| {
        if stage.peek().is_none() {
            flush(output, heard);
        }
        StageView::at(stage, deadline)
    };
    let (leader_sync, backend_sync) = match patience.awaited {
        Wait::None => (StageView::peek(&receipt.leader_sync), StageView::peek(&receipt.backend_sync)),
        Wait::Leader => (wait(&receipt.leader_sync), StageView::peek(&receipt.backend_sync)),
        Wait::Backend => (wait(&receipt.leader_sync), wait(&receipt.backend_sync)),
    };
    let view = ReceiptView { id: receipt.id(), leader_sync, backend_sync };
    let reached = patience.awaited != Wait::None && view.exit(patience.awaited) == Exit::Reached;
    let times = if reached { format!("\n  after    {}", took(Instant::now() - sent.at)) } else { String::new() };
    (view, times)
}

fn flush(output: &mut Output, heard: &mut Result<()>) {
    if heard.is_ok() {
        *heard = output.flush();
    }
}
