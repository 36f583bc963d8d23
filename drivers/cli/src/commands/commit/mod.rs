//! `commit`: commits events, and waits for their receipts.
//!
//! Two threads: one reads and commits, one waits for the receipts in their order and says what became of them. Between them are at
//! most [`IN_FLIGHT`] commits, so that neither a slow disk nor an endless input costs more memory than that.

mod feed;
mod input;
mod results;

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use countersign::{CommitReceipt, Store};

use crate::args::{self, Wait};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::progress::{Progress, count, counted, took};
use crate::work;
use feed::Feed;
use results::Tally;

/// Commits that are under way at once.
const IN_FLIGHT: usize = 4096;

/// What the waiting thread is told of a commit.
struct Sent {
    receipt: CommitReceipt,
    at: Instant,
}

/// What is waited for, and for how long.
#[derive(Clone, Copy)]
struct Patience {
    awaited: Wait,
    timeout: Duration,
}

pub(crate) fn run(args: args::Commit, output: &mut Output) -> Result<Exit> {
    let patience = Patience { awaited: args.wait, timeout: args.timeout };
    let single = match args.event {
        Some(name) => Some(input::single(name, &args.args, args.guard.map(|guard| (guard, &*args.guard_args)))?),
        None => None,
    };
    let store = work::open(&args.store, output)?;
    let began = Instant::now();
    let is_single = single.is_some();
    let (fed, tally) = match single {
        Some(commit) => pipeline(&store, patience, output, true, |feed| feed.single(commit)),
        None => pipeline(&store, patience, output, false, |feed| feed.lines(io::stdin().lock(), &mut Progress::new(feed.json()))),
    };
    let closed = work::close(store, args.timeout, output)?;
    let tally = tally?;
    if !output.json && !is_single && (tally.commits > 0 || fed.is_ok()) {
        summary(&tally, began.elapsed(), patience, output)?;
    }
    fed?;
    Ok(tally.worst.max(closed))
}

/// Commits what is fed, and says what became of it. What was fed before a failure is waited for all the same.
fn pipeline(
    store: &Store,
    patience: Patience,
    output: &mut Output,
    detailed: bool,
    work: impl FnOnce(&mut Feed<'_>) -> Result<()>,
) -> (Result<()>, Result<Tally>) {
    let (sender, receiver) = mpsc::sync_channel::<Sent>(IN_FLIGHT);
    let json = output.json;
    thread::scope(|scope| {
        let results = scope.spawn(move || results::say(&receiver, patience, detailed, output));
        let mut feed = Feed::new(store, sender, patience, json);
        let fed = work(&mut feed);
        drop(feed);
        let tally =
            results.join().unwrap_or_else(|_| Err(Failure::machine("defect", "the thread that waits for receipts has panicked")));
        (fed, tally)
    })
}

fn summary(tally: &Tally, time: Duration, patience: Patience, output: &mut Output) -> Result<()> {
    let paint = output.paint;
    let Tally { commits, pending, failed, .. } = *tally;
    let stage = match patience.awaited {
        Wait::None => "committed",
        Wait::Leader => "stored",
        Wait::Backend => "confirmed",
    };
    let reached = commits - pending - failed;
    output.line(format_args!("{} {stage} in {}", paint.good(counted(reached, "commit")), took(time)))?;
    if pending > 0 {
        output.line(format_args!("{} still pending", paint.waiting(count(pending))))?;
    }
    if failed > 0 {
        output.line(format_args!("{} failed", paint.bad(count(failed))))?;
    }
    Ok(())
}
