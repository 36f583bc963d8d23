//! A table that is drawn anew on a terminal, and lines everywhere else.

use std::io::{self, IsTerminal as _};
use std::time::SystemTime;

use countersign::core::Seq;

use super::rows::Row;
use crate::age::Age;
use crate::failure::Result;
use crate::output::Output;
use crate::progress::{count, counted};
use crate::stage::ReceiptView;

/// Rows of the table: a terminal scrolls what is more.
const SHOWN: usize = 15;

pub(super) struct Screen {
    /// Whether the table is drawn.
    live: bool,
    /// Lines of the table that stand there.
    drawn: usize,
}

impl Screen {
    pub(super) fn new(output: &Output) -> Self {
        Self { live: !output.json && io::stdout().is_terminal(), drawn: 0 }
    }

    /// A receipt is new, or stands differently.
    pub(super) fn changed(&mut self, row: &Row, output: &mut Output) -> Result<()> {
        if output.json {
            return output.object(row);
        }
        if self.live {
            return Ok(());
        }
        let Row { id, events, reason, .. } = row;
        let waiting = output.paint.waiting("pending");
        output.line(format_args!("{id}  {waiting}  {}  {}{}: {reason}", places(row), counted(*events, "event"), tried(row)))
    }

    /// A receipt has settled. Stays above the table.
    pub(super) fn settled(&mut self, view: &ReceiptView, output: &mut Output) -> Result<()> {
        if output.json {
            return output.object(view);
        }
        self.clear(output)?;
        output.line(format_args!("{}  {}", view.id, view.backend_sync.text(output.paint)))
    }

    pub(super) fn table(&mut self, rows: &[Row], more: bool, output: &mut Output) -> Result<()> {
        if !self.live {
            return Ok(());
        }
        self.clear(output)?;
        let paint = output.paint;
        if !rows.is_empty() {
            let line = format!("{:<30}  {:>7}  {:<12}  {:>6}  {:>5}  waits for", "commit", "events", "at", "age", "tried");
            output.line(paint.bold(line))?;
            self.drawn += 1;
        }
        for row in rows.iter().take(SHOWN) {
            let tried = row.attempt.map_or_else(|| "?".to_owned(), |attempt| attempt.to_string());
            let id = row.id.to_string();
            output.line(format_args!(
                "{id:<30}  {:>7}  {:<12}  {:>6}  {tried:>5}  {}{}",
                row.events,
                places(row),
                Age(row.at),
                row.reason,
                again(row)
            ))?;
            self.drawn += 1;
        }
        let hidden = rows.len().saturating_sub(SHOWN);
        if hidden > 0 || more {
            let text = format!("and {}{} more", count(hidden as u64), if more { " or" } else { "" });
            output.line(paint.dim(text))?;
            self.drawn += 1;
        }
        Ok(())
    }

    pub(super) fn end(&mut self, is_empty: bool, output: &mut Output) -> Result<()> {
        if output.json {
            return Ok(());
        }
        if is_empty { output.line("nothing is pending") } else { Ok(()) }
    }

    /// Takes away what was drawn.
    fn clear(&mut self, output: &mut Output) -> Result<()> {
        if self.drawn > 0 {
            output.raw(format_args!("\x1b[{}A\x1b[J", self.drawn))?;
            self.drawn = 0;
        }
        Ok(())
    }
}

fn places(row: &Row) -> String {
    let Row { from, to, .. } = row;
    let Seq { pos: first, .. } = from;
    if from == to { first.to_string() } else { format!("{first}..{}", to.pos) }
}

fn tried(row: &Row) -> String {
    match row.attempt {
        None | Some(0) => String::new(),
        Some(attempt) => format!(", attempt {attempt}"),
    }
}

fn again(row: &Row) -> String {
    match row.next.and_then(|at| at.duration_since(SystemTime::now()).ok()) {
        None => String::new(),
        Some(wait) => format!("; tried again in {:.0} s", wait.as_secs_f64().ceil()),
    }
}
