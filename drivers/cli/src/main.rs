//! The command line of Countersign: make a store, commit events to it, read it, sync it.
//!
//! Results go to standard output, for people or, with `--json`, one object a line; everything else goes to standard error. The exit
//! status says how it ended: see [`exit::Exit`].

mod address;
mod age;
mod args;
mod commands;
mod exit;
mod failure;
mod output;
mod progress;
mod stage;
mod table;
mod work;

use std::process::ExitCode;

use clap::Parser as _;

use args::Cli;
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let mut output = Output::new(cli.json);
    let ended = commands::run(cli.command, &mut output).and_then(|exit| output.flush().map(|()| exit));
    match ended {
        Ok(exit) => exit.into(),
        // Whoever read the output has seen enough.
        Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Said(said)) => {
            let _ = output.flush();
            output.complain(&said);
            said.exit.into()
        }
    }
}

/// What clap has to say: help on request, or that the command line is not understood.
fn usage(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|arg| arg == "--json");
    if error.use_stderr() && wants_json {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let message = text.split("\n\nUsage:").next().unwrap_or(text).trim().replace("\n\n", "\n");
        Output::new(true).complain(&failure::Said::new(exit::Exit::Input, "usage", message));
    } else {
        // Where it can't be said, the status still tells.
        let _ = error.print();
    }
    if error.use_stderr() { exit::Exit::Input.into() } else { ExitCode::SUCCESS }
}
