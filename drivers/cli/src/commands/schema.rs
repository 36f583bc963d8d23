//! `schema`: gives a store another schema, and builds its state anew.

use countersign::{Reader, Settings, Store};
use serde::Serialize;

use super::init::read_schema;
use crate::args;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::Output;
use crate::work;

#[derive(Serialize)]
struct Changed {
    schema_version: u32,
    entries: u64,
    /// Entries that have no effect on the state.
    skipped: u64,
}

pub(crate) fn run(args: &args::Schema, output: &mut Output) -> Result<Exit> {
    let path = &args.store;
    let (text, schema) = read_schema(&args.schema)?;
    let mut settings = match Reader::open(path)?.settings()? {
        Some(settings) => settings,
        None => Settings::new(""),
    };
    settings.schema = text;
    Store::set_settings(path, &settings)?;
    work::build(path, &settings, output)?;

    let status = Reader::open(path)?.status()?;
    let changed = Changed { schema_version: schema.version(), entries: status.entries, skipped: status.skipped };
    if output.json {
        output.object(&changed)?;
    } else {
        let Changed { schema_version, entries, skipped } = changed;
        let built = output.paint.good("built");
        output.line(format_args!(
            "{built} the state by schema version {schema_version}, from {entries} events, {skipped} of them without effect"
        ))?;
    }
    Ok(Exit::Reached)
}
