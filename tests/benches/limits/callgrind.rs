//! P1 in instructions: the same on every run and under any load, so a ceiling can be kept where a time could not.

use std::env::current_exe;
use std::process::Command;

use crate::{machine, print};

/// Instructions for one event of P1 at most, the benchmark's own included. Lower it when the machine gets faster.
const P1: f64 = 3_500.0;
/// Another compiler or allocator may take a little more.
const SLACK: f64 = 1.03;

/// What the counted process is asked for, with a number of events behind it.
pub(crate) const COUNTED: &str = "--counted";

/// Counts P1 and holds it against the ceiling; tells whether it is below.
pub(crate) fn holds() -> bool {
    // What both have in common, the start of a process among it, does not count.
    let (few, many) = (2_000, 22_000);
    let counted = count(few).and_then(|less| Ok((count(many)? - less) as f64 / (many - few) as f64));
    match counted {
        Ok(each) => {
            let (ours, goal) = (format!("{each:.0} instr."), format!("{P1:.0} or less"));
            print("P1", "commit, persist, push, confirm: instructions an event", &ours, "", each / P1, &goal);
            each <= P1 * SLACK
        }
        Err(Failed::NotInstalled) => {
            println!("P1  instructions are counted where valgrind is installed, and here it is not");
            true
        }
        Err(Failed::Otherwise(message)) => {
            println!("P1  instructions can't be counted: {message}");
            false
        }
    }
}

/// What the counted process does.
pub(crate) fn counted(events: usize) {
    machine::run(events);
}

enum Failed {
    NotInstalled,
    Otherwise(String),
}

fn count(events: usize) -> Result<u64, Failed> {
    let failed = |message: String| Failed::Otherwise(message);
    let directory = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
    let file = directory.path().join("callgrind.out");
    let exe = current_exe().map_err(|error| failed(error.to_string()))?;
    let run = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(exe)
        .args([COUNTED, &events.to_string()])
        .output();
    let run = run.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failed::NotInstalled,
        _ => failed(error.to_string()),
    })?;
    if !run.status.success() {
        return Err(failed(String::from_utf8_lossy(&run.stderr).into_owned()));
    }
    let text = std::fs::read_to_string(&file).map_err(|error| failed(error.to_string()))?;
    let summary = text.lines().find_map(|line| line.strip_prefix("summary: ")?.trim().parse().ok());
    summary.ok_or_else(|| failed(format!("{} has no summary", file.display())))
}
