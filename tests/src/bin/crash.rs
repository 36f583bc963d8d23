//! Crashes stores at every point of their work, and makes every call to the disk fail.
//!
//! `crash` tries what each change is tried with, `crash --all` everything, and drawn scenarios too; `--scenario NAME` only that one.
//! `--list` names them; `--scenario 'drawn 77'` draws one more.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use tests::crash::{ALL, Extent, OF_A_NIGHT, Scenario, drawn, run};

const USAGE: &str = "crash [--all] [--scenario NAME]... [--points N] [--errors N] [--recoveries N] [--seed N] | --list";

fn main() -> ExitCode {
    let Some(options) = options() else {
        // If not even this can be said, the status still says it.
        let _ = writeln!(io::stderr(), "{USAGE}");
        return ExitCode::from(2);
    };
    options.go().unwrap_or(ExitCode::from(2))
}

struct Options {
    scenarios: Vec<&'static Scenario>,
    extent: Extent,
    list: bool,
}

fn options() -> Option<Options> {
    let mut options = Options { scenarios: Vec::new(), extent: Extent::QUICK, list: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
        match argument.as_str() {
            "--all" => options.extent = Extent::ALL,
            "--list" => options.list = true,
            "--points" => {
                options.extent.points = usize::try_from(number()?).ok()?;
                options.extent.out_of_turn.0 = options.extent.points;
            }
            "--errors" => {
                options.extent.errors = usize::try_from(number()?).ok()?;
                options.extent.out_of_turn.1 = options.extent.errors;
            }
            "--recoveries" => options.extent.recoveries.0 = usize::try_from(number()?).ok()?,
            "--seed" => options.extent.seed = number()?,
            "--scenario" => {
                let name = arguments.next()?;
                let seed = name.strip_prefix("drawn ").and_then(|seed| seed.parse().ok());
                options.scenarios.push(match seed {
                    Some(seed) => drawn(seed),
                    None => ALL.iter().find(|scenario| scenario.name == name)?,
                });
            }
            _ => return None,
        }
    }
    if options.scenarios.is_empty() {
        options.scenarios = ALL.iter().collect();
        if options.list || options.extent.every_tear {
            options.scenarios.extend(OF_A_NIGHT.iter());
        }
    }
    Some(options)
}

impl Options {
    fn go(&self) -> io::Result<ExitCode> {
        let mut out = io::stdout();
        if self.list {
            self.scenarios.iter().try_for_each(|scenario| writeln!(out, "{}", scenario.name))?;
            return Ok(ExitCode::SUCCESS);
        }
        let began = Instant::now();
        let (count, failures) = run(&self.scenarios, &self.extent, &|line| drop(writeln!(io::stdout(), "{line}")));
        for failure in &failures {
            writeln!(out, "{failure}\n")?;
        }
        let (scenarios, seconds) = (self.scenarios.len(), began.elapsed().as_secs_f64());
        writeln!(out, "{scenarios} scenarios, {count}, in {seconds:.0} s")?;
        Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
