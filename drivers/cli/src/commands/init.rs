//! `init`: makes a store, and remembers in it how it is to be opened.

use std::path::{Path, PathBuf};

use countersign::backend::EmbeddedBackend;
use countersign::{Durability, OpenError, Schema, Settings, Store, TokenPlace};
use serde::Serialize;

use crate::address::{self, Address};
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
    /// Where its token is.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    durability: Durability,
}

/// Checks everything before it makes anything.
pub(crate) fn run(args: args::Init, output: &mut Output) -> Result<Exit> {
    let args::Init { store: path, schema: schema_path, backend, token_file, token_env, token, store_id, durability } = args;
    if token.is_some() {
        let message = "a token on the command line can be read by other users of the machine, and stays in the shell's history: put it \
                       into a file that only you can read (--token-file FILE), or into the environment (--token-env VARIABLE)";
        return Err(Failure::input("token", message));
    }
    let (text, schema) = read_schema(&schema_path)?;
    let address = backend.as_deref().map(Address::parse).transpose()?;
    let address = address.map(|address| address.remembered(&path)).transpose()?;
    if path.try_exists().unwrap_or(false) {
        return Err(OpenError::Exists { path }.into());
    }
    let token = match (token_file, token_env) {
        (Some(file), _) => Some(TokenPlace::File(address::remembered(&file, &path)?)),
        (None, Some(variable)) => Some(TokenPlace::Env(variable_name(variable)?)),
        (None, None) => None,
    };
    if token.is_some() && matches!(address, Some(Address::Embedded(_))) {
        let message = "a backend in a file asks for no token: leave --token-file and --token-env out, or name a server";
        return Err(Failure::input("token", message));
    }
    let file = address.as_ref().and_then(|address| address.file(&path));
    if let Some(file) = &file {
        make_backend(file, &path)?;
    }

    let mut settings = Settings::new(text);
    settings.backend = address.map(|address| address.to_string());
    settings.token = token;
    settings.store_id = store_id;
    settings.durability = durability.into();
    Store::init(&path, &settings)?;
    work::build(&path, &settings, output)?;

    let backend = settings.backend.as_deref();
    let token = settings.token.as_ref().map(ToString::to_string);
    if output.json {
        let Settings { store_id, durability, .. } = &settings;
        let made = Made { store: &path, store_id, schema_version: schema.version(), backend, token, durability: *durability };
        output.object(&made)?;
    } else {
        let (version, tables) = (schema.version(), schema.table_names().collect::<Vec<_>>().join(", "));
        let paint = output.paint;
        output.line(format_args!("{} {}", paint.good("made"), paint.bold(path.display())))?;
        output.line(format_args!("  schema   version {version}, tables {tables}"))?;
        output.line(format_args!("  backend  {}", backend.unwrap_or("none: the store is local")))?;
        if let Some(token) = token {
            output.line(format_args!("  token    {token}"))?;
        }
    }
    Ok(Exit::Reached)
}

/// A name, and not by mistake the token itself, which would be remembered then.
fn variable_name(name: String) -> Result<String> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name.is_empty() || !plain || name.starts_with(|first: char| first.is_ascii_digit()) {
        let message = "--token-env takes the name of an environment variable, of letters, digits and `_`, such as SYNC_TOKEN";
        return Err(Failure::input("token", message));
    }
    Ok(name)
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
    if same(file, store) || Address::Embedded(store.to_owned()).file(store).is_some_and(|store| same(file, &store)) {
        let message = format!("{}: the store and its backend can't be one file: give the backend another", file.display());
        return Err(Failure::input("address", message));
    }
    EmbeddedBackend::open(file)?;
    Ok(())
}
