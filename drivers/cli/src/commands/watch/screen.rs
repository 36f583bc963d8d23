//! A table that is drawn anew on a terminal, and lines everywhere else.

use std::io::{self, IsTerminal as _};
use std::time::SystemTime;

use countersign::core::Seq;

use super::rows::Row;
use crate::age::Age;
use crate::failure::Result;
use crate::output::{Output, Paint};
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
        for line in lines(rows, more, output.paint) {
            output.line(one_line(line))?;
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

fn lines(rows: &[Row], more: bool, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    if !rows.is_empty() {
        let line = format!("{:<30}  {:>7}  {:<12}  {:>6}  {:>5}  waits for", "commit", "events", "at", "age", "tried");
        lines.push(paint.bold(line).to_string());
    }
    for row in rows.iter().take(SHOWN) {
        let tried = row.attempt.map_or_else(|| "?".to_owned(), |attempt| attempt.to_string());
        let (id, places, age, again) = (row.id.to_string(), places(row), Age(row.at), again(row));
        lines.push(format!("{id:<30}  {:>7}  {places:<12}  {age:>6}  {tried:>5}  {}{again}", row.events, row.reason));
    }
    let hidden = rows.len().saturating_sub(SHOWN);
    if hidden > 0 || more {
        lines.push(paint.dim(format!("and {}{} more", count(hidden as u64), if more { " or" } else { "" })).to_string());
    }
    lines
}

/// Text that a terminal cuts off at its edge: as many lines are taken away again as were drawn, so none may become two.
fn one_line(text: String) -> String {
    const CUT: &str = "\x1b[?7l";
    const WRAP: &str = "\x1b[?7h";
    format!("{CUT}{}{WRAP}", text.replace(['\n', '\r'], " "))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_stays_one() {
        assert_eq!(one_line("what a server says\r\nin two".to_owned()), "\x1b[?7lwhat a server says  in two\x1b[?7h");
        let plain = Paint { on: false };
        assert_eq!(lines(&[], false, plain), [""; 0]);
        assert_eq!(lines(&[], true, plain), ["and 0 or more"]);
    }
}
