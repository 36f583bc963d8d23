//! `watch`: the receipts that have not settled, as they come and go.

mod rows;
mod screen;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use countersign::{CommitId, Reader, Store};

use crate::args::{self, Wait};
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::Output;
use crate::work;
use rows::Row;
use screen::Screen;

/// How often to look: a file tells nobody that it has changed.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &args::Watch, output: &mut Output) -> Result<Exit> {
    let store = if args.sync { Some(work::open(&args.store, output)?) } else { None };
    let watched = watch(args, store.as_ref(), output);
    let closed = match store {
        Some(store) => work::close(store, Duration::ZERO, output)?,
        None => Exit::Reached,
    };
    Ok(watched?.max(closed))
}

fn watch(args: &args::Watch, store: Option<&Store>, output: &mut Output) -> Result<Exit> {
    let mut reader = Reader::open(&args.store)?;
    let deadline = args.for_time.map(|time| Instant::now() + time);
    let mut screen = Screen::new(output);
    // In the order in which they wait.
    let mut before: Vec<Row> = Vec::new();
    let mut worst = Exit::Reached;
    loop {
        let (rows, more) = rows::look(&mut reader, store, &args.store)?;
        let now: BTreeSet<CommitId> = rows.iter().map(|row| row.id).collect();
        let seen: BTreeMap<CommitId, &Row> = before.iter().map(|row| (row.id, row)).collect();
        for row in rows.iter().filter(|row| seen.get(&row.id) != Some(row)) {
            screen.changed(row, output)?;
        }
        // What has not settled has only moved out of sight, beyond those that are looked at.
        for gone in before.iter().filter(|row| !now.contains(&row.id)) {
            if let Some(view) = rows::settled(&mut reader, store, gone.id)? {
                worst = worst.max(view.exit(Wait::Backend));
                screen.settled(&view, output)?;
            }
        }
        screen.table(&rows, more, output)?;
        output.flush()?;
        let is_empty = rows.is_empty();
        before = rows;
        let is_over = deadline.is_some_and(|deadline| deadline <= Instant::now());
        if is_over || (is_empty && deadline.is_none()) {
            screen.end(is_empty, output)?;
            return Ok(if is_empty { worst } else { worst.max(Exit::Pending) });
        }
        let left = deadline.map_or(LOOK, |deadline| deadline.saturating_duration_since(Instant::now()));
        thread::sleep(left.min(LOOK));
    }
}
