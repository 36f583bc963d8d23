//! Runs simulated worlds, for people.
//!
//! `sim --seed N` tells one in full; `sim --seeds N [--from M] [--jobs J]` runs many, and shrinks the first that fails; `sim --replay FILE`
//! tells a trace; `sim --exhaustive [STEPS] [--jobs J]` goes through every interleaving of small worlds; `sim --soaks N [--days D]` has worlds live
//! for so long. It ends with status 1 if something does not hold, or if so many worlds miss a situation that they are to meet.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use tests::world::{Reach, Trace};
use tests::{exhaustive, sim};

const USAGE: &str = "sim --seed N [--lines N]
sim --seeds N [--from N] [--jobs N] [--keep-going] [--lines N]
sim --replay FILE [--lines N]
sim --exhaustive [STEPS] [--jobs N]
sim --soaks N [--from N] [--days N]";

/// So many worlds meet every situation.
const MEET_ALL: u64 = 2_000;
/// How often it is told how far it has come, in worlds.
const TOLD: u64 = 1_000;

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
    soaks: u64,
    days: Option<u64>,
    jobs: Option<usize>,
}

fn options() -> Option<Options> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1).peekable();
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
        match argument.as_str() {
            "--seed" => options.seed = Some(number()?),
            "--seeds" => options.seeds = number()?,
            "--soaks" => options.soaks = number()?,
            "--days" => options.days = Some(number()?),
            "--jobs" => options.jobs = Some(usize::try_from(number()?).ok()?),
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
    let any = any || options.soaks > 0;
    any.then_some(options)
}

impl Options {
    /// Whether everything holds.
    fn run(&self) -> Result<bool, Box<dyn std::error::Error>> {
        // Not locked: the threads that run worlds write, too.
        let mut out = io::stdout();
        if let Some(path) = &self.replay {
            let trace = Trace::load(path)?;
            write!(out, "{}", sim::tell(&trace, None, self.lines))?;
            return Ok(sim::play(&trace, None).violation.is_none());
        }
        if let Some(steps) = self.exhaustive {
            return self.exhaustive(steps);
        }
        if self.soaks > 0 {
            return self.soaks();
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
        let sum = Mutex::new((0, true));
        exhaustive::explore_all(steps, self.jobs.unwrap_or(1).max(1), |found| {
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            sum.0 += found.states;
            sum.1 &= found.violation.is_none();
            // If not even this can be said, the status still says it.
            let _ = writeln!(io::stdout(), "{found}");
            true
        });
        let (states, all) = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
        writeln!(io::stdout(), "{states:>9} states in all")?;
        Ok(all)
    }

    fn soaks(&self) -> Result<bool, Box<dyn std::error::Error>> {
        let (mut all, days) = (true, self.days.unwrap_or(30));
        for seed in self.from..self.from + self.soaks {
            let began = Instant::now();
            let soaked = sim::soak(seed, days);
            let took = began.elapsed().as_secs_f64();
            match soaked {
                Ok(soaked) => writeln!(io::stdout(), "soak {seed}: {days} days, {soaked}, in {took:.1} s")?,
                Err(violation) => {
                    writeln!(io::stdout(), "soak {seed}: {violation}\nagain: sim --soaks 1 --from {seed} --days {days}")?;
                    all = false;
                }
            }
        }
        Ok(all)
    }

    fn seeds(&self) -> Result<bool, Box<dyn std::error::Error>> {
        let sum = Mutex::new(Sum::default());
        let next = AtomicU64::new(0);
        let jobs = self.jobs.unwrap_or(1).max(1);
        let start = Instant::now();
        thread::scope(|scope| {
            let work = || {
                loop {
                    let done = next.fetch_add(1, Ordering::Relaxed);
                    if done >= self.seeds || !self.take(self.from + done, start, &sum) {
                        // The others stop, too.
                        next.fetch_max(self.seeds, Ordering::Relaxed);
                        return;
                    }
                }
            };
            for _ in 0..jobs {
                scope.spawn(work);
            }
        });
        let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
        sum.tell(start)?;
        for (name, count) in sum.reach.counts() {
            writeln!(io::stderr(), "{count:>10} {name}")?;
        }
        if let (Some(seed), false) = (sum.failed, self.keep_going) {
            write!(io::stdout(), "{}", sim::failure(seed, self.lines))?;
            return Ok(false);
        }
        let missing = sum.reach.missing();
        if self.seeds >= MEET_ALL && !missing.is_empty() {
            writeln!(io::stdout(), "so many worlds should have met: {}", missing.join("; "))?;
            return Ok(false);
        }
        Ok(sum.failed.is_none())
    }

    /// Runs one world; tells whether to go on.
    fn take(&self, seed: u64, start: Instant, sum: &Mutex<Sum>) -> bool {
        let report = sim::run(seed);
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.worlds += 1;
        (sum.inputs, sum.elapsed) = (sum.inputs + report.inputs, sum.elapsed + report.elapsed);
        sum.reach.add(&report.reach);
        if let Some(violation) = report.violation {
            let what: String = violation.to_string().chars().take(160).collect();
            // If not even this can be said, the status still says it.
            let _ = writeln!(io::stdout(), "{seed} {}", what.replace('\n', " "));
            sum.failed = Some(sum.failed.map_or(seed, |failed| failed.min(seed)));
        }
        if sum.worlds.is_multiple_of(TOLD) {
            let _ = sum.tell(start);
        }
        self.keep_going || sum.failed.is_none()
    }
}

/// What many worlds have come to.
#[derive(Default)]
struct Sum {
    worlds: u64,
    inputs: u64,
    elapsed: u64,
    reach: Reach,
    /// The first seed that failed.
    failed: Option<u64>,
}

impl Sum {
    fn tell(&self, start: Instant) -> io::Result<()> {
        let spent = start.elapsed().as_secs_f64();
        let (rate, hours) = (self.inputs as f64 / spent, self.elapsed as f64 / 3.6e9);
        let Self { worlds, inputs, .. } = self;
        writeln!(io::stderr(), "{worlds} seeds, {inputs} inputs, {rate:.0} inputs/s, {hours:.0} h simulated, {spent:.0} s")
    }
}
