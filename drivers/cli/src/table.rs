//! Rows, aligned for people.

use serde_json::Value;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::failure::Result;
use crate::output::Output;

/// Rows that are looked at for the columns' widths. Those that follow are written as they come: memory is bounded.
const LOOKED_AT: usize = 1000;
/// What a column is wide at most, in cells of a terminal. The last one may be wider.
const WIDEST: usize = 60;

/// A table that is written while its rows come.
pub(crate) struct Table {
    columns: Vec<String>,
    waiting: Vec<Vec<Value>>,
    widths: Option<Vec<usize>>,
    pub(crate) rows: u64,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { columns: Vec::new(), waiting: Vec::new(), widths: None, rows: 0 }
    }

    pub(crate) fn row(&mut self, columns: &[String], row: Vec<Value>, output: &mut Output) -> Result<()> {
        self.rows += 1;
        if self.columns.is_empty() {
            self.columns = columns.to_vec();
        }
        if let Some(widths) = &self.widths {
            return write_row(widths, &row, output);
        }
        self.waiting.push(row);
        if self.waiting.len() >= LOOKED_AT { self.settle(output) } else { Ok(()) }
    }

    /// Writes what still waits, and the columns' names in any case.
    pub(crate) fn end(mut self, columns: Vec<String>, output: &mut Output) -> Result<()> {
        if self.widths.is_none() {
            self.columns = columns;
            self.settle(output)?;
        }
        Ok(())
    }

    fn settle(&mut self, output: &mut Output) -> Result<()> {
        let mut widths: Vec<usize> = self.columns.iter().map(|name| name.width()).collect();
        for row in &self.waiting {
            for (width, value) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell(value).width()).min(WIDEST);
            }
        }
        let paint = output.paint;
        let names: Vec<Value> = self.columns.iter().map(|name| Value::from(name.as_str())).collect();
        output.line(paint.bold(line(&widths, &names)))?;
        output.line(paint.dim(widths.iter().map(|width| "─".repeat(*width)).collect::<Vec<_>>().join("  ")))?;
        for row in self.waiting.drain(..) {
            write_row(&widths, &row, output)?;
        }
        self.widths = Some(widths);
        Ok(())
    }
}

fn write_row(widths: &[usize], row: &[Value], output: &mut Output) -> Result<()> {
    output.line(line(widths, row))
}

fn line(widths: &[usize], row: &[Value]) -> String {
    let mut text = String::new();
    let last = row.len().saturating_sub(1);
    for (i, (value, width)) in row.iter().zip(widths).enumerate() {
        let cell = cell(value);
        // A number without its end would be another number.
        let cell = if i == last || value.is_number() { cell } else { shortened(&cell, *width) };
        let padding = " ".repeat(width.saturating_sub(cell.width()));
        let parts = if value.is_number() { [padding.as_str(), &cell] } else { [cell.as_str(), &padding] };
        text.extend(parts);
        text.push_str("  ");
    }
    text.truncate(text.trim_end().len());
    text
}

/// A value on one line: control characters would move the cursor, or worse.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "∅".to_owned(),
        Value::String(text) if text.contains(char::is_control) => text.escape_debug().to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let fits = |char: &char| {
        used += char.width().unwrap_or(0);
        used <= width
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_aligned_by_what_they_take_on_a_terminal() {
        let widths = [4, 3, 5];
        assert_eq!(line(&widths, &[json!("日本"), json!(7), json!(null)]), "日本    7  ∅");
        assert_eq!(line(&widths, &[json!("abcdef"), json!(-7.5), json!("longer than that")]), "abc…  -7.5  longer than that");
        assert_eq!(cell(&json!("a\nb\u{1b}[1m")), "a\\nb\\u{1b}[1m");
    }
}
