//! `failures`: what has failed, and what becomes of it.

use std::time::{Duration, Instant};

use countersign::{CommitId, Event, Guard, QuarantineRow, Reader, Risk, Store};
use serde::Serialize;

use crate::age::{Age, milliseconds};
use crate::args::{self, Action};
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::Output;
use crate::stage::{FailureView, ReceiptView, StageView};
use crate::work;

/// How long the new commit of a retry is waited for.
const STORING: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct View {
    id: CommitId,
    /// When it failed, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
    #[serde(flatten)]
    failure: FailureView,
    acknowledged: bool,
    /// What had to hold for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    guard: Option<Guard>,
    payload: Vec<Event>,
}

#[derive(Serialize)]
struct Done {
    id: CommitId,
    done: &'static str,
    /// The new commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<ReceiptView>,
}

pub(crate) fn run(args: &args::Failures, output: &mut Output) -> Result<Exit> {
    let action = args.action.unwrap_or(Action::List);
    let Some(id) = id(action) else { return list(args, output) };
    let store = work::open(&args.store, output)?;
    let done = act(&store, action);
    let exit = match &done {
        Ok(Done { receipt: Some(receipt), .. }) => receipt.exit(args::Wait::Leader),
        _ => Exit::Reached,
    };
    let closed = work::close(store, Duration::ZERO, output)?;
    let done = Done { id, ..done? };
    if output.json {
        output.object(&done)?;
    } else {
        output.line(format_args!("{} {}", output.paint.bold(id), done.done))?;
        if let Some(receipt) = &done.receipt {
            output.line(receipt.text(output.paint))?;
        }
    }
    Ok(exit.max(closed))
}

fn id(action: Action) -> Option<CommitId> {
    match action {
        Action::List => None,
        Action::Retry { id, .. } | Action::Discard { id } | Action::Acknowledge { id } => Some(id),
    }
}

fn act(store: &Store, action: Action) -> Result<Done> {
    let done = |id, done| Done { id, done, receipt: None };
    Ok(match action {
        Action::Retry { id, may_duplicate, unguarded } => {
            let risk = if may_duplicate { Risk::MayDuplicate } else { Risk::NoDuplicate };
            let receipt = if unguarded { store.retry_unguarded(id, risk)? } else { store.retry(id, risk)? };
            let leader_sync = StageView::at(&receipt.leader_sync, Instant::now() + STORING);
            let view = ReceiptView { id: receipt.id(), leader_sync, backend_sync: StageView::peek(&receipt.backend_sync) };
            Done { receipt: Some(view), ..done(id, "committed again") }
        }
        Action::Discard { id } => {
            store.discard(id)?;
            done(id, "discarded")
        }
        Action::Acknowledge { id } => {
            store.acknowledge(id)?;
            done(id, "acknowledged")
        }
        // Has been dealt with without opening the store.
        Action::List => return Err(crate::failure::Failure::machine("storage", "a list needs no open store")),
    })
}

/// What is in quarantine, and what has failed without anybody having been told.
fn list(args: &args::Failures, output: &mut Output) -> Result<Exit> {
    let mut rows = Reader::open(&args.store)?.quarantine()?;
    let is_over = |row: &QuarantineRow| row.is_dealt_with() || (row.acknowledged && row.quarantined.events.is_empty());
    rows.retain(|row| !is_over(row));
    if output.json {
        for row in rows {
            output.object(&View::from(row))?;
        }
        return Ok(Exit::Reached);
    }
    if rows.is_empty() {
        output.line("nothing has failed")?;
    }
    let paint = output.paint;
    for row in rows {
        let age = Age(row.at);
        let seen = if row.acknowledged { "" } else { ", not acknowledged" };
        let view = View::from(row);
        output.line(format_args!("{}  {}", paint.bold(view.id), paint.dim(format_args!("failed {age} ago{seen}"))))?;
        output.line(format_args!("  {}", view.failure.text(paint)))?;
        if let Some(guard) = &view.guard {
            output.line(format_args!("  {} {}  {}", paint.dim("guard"), guard.name, guard.args))?;
        }
        for event in &view.payload {
            output.line(format_args!("  {}  {}", event.name, event.args))?;
        }
    }
    Ok(Exit::Reached)
}

impl From<QuarantineRow> for View {
    fn from(row: QuarantineRow) -> Self {
        let guard = row.quarantined.guard().map(|guard| (**guard).clone());
        let payload = row.quarantined.events.into_iter().map(|own| (*own.event).clone()).collect();
        Self {
            id: row.quarantined.commit,
            at: row.at.and_then(milliseconds),
            failure: row.quarantined.error.into(),
            acknowledged: row.acknowledged,
            guard,
            payload,
        }
    }
}
