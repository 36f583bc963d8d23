//! The speed of the machine and of the store, each beside the least code that does the same work by hand, in one run.
//!
//! `cargo bench -p tests --bench limits` measures; with `-- --smoke` it only shows that every benchmark runs. What is named after
//! the dashes is run alone, as in `-- P1 P4`.
//!
//! `cargo bench -p tests --bench limits -- --callgrind` counts the instructions of P1, P3 and P4 under valgrind, which no load on
//! the machine changes, and fails above stored ceilings (see `callgrind.rs`).
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints its figures, and stops at any failure")]

mod callgrind;
mod machine;
mod memory;
mod network;
mod open;
mod raw;
mod rebase;
mod server;
mod stage;
mod store;

use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    if server::serve_if_asked() {
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == callgrind::COUNTED) {
        callgrind::counted(&arguments[at + 1], arguments[at + 2].parse().unwrap());
        return ExitCode::SUCCESS;
    }
    if let Some(at) = arguments.iter().position(|argument| argument == memory::MEASURED) {
        memory::measure(&arguments[at + 1], arguments[at + 2].parse().unwrap());
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|argument| argument == "--callgrind") {
        return if callgrind::holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let smoke = arguments.iter().any(|argument| argument == "--smoke");
    let only: Vec<&str> = arguments.iter().skip(1).filter(|a| a.starts_with('P')).map(String::as_str).collect();
    let wanted = |id: &str| only.is_empty() || only.contains(&id);
    let rounds = if smoke { 1 } else { 7 };
    println!("id  what                                                       ours          by hand       ratio   goal");
    if wanted("P1") {
        machine::alone(rounds, if smoke { 2_000 } else { 200_000 });
    }
    if wanted("P2") {
        machine::pending(rounds.min(3), smoke);
    }
    if wanted("P3") {
        store::commit(rounds, if smoke { 500 } else { 20_000 });
    }
    if wanted("P4") {
        store::throughput(rounds.min(5), if smoke { 1_000 } else { 40_000 });
    }
    if wanted("P5") {
        store::one(rounds, if smoke { 20 } else { 1_000 });
    }
    if wanted("P6") {
        network::one(rounds, if smoke { 20 } else { 500 });
    }
    if wanted("P7") {
        let (few, many) = if smoke { (200, 1_000) } else { (1_000, 1_000_000) };
        network::through(few, many);
    }
    if wanted("P8") {
        rebase::behind(rounds, if smoke { 100 } else { 1_000 });
    }
    if wanted("P9") || wanted("P12") {
        let (few, many) = if smoke { (100, 10_000) } else { (10_000, 1_000_000) };
        let logs = open::Logs::new(few, many);
        if wanted("P9") {
            logs.open(rounds);
        }
        if wanted("P12") {
            logs.rebuild();
        }
    }
    if wanted("P10") {
        memory::report(smoke);
    }
    if wanted("P11") {
        server::live_pulls(if smoke { 1 } else { 41 }, if smoke { 50 } else { 1_000 });
    }
    ExitCode::SUCCESS
}

/// How long something takes.
fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The middle one of several measurements, in nanoseconds an item.
fn median(rounds: usize, items: usize, mut measure: impl FnMut() -> Duration) -> f64 {
    let mut all: Vec<f64> = (0..rounds).map(|_| measure().as_nanos() as f64 / items as f64).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn print(id: &str, what: &str, ours: &str, by_hand: &str, ratio: f64, goal: &str) {
    println!("{id:<3} {what:<58} {ours:<13} {by_hand:<13} {ratio:<7.2} {goal}");
}
