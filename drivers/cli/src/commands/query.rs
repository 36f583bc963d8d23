//! `query`: reads the state, beside whoever writes it.

use std::ops::ControlFlow;

use countersign::Reader;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use crate::args;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::Output;
use crate::progress::counted;
use crate::table::Table;

/// A row by its columns' names, in the columns' order.
struct Row<'a>(&'a [String], Vec<Value>);

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0.iter().zip(&self.1) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

pub(crate) fn run(args: &args::Query, output: &mut Output) -> Result<Exit> {
    let mut reader = Reader::open(&args.store)?;
    let mut table = Table::new();
    let mut written = Ok(());
    let columns = reader.query_each(&args.sql, |columns, values| {
        written = if output.json { output.object(&Row(columns, values)) } else { table.row(columns, values, output) };
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written?;
    if !output.json {
        let rows = table.rows;
        table.end(columns, output)?;
        output.line(output.paint.dim(counted(rows, "row")))?;
    }
    Ok(Exit::Reached)
}
