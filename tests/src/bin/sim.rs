//! Runs simulated worlds, for people.
//!
//! `sim --seed N` tells one in full; `sim --seeds N [--from M]` runs many, and shrinks the first that fails; `sim --replay FILE`
//! tells a trace; `sim --exhaustive [STEPS]` goes through every interleaving of small worlds.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use tests::world::{Reach, Trace};
use tests::{exhaustive, sim};

const USAGE: &str = "sim --seed N [--lines N]
sim --seeds N [--from N] [--keep-going] [--lines N]
sim --replay FILE [--lines N]
sim --exhaustive [STEPS]";

fn main() -> ExitCode {
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let Some(options) = options() else {
        let _ = writeln!(io::stderr(), "{USAGE}");
        return ExitCode::from(2);
    };
    match options.run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
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
    replay: Option<PathBuf>,
    exhaustive: Option<u32>,
}

fn options() -> Option<Options> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1).peekable();
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
        match argument.as_str() {
            "--seed" => options.seed = Some(number()?),
            "--seeds" => options.seeds = number()?,
            "--from" => options.from = number()?,
            "--lines" => options.lines = Some(usize::try_from(number()?).ok()?),
            "--keep-going" => options.keep_going = true,
            "--replay" => options.replay = Some(arguments.next()?.into()),
            "--exhaustive" => {
                let steps = arguments.next_if(|next| !next.starts_with("--"));
                options.exhaustive = Some(steps.map_or(Some(exhaustive::STEPS), |text| text.parse().ok())?);
            }
            _ => return None,
        }
    }
    let any = options.seed.is_some() || options.seeds > 0 || options.replay.is_some() || options.exhaustive.is_some();
    any.then_some(options)
}

impl Options {
    /// Whether everything holds.
    fn run(&self) -> Result<bool, Box<dyn std::error::Error>> {
        let mut out = io::stdout().lock();
        if let Some(path) = &self.replay {
            let trace = Trace::load(path)?;
            write!(out, "{}", sim::tell(&trace, None, self.lines))?;
            return Ok(sim::play(&trace, None).violation.is_none());
        }
        if let Some(steps) = self.exhaustive {
            return self.exhaustive(steps);
        }
        if let Some(seed) = self.seed {
            if sim::run(seed).violation.is_none() {
                write!(out, "{}", sim::explain(seed, self.lines))?;
                return Ok(true);
            }
            write!(out, "{}", sim::failure(seed, self.lines))?;
            return Ok(false);
        }
        self.seeds()
    }

    fn exhaustive(&self, steps: u32) -> Result<bool, Box<dyn std::error::Error>> {
        let mut out = io::stdout().lock();
        let mut all = true;
        for small in exhaustive::WORLDS {
            let found = exhaustive::explore(small, steps, None);
            writeln!(out, "{found}")?;
            all &= found.violation.is_none();
        }
        Ok(all)
    }

    fn seeds(&self) -> Result<bool, Box<dyn std::error::Error>> {
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
                    write!(io::stdout(), "{}", sim::failure(seed, self.lines))?;
                    return Ok(false);
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
        Ok(failed == 0)
    }
}
