//! `log`: the eventlog, beside whoever writes it.

use std::ops::ControlFlow;

use countersign::core::{Origin, Pos, Seq};
use countersign::{CommitId, Guard, LogRow, LogState, Reader};
use serde::Serialize;
use serde_json::value::RawValue;
use unicode_width::UnicodeWidthStr as _;

use crate::args;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{Output, Paint};
use crate::progress::counted;

#[derive(Serialize)]
struct Line<'a> {
    seq: Seq,
    name: &'a str,
    args: &'a RawValue,
    /// The commit; nothing if another client has made it and the backend has not kept its identity.
    commit: Option<String>,
    state: LogState,
    client: &'a str,
    /// How often it was renumbered by a rebase; nothing for events of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    rebases: Option<u32>,
    /// What has to hold for the commit that it begins, while that may still move.
    #[serde(skip_serializing_if = "Option::is_none")]
    guard: Option<&'a Guard>,
    /// Why it has no effect on the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<&'a str>,
}

pub(crate) fn run(args: &args::Log, output: &mut Output) -> Result<Exit> {
    let mut reader = Reader::open(&args.store)?;
    let own = reader.client().clone();
    let mut written = Ok(());
    let (mut shown, mut widest) = (0, 0);
    reader.each(args.since.unwrap_or(Pos::ROOT), |row| {
        if args.pending && row.state != LogState::Pending {
            return ControlFlow::Continue(());
        }
        shown += 1;
        written = write(&row, &own, &mut widest, output);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written?;
    if !output.json {
        output.line(output.paint.dim(counted(shown, "event")))?;
    }
    Ok(Exit::Reached)
}

fn write(row: &LogRow, own: &str, widest: &mut usize, output: &mut Output) -> Result<()> {
    let entry = &row.entry;
    let (client, commit, rebases) = match &entry.origin {
        Origin::Own { id, commit, rebases, .. } => {
            (own, Some(CommitId { session: id.session, ordinal: *commit }.to_string()), Some(*rebases))
        }
        Origin::Foreign { client, session, ids } => (&**client, ids.map(|ids| format!("{session}-{}", ids.commit)), None),
    };
    if !output.json {
        // The columns are as wide as what was written so far.
        *widest = entry.event.name.width().max(*widest);
        return output.line(text(row, client, client == own, *widest, output.paint));
    }
    let args: &RawValue = serde_json::from_str(&entry.event.args)
        .map_err(|error| Failure::machine("corrupt", format!("{}: its arguments are no JSON ({error})", entry.seq)))?;
    let skipped = row.skip.as_deref();
    let guard = entry.own_guard().map(|guard| &**guard);
    let name = &entry.event.name;
    output.object(&Line { seq: entry.seq, name, args, commit, state: row.state, client, rebases, guard, skipped })
}

fn text(row: &LogRow, client: &str, is_own: bool, widest: usize, paint: Paint) -> String {
    let entry = &row.entry;
    let state = match row.state {
        LogState::Confirmed => paint.good("confirmed"),
        LogState::Pending => paint.waiting("pending"),
        LogState::Local => paint.dim("local"),
    };
    let seq = entry.seq.to_string();
    let author = if is_own { String::new() } else { format!("  by {client}") };
    let guard = entry.own_guard().map_or_else(String::new, |guard| format!("  if {} {}", guard.name, printable(&guard.args)));
    let skip = row.skip.as_ref().map_or_else(String::new, |skip| format!("  without effect: {skip}"));
    let (name, args) = (paint.bold(&entry.event.name), printable(&entry.event.args));
    format!("{seq:<6}  {state:<9}  {name:<widest$}  {args}{}{}{}", paint.dim(guard), paint.dim(author), paint.bad(skip))
}

/// Canonical JSON escapes control characters but not all that move text about on a terminal.
fn printable(args: &str) -> String {
    args.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}
