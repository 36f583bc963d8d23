//! Runs simulated worlds: `sim --seed N` tells one in full, `sim --seeds N [--from M]` runs many and stops at the first that fails.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use tests::sim;
use tests::world::Reach;

const USAGE: &str = "sim --seed N [--lines N] | --seeds N [--from N] [--keep-going]";

fn main() -> ExitCode {
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    match options() {
        Some(options) => match options.run() {
            Ok(code) => code,
            Err(_) => ExitCode::from(2),
        },
        None => {
            let _ = writeln!(io::stderr(), "{USAGE}");
            ExitCode::from(2)
        }
    }
}

#[derive(Default)]
struct Options {
    seed: Option<u64>,
    seeds: u64,
    from: u64,
    lines: Option<usize>,
    keep_going: bool,
}

fn options() -> Option<Options> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
        match argument.as_str() {
            "--seed" => options.seed = Some(number()?),
            "--seeds" => options.seeds = number()?,
            "--from" => options.from = number()?,
            "--lines" => options.lines = Some(usize::try_from(number()?).ok()?),
            "--keep-going" => options.keep_going = true,
            _ => return None,
        }
    }
    (options.seed.is_some() || options.seeds > 0).then_some(options)
}

impl Options {
    fn run(&self) -> io::Result<ExitCode> {
        if let Some(seed) = self.seed {
            write!(io::stdout(), "{}", sim::explain(seed, self.lines))?;
            return Ok(if sim::run(seed).violation.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let start = Instant::now();
        let (mut reach, mut inputs, mut elapsed, mut failed) = (Reach::default(), 0, 0, 0_u64);
        for done in 0..self.seeds {
            let seed = self.from + done;
            let report = sim::run(seed);
            (inputs, elapsed) = (inputs + report.inputs, elapsed + report.elapsed);
            reach.add(&report.reach);
            if let Some(violation) = report.violation {
                failed += 1;
                if !self.keep_going {
                    write!(io::stdout(), "{}", sim::explain(seed, self.lines))?;
                    return Ok(ExitCode::FAILURE);
                }
                let what: String = violation.to_string().chars().take(160).collect();
                writeln!(io::stdout(), "{seed} {}", what.replace('\n', " "))?;
            }
            if (done + 1) % 1_000 == 0 || done + 1 == self.seeds {
                let spent = start.elapsed().as_secs_f64();
                let (rate, hours) = (inputs as f64 / spent, elapsed as f64 / 3.6e9);
                writeln!(io::stderr(), "{} seeds, {inputs} inputs, {rate:.0} inputs/s, {hours:.0} h simulated", done + 1)?;
            }
        }
        for (name, count) in reach.counts() {
            writeln!(io::stderr(), "{count:>10} {name}")?;
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
