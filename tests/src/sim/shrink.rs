//! Making a failing run small: steps are taken out, faults switched off, numbers made smaller, as long as the same invariant
//! still does not hold.

use std::time::{Duration, Instant};

use super::record;
use crate::world::{Choices, Mutant, Step, Taken, Trace};

/// A run made small.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What is left.
    pub trace: Trace,
    /// How many runs it took.
    pub tries: usize,
    /// How heavy the run was.
    pub from: usize,
}

impl Trace {
    /// How much there is to read: users' steps, and choices that are not calm.
    #[must_use]
    pub fn weight(&self) -> usize {
        let one =
            |taken: &Taken| usize::from(taken.step == Step::User) + taken.choices.iter().filter(|&&choice| choice != 0).count();
        self.taken.iter().map(one).sum()
    }
}

/// Makes a run that violates `id` as small as this time allows.
#[must_use]
pub fn shrink(trace: &Trace, id: &str, mutant: Option<Mutant>, time: Duration) -> Shrunk {
    let mut shrinker = Shrinker { best: trace.clone(), id, mutant, end: Instant::now() + time, tries: 0 };
    let from = trace.weight();
    loop {
        let before = measure(&shrinker.best);
        shrinker.world();
        shrinker.users();
        shrinker.calm();
        shrinker.numbers();
        if measure(&shrinker.best) == before || shrinker.is_late() {
            break;
        }
    }
    Shrunk { trace: shrinker.best, tries: shrinker.tries, from }
}

/// What has to become smaller: what there is to read, then steps, then the numbers themselves.
fn measure(trace: &Trace) -> (usize, usize, u128) {
    let sum = trace.taken.iter().flat_map(|taken| &taken.choices).map(|&choice| u128::from(choice)).sum();
    (trace.weight(), trace.taken.len(), sum)
}

struct Shrinker<'a> {
    best: Trace,
    id: &'a str,
    mutant: Option<Mutant>,
    end: Instant,
    tries: usize,
}

impl Shrinker<'_> {
    fn is_late(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Takes the candidate if it fails in the same way and what it really chose is smaller.
    fn take(&mut self, candidate: &Trace) -> bool {
        if self.is_late() {
            return false;
        }
        self.tries += 1;
        let (report, run) = record(Choices::played(candidate), candidate.seed, self.mutant);
        let fails = report.violation.is_some_and(|violation| violation.id == self.id);
        if fails && measure(&run) < measure(&self.best) {
            self.best = run;
            return true;
        }
        false
    }

    fn with(&self, at: usize, choices: Vec<u64>) -> Trace {
        let mut candidate = self.best.clone();
        candidate.taken[at].choices = choices;
        candidate
    }

    /// What is on in the world: everything that can be off is put off.
    fn world(&mut self) {
        let Some(at) = self.best.taken.iter().position(|taken| taken.step == Step::World) else { return };
        let mut i = 0;
        while let Some(&choice) = self.best.taken.get(at).and_then(|world| world.choices.get(i)) {
            if choice != 0 {
                let mut off = self.best.taken[at].choices.clone();
                off[i] = 0;
                self.take(&self.with(at, off));
            }
            i += 1;
        }
    }

    /// Runs of users' steps, long ones first: taken out.
    fn users(&mut self) {
        self.runs(
            |taken| taken.step == Step::User,
            |trace, run| {
                let mut place = 0;
                trace.taken.retain(|_| {
                    place += 1;
                    !run.contains(&(place - 1))
                });
            },
        );
    }

    /// Runs of other steps: calm.
    fn calm(&mut self) {
        let troubled = |taken: &Taken| taken.step != Step::World && taken.choices.iter().any(|&choice| choice != 0);
        self.runs(troubled, |trace, run| run.iter().for_each(|&at| trace.taken[at].choices.clear()));
    }

    /// Tries a change on runs of the steps that it is for: on half of them, on each half of what is left, and so on.
    fn runs(&mut self, which: impl Fn(&Taken) -> bool, change: impl Fn(&mut Trace, &[usize])) {
        let places = |trace: &Trace| -> Vec<usize> {
            let each = trace.taken.iter().enumerate();
            each.filter(|(_, taken)| which(taken)).map(|(at, _)| at).collect()
        };
        let mut size = places(&self.best).len();
        while size > 0 {
            let mut from = 0;
            while !self.is_late() {
                let all = places(&self.best);
                let Some(run) = all.get(from..(from + size).min(all.len())).filter(|run| !run.is_empty()) else { break };
                let mut candidate = self.best.clone();
                change(&mut candidate, run);
                if !self.take(&candidate) {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    /// Each number that is left: zero, one, half of it, one less.
    fn numbers(&mut self) {
        let mut at = 0;
        while at < self.best.taken.len() && !self.is_late() {
            let mut i = 0;
            while let Some(&choice) = self.best.taken.get(at).and_then(|taken| taken.choices.get(i)) {
                for smaller in [0, 1, choice / 2, choice.saturating_sub(1)] {
                    if smaller < choice {
                        let mut choices = self.best.taken[at].choices.clone();
                        choices[i] = smaller;
                        if self.take(&self.with(at, choices)) {
                            break;
                        }
                    }
                }
                i += 1;
            }
            at += 1;
        }
    }
}
