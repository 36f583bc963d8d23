//! P1, P3 and P4 in instructions: the same under any load, so a ceiling can be kept where a time could not.
//!
//! Of the machine alone, all of them; of `store.commit`, those of the thread that commits; of storing what was committed, those of the
//! other threads. The last two a little less exactly, since the threads run side by side and share their work out between them.

use std::env::current_exe;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::raw::{File, Session};
use crate::stage::{store, todo};
use crate::{machine, print};

/// Instructions for one event at most, the benchmark's own included. Lower them when it gets faster.
const P1: f64 = 3_403.0;
const P3: f64 = 28_300.0;
const P4: f64 = 21_500.0;
/// Another compiler or allocator may take a little more.
const SLACK: f64 = 1.03;

/// What the counted process is asked for, with the work and a number of events behind it.
pub(crate) const COUNTED: &str = "--counted";

/// Events in a transaction by hand: about as many as the store puts into one.
const BATCH: usize = 300;

/// Counts, and holds it against the ceilings; tells whether it is below.
pub(crate) fn holds() -> bool {
    match measure() {
        Ok(holds) => holds,
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
pub(crate) fn counted(work: &str, events: usize) {
    let dir = tempfile::tempdir().unwrap();
    match work {
        "machine" => drop(machine::run(events)),
        "store" => {
            let store = store(&dir.path().join("store.db"));
            let commit = |n| store.commit(todo(n)).unwrap();
            (1..events).for_each(|n| drop(commit(n)));
            commit(0).leader_sync.wait().unwrap();
            assert!(store.close(Duration::from_secs(60)).persisted);
        }
        "session" => {
            let session = Session::new();
            (0..events).map(todo).for_each(|todo| session.commit(&todo.id, &todo.text));
        }
        "file" => {
            let file = File::new(&dir.path().join("raw.db"));
            for from in (0..events).step_by(BATCH) {
                let todos: Vec<_> = (from..events.min(from + BATCH)).map(todo).collect();
                file.commit(from as i64, todos.iter().map(|todo| (todo.id.clone(), &*todo.text)));
            }
        }
        other => panic!("nothing to count is called {other}"),
    }
}

fn measure() -> Result<bool, Failed> {
    let machine = each("machine", 2_000, 22_000)?;
    let show = |id, what, ours: f64, by_hand: Option<f64>, max: f64| {
        let hand = by_hand.map_or_else(String::new, |by_hand| format!("{by_hand:.0} instr."));
        print(id, what, &format!("{ours:.0} instr."), &hand, ours / by_hand.unwrap_or(max), &format!("{max:.0} or less"));
        ours <= max * SLACK
    };
    let mut holds = show("P1", "commit, persist, push, confirm: instructions an event", machine.first, None, P1);
    let (store, session, file) = (each("store", 3_000, 9_000)?, each("session", 3_000, 9_000)?, each("file", 3_000, 9_000)?);
    holds &= show("P3", "store.commit, the thread that commits: instructions", store.first, Some(session.first), P3);
    holds &= show("P4", "storing it, the other threads: instructions an event", store.others, Some(file.first), P4);
    Ok(holds)
}

/// Instructions of the first thread, and of all others.
struct Count {
    first: f64,
    others: f64,
}

enum Failed {
    NotInstalled,
    Otherwise(String),
}

/// For one event. What so few and so many have in common, the start of a process among it, does not count.
fn each(work: &str, few: usize, many: usize) -> Result<Count, Failed> {
    let (less, more) = (count(work, few)?, count(work, many)?);
    let events = (many - few) as f64;
    Ok(Count { first: (more.first - less.first) / events, others: (more.others - less.others) / events })
}

fn count(work: &str, events: usize) -> Result<Count, Failed> {
    let failed = |message: String| Failed::Otherwise(message);
    let directory = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
    let exe = current_exe().map_err(|error| failed(error.to_string()))?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--separate-threads=yes"])
        .arg(format!("--callgrind-out-file={}", directory.path().join("out").display()))
        .arg(exe)
        .args([COUNTED, work, &events.to_string()])
        .output();
    let run = run.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failed::NotInstalled,
        _ => failed(error.to_string()),
    })?;
    if !run.status.success() {
        return Err(failed(String::from_utf8_lossy(&run.stderr).into_owned()));
    }
    let mut count = Count { first: 0.0, others: 0.0 };
    for file in std::fs::read_dir(directory.path()).map_err(|error| failed(error.to_string()))? {
        let path = file.map_err(|error| failed(error.to_string()))?.path();
        let total = total(&path)?;
        // One file for each thread: `out-01`, `out-02`, and one without a number that has nothing of its own.
        *(if path.ends_with("out-01") { &mut count.first } else { &mut count.others }) += total;
    }
    if count.first > 0.0 { Ok(count) } else { Err(failed(format!("{work}: the first thread was not counted"))) }
}

fn total(file: &Path) -> Result<f64, Failed> {
    let failed = |message: String| Failed::Otherwise(message);
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    Ok(total.unwrap_or(0.0))
}
