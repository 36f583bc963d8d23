//! A store opened for work, as its settings say.

use std::path::Path;
use std::time::Duration;

use countersign::{Batch, CloseReport, OpenError, Reader, Schema, Settings, Store};

use crate::address::Address;
use crate::exit::Exit;
use crate::failure::{Failure, Result, Said};
use crate::output::Output;
use crate::progress::{Progress, count};

/// How long a store in order is given at least to store what was committed, before its end.
const CLOSING: Duration = Duration::from_secs(10);

/// Opens a store for work, with the schema and the backend that it remembers.
pub(crate) fn open(path: &Path, output: &Output) -> Result<Store> {
    Ok(with_backend(path, output)?.blocking()?)
}

/// As [`open`], and nothing is pushed.
pub(crate) fn open_offline(path: &Path, output: &Output) -> Result<Store> {
    Ok(with_backend(path, output)?.offline().blocking()?)
}

fn with_backend(path: &Path, output: &Output) -> Result<countersign::Opener> {
    let settings = settings(path)?;
    let mut opener = opener(path, &settings, output)?;
    if let Some(address) = &settings.backend {
        opener = Address::parse(address)?.attach(opener, path, settings.token.as_ref())?;
    }
    Ok(opener)
}

/// Opens a store once without its backend, so that its state is as the schema has it, and closes it.
pub(crate) fn build(path: &Path, settings: &Settings, output: &Output) -> Result<()> {
    let store = opener(path, settings, output)?.blocking()?;
    close(store, Duration::ZERO, output).map(drop)
}

fn opener(path: &Path, settings: &Settings, output: &Output) -> Result<countersign::Opener> {
    let schema = Schema::from_toml(&settings.schema).map_err(|error| OpenError::Schema { path: path.to_owned(), error })?;
    let mut progress = Progress::new(output.json);
    let opener = Store::open(path).schema(schema).store_id(&settings.store_id).durability(settings.durability);
    Ok(opener.progress(move |at| {
        progress.show(|| format!("building the state anew: {} of {} events", count(at.done), count(at.total)));
    }))
}

fn settings(path: &Path) -> Result<Settings> {
    Reader::open(path)?.settings()?.ok_or_else(|| {
        let path = path.display();
        let message = format!(
            "{path}: this store was made by a program that has its schema in itself; give the store one too, with \
             `countersign schema {path} --schema FILE`, or use that program"
        );
        Failure::input("no_schema", message)
    })
}

/// Closes a store; everything that was committed is stored then. Commits that could not be stored are handed out on standard error,
/// since they are nowhere else, and are the machine's fault.
pub(crate) fn close(store: Store, patience: Duration, output: &Output) -> Result<Exit> {
    let trouble = store.status().storage.map(|failure| failure.message);
    // With the disk in trouble, what was asked for has been waited for already.
    let patience = if trouble.is_some() { patience } else { patience.max(CLOSING) };
    let CloseReport { persisted, unpersisted, uncertain, .. } = store.close(patience);
    let why = trouble.as_deref().unwrap_or("the disk did not answer in time");
    for (commit, Batch { events, guard }) in unpersisted {
        let message = format!("commit {commit} could not be stored ({why}): it is not in the store; commit its events again:");
        let said = Said::new(Exit::Machine, "not_stored", message);
        output.complain(&Said { commit: Some(commit), events, guard, ..said });
    }
    for (commit, Batch { events, guard }) in uncertain {
        let message = format!(
            "commit {commit} was being stored when the time was over ({why}): look with `receipt`, and commit its events again only if \
             the store does not know it:"
        );
        let said = Said::new(Exit::Machine, "perhaps_stored", message);
        output.complain(&Said { commit: Some(commit), events, guard, ..said });
    }
    Ok(if persisted { Exit::Reached } else { Exit::Machine })
}
