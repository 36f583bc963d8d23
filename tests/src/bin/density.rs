//! Prints how many lines of the machine's code there are for each assertion in it: see [`tests::density`].
//!
//! With `--files` it does so file by file. With `--floor N` it ends with status 1 if there are more than N.

use std::io::{self, Write};
use std::process::ExitCode;

use tests::density::{self, Count};

fn main() -> ExitCode {
    let (mut files, mut floor) = (false, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), floor) {
            ("--files", _) if !files => files = true,
            ("--floor", None) => match arguments.next().and_then(|lines| lines.parse().ok()) {
                Some(lines) => floor = Some(lines),
                None => return fail("--floor wants a number of lines"),
            },
            _ => return fail("density [--files] [--floor N]: there are no other arguments"),
        }
    }
    let counts = match density::of_core() {
        Ok(counts) => counts,
        Err(error) => return fail(&error.to_string()),
    };
    let all: Count = counts.iter().map(|(_, count)| *count).sum();
    let mut out = io::stdout().lock();
    let listed =
        counts.iter().filter(|_| files).try_for_each(|(path, count)| writeln!(out, "{} {}", line(*count), path.display()));
    match listed.and_then(|()| writeln!(out, "{} all", line(all))) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(2),
        _ if floor.is_some_and(|lines| !all.is_within(lines)) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn line(count: Count) -> String {
    let density = count.density().map_or_else(|| "-".to_owned(), |lines| format!("{lines:.1}"));
    format!("{:>6} lines {:>4} assertions {density:>6} lines each", count.lines, count.assertions)
}

fn fail(what: &str) -> ExitCode {
    // If not even this can be said, the status still says it.
    let _ = writeln!(io::stderr(), "{what}");
    ExitCode::from(2)
}
