//! `sync`: pushes and pulls until everything is confirmed, or for a while.

use std::time::{Duration, Instant};

use countersign::core::{Pos, Seq, Status};
use countersign::{Reader, Stage, SyncState, WaitingFor};
use serde::Serialize;

use crate::args;
use crate::exit::Exit;
use crate::failure::{Failure, Result, Said};
use crate::output::Output;
use crate::progress::{Progress, count, counted, took};
use crate::work;

#[derive(Serialize)]
struct View {
    /// `synced`, `local` (no backend), `pending`, or what stands in the way: `failed`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    head: Seq,
    upstream: Pos,
    pending: usize,
    /// Events that were confirmed meanwhile, own ones and those of others.
    confirmed: u64,
}

pub(crate) fn run(args: &args::Sync, output: &mut Output) -> Result<Exit> {
    // Opened, it is synced at once.
    let before = Reader::open(&args.store).ok().and_then(|mut reader| reader.status().ok()).map(|status| status.heads.upstream);
    let store = work::open(&args.store, output)?;
    let began = Instant::now();
    let before = before.unwrap_or_else(|| store.status().upstream_head.global);
    let mut progress = Progress::new(output.json);
    let patience = args.for_time.unwrap_or(args.timeout);
    let seen = store.wait_until(patience, |status| {
        progress.show(|| {
            let (pending, confirmed) = (status.pending_events as u64, status.upstream_head.global.saturating_sub(before));
            format!("{} pending, {} confirmed, up to {}", count(pending), count(confirmed), status.upstream_head)
        });
        is_over(status) || (args.for_time.is_none() && is_synced(status))
    });
    drop(progress);
    let (Ok(status) | Err(status)) = seen;
    let reason = WaitingFor::new(Stage::Backend, status.clone()).to_string();
    let closed = work::close(store, Duration::ZERO, output)?;

    let view = View {
        state: state(&status),
        reason: (!is_synced(&status)).then_some(reason),
        head: status.local_head,
        upstream: status.upstream_head,
        pending: status.pending_events,
        confirmed: status.upstream_head.global.saturating_sub(before),
    };
    if let SyncState::StorageBroken { .. } = status.sync {
        return Err(Failure::machine("corrupt", view.reason.unwrap_or_default()));
    }
    let exit = match view.state {
        "failed" => Exit::Failed,
        "pending" => Exit::Pending,
        _ => Exit::Reached,
    };
    say(&view, began.elapsed(), output)?;
    if exit == Exit::Failed {
        let _ = output.flush();
        output.complain(&Said::new(exit, "backend", view.reason.clone().unwrap_or_default()));
    }
    Ok(exit.max(closed))
}

/// Everything is confirmed, and everything that the backend had is here and stored.
fn is_synced(status: &Status) -> bool {
    match status.sync {
        SyncState::NoBackend => true,
        SyncState::Synced => status.pending_events == 0 && status.drained && status.stored,
        _ => false,
    }
}

/// Something stands in the way that does not go by itself.
fn is_over(status: &Status) -> bool {
    matches!(status.sync, SyncState::BackendIdMismatch { .. } | SyncState::StorageBroken { .. })
}

fn state(status: &Status) -> &'static str {
    match status.sync {
        SyncState::NoBackend => "local",
        _ if is_synced(status) => "synced",
        _ if is_over(status) => "failed",
        _ => "pending",
    }
}

fn say(view: &View, time: Duration, output: &mut Output) -> Result<()> {
    if output.json {
        return output.object(view);
    }
    let paint = output.paint;
    let View { head, upstream, pending, confirmed, .. } = view;
    match (view.state, &view.reason) {
        ("local", _) => output.line("the store has no backend: nothing to sync"),
        ("synced", _) => output.line(format_args!(
            "{} at {upstream} after {}: {} confirmed",
            paint.good("synced"),
            took(time),
            counted(*confirmed, "event")
        )),
        (state, reason) => {
            let reason = reason.as_deref().unwrap_or_default();
            let state = if state == "failed" { paint.bad(state) } else { paint.waiting(state) };
            let pending = counted(*pending as u64, "event");
            output.line(format_args!("{state}: {pending} pending up to {head}, confirmed up to {upstream}; {reason}"))
        }
    }
}
