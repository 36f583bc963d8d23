//! The commands, one file each.

mod commit;
mod demo;
mod failures;
mod init;
mod log;
mod query;
mod receipt;
mod schema;
mod serve;
mod status;
mod sync;
mod watch;
mod withdraw;

use crate::args::Command;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::Output;

/// Runs a command; says how it ended.
pub(crate) fn run(command: Command, output: &mut Output) -> Result<Exit> {
    match command {
        Command::Init(args) => init::run(args, output),
        Command::Schema(args) => schema::run(&args, output),
        Command::Commit(args) => commit::run(args, output),
        Command::Query(args) => query::run(&args, output),
        Command::Log(args) => log::run(&args, output),
        Command::Status(args) => status::run(&args.store, output),
        Command::Receipt(args) => receipt::run(&args, output),
        Command::Sync(args) => sync::run(&args, output),
        Command::Watch(args) => watch::run(&args, output),
        Command::Failures(args) => failures::run(&args, output),
        Command::Withdraw(args) => withdraw::run(&args, output),
        Command::Serve(args) => serve::run(args, output),
        Command::Demo(args) => demo::run(args, output),
    }
}
