//! Lists the invariants that no test names: see [`tests::invariants`].
//!
//! With `--strict` it ends with status 1 if there are any, or if a test names one that does not exist.

use std::io::{self, Write};
use std::process::ExitCode;

use tests::invariants::Invariants;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let strict = arguments.iter().any(|argument| argument == "--strict");
    if arguments.len() > usize::from(strict) {
        return fail("ids [--strict]: there are no other arguments");
    }
    let found = match Invariants::of_this_workspace() {
        Ok(found) => found,
        Err(error) => return fail(&error.to_string()),
    };
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let told = found.untested.iter().try_for_each(|(id, meaning)| writeln!(out, "{id} {meaning}"));
    let warned = found.unknown.iter().try_for_each(|(id, place)| writeln!(err, "{place}: there is no {id}"));
    match told.and(warned) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(2),
        _ if strict && !(found.untested.is_empty() && found.unknown.is_empty()) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn fail(what: &str) -> ExitCode {
    // If not even this can be said, the status still says it.
    let _ = writeln!(io::stderr(), "{what}");
    ExitCode::from(2)
}
