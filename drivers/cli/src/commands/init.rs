//! `init`: makes a store, and remembers in it how it is to be opened.

use std::path::{Path, PathBuf};

use countersign::backend::EmbeddedBackend;
use countersign::{Durability, OpenError, Schema, Settings, Store};
use serde::Serialize;

use crate::address::Address;
use crate::args;
use crate::exit::Exit;
use crate::failure::{self, Failure, Result};
use crate::output::Output;
use crate::work;

#[derive(Serialize)]
struct Made<'a> {
    store: &'a Path,
    store_id: &'a str,
    schema_version: u32,
    backend: Option<&'a str>,
    durability: Durability,
}

/// Checks everything before it makes anything.
pub(crate) fn run(args: args::Init, output: &mut Output) -> Result<Exit> {
    let args::Init { store: path, schema: schema_path, backend, store_id, durability } = args;
    let (text, schema) = read_schema(&schema_path)?;
    let address = backend.as_deref().map(Address::parse).transpose()?;
    let address = address.map(|address| address.remembered(&path)).transpose()?;
    if path.try_exists().unwrap_or(false) {
        return Err(OpenError::Exists { path }.into());
    }
    let file = address.as_ref().map(|address| address.file(&path));
    if let Some(file) = &file {
        make_backend(file, &path)?;
    }

    let mut settings = Settings::new(text);
    settings.backend = address.map(|address| address.to_string());
    settings.store_id = store_id;
    settings.durability = durability.into();
    Store::init(&path, &settings)?;
    work::build(&path, &settings, output)?;

    let backend = settings.backend.as_deref();
    if output.json {
        let Settings { store_id, durability, .. } = &settings;
        let made = Made { store: &path, store_id, schema_version: schema.version(), backend, durability: *durability };
        output.object(&made)?;
    } else {
        let (version, tables) = (schema.version(), schema.table_names().collect::<Vec<_>>().join(", "));
        let paint = output.paint;
        output.line(format_args!("{} {}", paint.good("made"), paint.bold(path.display())))?;
        output.line(format_args!("  schema   version {version}, tables {tables}"))?;
        output.line(format_args!("  backend  {}", backend.unwrap_or("none: the store is local")))?;
    }
    Ok(Exit::Reached)
}

/// A schema file's text, and what it says.
pub(crate) fn read_schema(path: &Path) -> Result<(String, Schema)> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::unreadable(path, &error))?;
    let schema = Schema::from_toml(&text).map_err(|error| failure::schema(path, &error))?;
    Ok((text, schema))
}

/// The backend's file has to be there, or to be made: commands that come later never make one, since an empty log in the place of one
/// that was lost would not be noticed.
fn make_backend(file: &PathBuf, store: &Path) -> Result<()> {
    let same = |a: &Path, b: &Path| std::path::absolute(a).ok() == std::path::absolute(b).ok();
    if same(file, store) || same(file, &Address::Embedded(store.to_owned()).file(store)) {
        let message = format!("{}: the store and its backend can't be one file: give the backend another", file.display());
        return Err(Failure::input("address", message));
    }
    EmbeddedBackend::open(file)?;
    Ok(())
}
