//! `withdraw`: takes a pending commit back, into quarantine.

use std::time::{Duration, Instant};

use countersign::{Outcome, Store, SyncError};

use crate::args;
use crate::exit::Exit;
use crate::failure::{Failure, Result, Said};
use crate::output::Output;
use crate::stage::{ReceiptView, StageView};
use crate::work;

pub(crate) fn run(args: &args::Withdraw, output: &mut Output) -> Result<Exit> {
    // Offline: nothing is pushed while it is being taken back.
    let store = work::open_offline(&args.store, output)?;
    let withdrawn = withdraw(&store, args);
    let closed = work::close(store, Duration::ZERO, output)?;
    let (view, outcome) = withdrawn?;
    let exit = match &outcome {
        Some(Err(SyncError::Withdrawn { .. })) => Exit::Reached,
        None => Exit::Pending,
        Some(_) => Exit::Failed,
    };
    if output.json {
        output.object(&view)?;
    } else {
        output.line(view.text(output.paint))?;
    }
    Ok(exit.max(closed))
}

fn withdraw(store: &Store, args: &args::Withdraw) -> Result<(ReceiptView, Option<Outcome>)> {
    let id = args.id;
    let said = |code, message: String| Failure::from(Said { commit: Some(id), ..Said::new(Exit::Input, code, message) });
    let path = args.store.display();
    let Some(receipt) = store.receipt(id)? else {
        return Err(said(
            "unknown_commit",
            format!("this store knows no commit {id}: `countersign watch {path}` lists those that wait"),
        ));
    };
    if let Some(outcome) = receipt.backend_sync.peek() {
        let how = if outcome.is_ok() { "is settled" } else { "has failed" };
        let message =
            format!("commit {id} {how} already, so there is nothing to take back: see `countersign receipt {path} {id}`");
        return Err(said("settled", message));
    }
    store.withdraw(id);
    let deadline = Instant::now().checked_add(args.timeout).unwrap_or_else(Instant::now);
    let backend_sync = StageView::at(&receipt.backend_sync, deadline);
    let view = ReceiptView { id, leader_sync: StageView::peek(&receipt.leader_sync), backend_sync };
    Ok((view, receipt.backend_sync.peek()))
}
