//! `demo`: two stores and a sync server at work, on real files and real sockets.
//!
//! The server is what `serve` runs; each store has a line of its own to it, which can be cut, as two machines would.
//!
//! Every time is measured and every place read back; nothing sleeps, what is waited for is waited for by its condition. At the end
//! both stores and the backend are compared, and a difference is the machine's fault.

mod actor;
mod check;
mod line;
mod tale;

use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign::backend::EmbeddedBackend;
use countersign::server::Server;

use crate::args;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::Output;
use actor::{Actor, created, done};
use check::Check;
use line::Line;
use tale::Tale;

/// A wait that takes longer has gone wrong.
const PATIENCE: Duration = Duration::from_secs(10);
/// The server's log that both write.
const STORE_ID: &str = "todos";
const SCHEMA: &str = include_str!("../../../examples/todo.toml");

pub(crate) fn run(args: args::Demo, output: &mut Output) -> Result<Exit> {
    let (folder, kept) = match args.keep {
        Some(folder) => (Folder::Kept(make_folder(folder)?), true),
        None => (Folder::Temporary(tempfile::tempdir().map_err(|error| no_folder(&std::env::temp_dir(), &error))?), false),
    };
    let mut tale = Tale::new(output);
    let exit = play(folder.path(), &mut tale)?;
    if kept {
        tale.kept(folder.path())?;
    }
    Ok(exit)
}

fn play(folder: &Path, tale: &mut Tale<'_>) -> Result<Exit> {
    let file = |name: &str| folder.join(format!("{name}.db"));
    let logs = folder.join("server");
    let went_wrong = |error: &dyn std::fmt::Display| Failure::machine("demo", format!("the server: {error}"));
    let server = Server::new(&logs).no_auth().start().map_err(|error| went_wrong(&error))?;
    let line = || Line::to(server.addr()).map_err(|error| went_wrong(&error));
    let mut anna = Actor::new("anna", file("anna"), line()?)?;
    let ben = Actor::new("ben", file("ben"), line()?)?;
    tale.title(folder, server.addr())?;

    tale.step("Both commit, online")?;
    let (sent, _) = anna.commit(vec![created("1", "buy seeds")])?;
    tale.committed(&anna, "buy seeds", &anna.both_stages(&sent)?)?;
    ben.has_pulled(1)?;
    let (sent, _) = ben.commit(vec![created("2", "mend the fence")])?;
    tale.committed(&ben, "mend the fence", &ben.both_stages(&sent)?)?;
    anna.has_pulled(2)?;

    tale.step("The backend goes away for anna; she goes on working")?;
    anna.line.cut();
    anna.is_offline()?;
    let (sent, id) = anna.commit(vec![created("3", "call the plumber"), done("1")])?;
    tale.committed(&anna, "call the plumber, seeds bought", &anna.leader_only(&sent)?)?;
    let before = anna.places(id)?;
    tale.stands(&before, &anna.todos()?)?;

    tale.step("ben, still online, commits too")?;
    for (id, text) in [("4", "pick the plums"), ("5", "sow the rye")] {
        let (sent, _) = ben.commit(vec![created(id, text)])?;
        tale.committed(&ben, text, &ben.both_stages(&sent)?)?;
    }

    tale.step("anna's program ends and starts again, still offline")?;
    drop(sent);
    anna = anna.restart()?;
    anna.is_offline()?;
    let found = anna.receipt(id)?;
    tale.found(id, &found)?;

    tale.step("The backend is back")?;
    let (confirmed, time) = anna.reconnect(&found)?;
    tale.renumbered(&before, &confirmed, time, &found)?;

    tale.step("Is it one log?")?;
    let backend = EmbeddedBackend::open_read_only(logs.join(format!("{STORE_ID}.eventlog")))?;
    let end = backend.head()?;
    for actor in [&anna, &ben] {
        actor.has_pulled(end)?;
    }
    let check = Check::new(&[&anna, &ben], &backend)?;
    let closed = anna.close()?.max(ben.close()?);
    server.shutdown(PATIENCE).map_err(|error| went_wrong(&error))?;
    tale.checked(&check)?;
    Ok(check.exit().max(closed))
}

enum Folder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

fn make_folder(path: PathBuf) -> Result<PathBuf> {
    match std::fs::create_dir(&path) {
        Ok(()) => Ok(path),
        Err(error) => Err(no_folder(&path, &error)),
    }
}

fn no_folder(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("{}: the folder can't be made ({error}): name a new one, in a folder that is there", path.display());
    Failure::input("path", message)
}
