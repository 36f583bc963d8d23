//! Every interleaving of small worlds over the real machines: all orders in which lanes answer, messages arrive, users act and
//! things go wrong, each state once.
//!
//! A step is something that a user does or that goes wrong; what machines, disks and networks do in between is not counted, and
//! is gone through completely. Everything that holds in a simulated world is checked after every move, and from every state in which
//! nothing is left to happen the world has to come to rest. Two states are the same if they differ in nothing that can be told
//! apart from inside: names of effects, and what time it is, are left out.

mod canonical;
mod moves;
mod worlds;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub use worlds::{Small, WORLDS};

use crate::world::{Mutant, Violation, World};
use moves::{Move, Progress};

/// How many steps each change is tried with.
pub const STEPS: u32 = 6;

/// What was found in a small world.
#[derive(Clone, Debug)]
pub struct Found {
    /// What it is about.
    pub about: &'static str,
    /// The most steps that were taken on one path.
    pub steps: u32,
    /// States, each counted once.
    pub states: usize,
    /// Moves from one to another.
    pub moves: usize,
    /// States in which nothing was left to happen.
    pub rests: usize,
    /// How long it took.
    pub took: Duration,
    /// What does not hold, with the way there.
    pub violation: Option<(Violation, String)>,
}

/// One way through a world, told backwards.
#[derive(Debug)]
struct Path {
    last: Move,
    before: Option<Arc<Path>>,
}

struct State {
    world: World,
    progress: Progress,
    path: Option<Arc<Path>>,
}

/// Goes through every interleaving with at most so many steps, or up to the first thing that does not hold.
#[must_use]
pub fn explore(small: &Small, steps: u32, mutant: Option<Mutant>) -> Found {
    let began = Instant::now();
    let mut found = Found { about: small.about, steps, states: 0, moves: 0, rests: 0, took: Duration::ZERO, violation: None };
    let mut seen: BTreeSet<u128> = BTreeSet::new();
    let mut stack = match begin(small, mutant) {
        Ok(world) => vec![State { world, progress: Progress::new(small, steps), path: None }],
        Err(violation) => {
            found.violation = Some((violation, String::new()));
            Vec::new()
        }
    };
    while let Some(state) = stack.pop() {
        found.states += 1;
        let next = state.progress.moves(small, &state.world);
        if next.iter().all(|step| matches!(step, Move::User { .. })) {
            found.rests += 1;
            if let Err(violation) = state.world.clone().liveness() {
                found.violation = Some((violation, tell(small, mutant, state.path.as_deref(), true)));
                break;
            }
        }
        let mut failed = None;
        for step in next {
            let mut forms = vec![step];
            while let Some(step) = forms.pop() {
                let (mut world, mut progress) = (state.world.clone(), state.progress.clone());
                found.moves += 1;
                let outcome = progress.take(small, &mut world, &step);
                forms.extend(progress.variants(&step, &world));
                let path = Some(Arc::new(Path { last: step, before: state.path.clone() }));
                match outcome {
                    Err(violation) => failed = Some((violation, path)),
                    Ok(()) if seen.insert(canonical::hash(&world, &progress)) => stack.push(State { world, progress, path }),
                    Ok(()) => {}
                }
            }
        }
        if let Some((violation, path)) = failed {
            found.violation = Some((violation, tell(small, mutant, path.as_deref(), false)));
            break;
        }
    }
    found.took = began.elapsed();
    found
}

/// Explores every small world, some at a time, and tells each as soon as it is done. Stops early if the answer is no.
pub fn explore_all(steps: u32, jobs: usize, tell: impl Fn(Found) -> bool + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(small) = WORLDS.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !tell(explore(small, steps, None)) {
                next.store(WORLDS.len(), Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
}

fn begin(small: &Small, mutant: Option<Mutant>) -> Result<World, Violation> {
    let mut world = World::small(small.swarm()).with_mutant(mutant);
    world.start()?;
    settle(&mut world)?;
    Ok(world)
}

/// Everything starts, and asks the backend what it has: what follows begins at rest.
fn settle(world: &mut World) -> Result<(), Violation> {
    while let Some(event) = world.next() {
        world.dispatch(event)?;
    }
    Ok(())
}

/// The transcript of one way through a world.
fn tell(small: &Small, mutant: Option<Mutant>, path: Option<&Path>, to_rest: bool) -> String {
    let mut steps = Vec::new();
    let mut at = path;
    while let Some(path) = at {
        steps.push(&path.last);
        at = path.before.as_deref();
    }
    let mut world = World::small(small.swarm()).with_transcript().with_mutant(mutant);
    let mut progress = Progress::new(small, u32::MAX);
    let mut outcome = world.start().and_then(|()| settle(&mut world));
    for step in steps.iter().rev() {
        outcome = outcome.and_then(|()| progress.take(small, &mut world, step));
    }
    if to_rest {
        // What it comes to is known: this is for its transcript.
        let _ = outcome.and_then(|()| world.liveness());
    }
    world.transcript(usize::MAX).join("\n")
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { about, steps, states, moves, rests, took, violation } = self;
        if let Some((violation, transcript)) = violation {
            writeln!(f, "{transcript}\n\n{violation}")?;
        }
        write!(
            f,
            "{states:>9} states, {moves:>9} moves, {rests:>6} at rest, {steps} steps, {:>6.1} s: {about}",
            took.as_secs_f64()
        )
    }
}
