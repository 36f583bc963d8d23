//! Answers merges line by line, for comparison with another implementation: see [`tests::merge`].
//!
//! Reads standard input and writes standard output. Ends with status 2 if a line was not a question, 1 on a failure to read
//! or write, else 0.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match tests::merge::run(io::stdin().lock(), BufWriter::new(io::stdout().lock())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        // Whoever reads has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // If not even this can be said, the status still says it.
            let _ = writeln!(io::stderr(), "merge: {error}");
            ExitCode::FAILURE
        }
    }
}
