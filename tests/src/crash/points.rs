//! Every moment of a scenario as a crash.

use std::collections::BTreeSet;

use countersign::{Durability, Stage};

use super::judge::{Case, Judged, judge};
use super::ledger::Ledger;
use super::rig::{Help, Rig};
use super::scenario::{Run, Scenario, Stop};
use super::{Count, Extent};
use crate::vfs::{Change, History, Image, Tear};

/// How a machine can stop.
#[derive(Clone, Copy, Debug)]
enum Crash {
    /// The process is killed: what it has written is seen, and what was on its way to the medium still is.
    Kill,
    /// The power fails.
    Power(Tear),
}

/// Crashes the scenario, and recoveries from crashes.
pub(super) fn run(scenario: &'static Scenario, extent: &Extent, count: &mut Count) -> Result<(), String> {
    let (history, ledger) = record(scenario).map_err(|stop| format!("{}: {}", scenario.name, told(stop)))?;
    let mut seen = Seen::default();
    let points = points(&history, extent.points, extent.seed);
    let crashes: Vec<(usize, Crash)> = points.iter().flat_map(|&at| crashes(at, extent).map(move |crash| (at, crash))).collect();
    count.points += points.len() as u64;
    let recoveries = recoveries(&history, &crashes, extent);
    for (number, &(at, crash)) in crashes.iter().enumerate() {
        let known = ledger.until(at);
        // Two that leave the same to be seen may differ in what a second crash can take.
        let is_crashed_again = recoveries.contains(&number);
        let seen = if is_crashed_again { &mut Seen::default() } else { &mut seen };
        let Some((case, judged)) = try_one(scenario, &history, (at, crash), known, false, seen, count)? else { continue };
        if !is_crashed_again {
            continue;
        }
        let mut seen = Seen::default();
        let mut agains = spread(judged.history.steps.len() + 1, extent.recoveries.1, extent.seed ^ number as u64);
        // As soon as something is promised again.
        agains.extend(judged.ledger.facts.values().map(|fact| fact.at).min());
        for again in agains {
            for second in crashes_of_recovery(again, extent) {
                let mut known = judged.ledger.until(again);
                // What the first crash may have taken counts only if it was found again.
                let stays = |stage| stage == Stage::Backend || !case.is_power_lost;
                let earlier = case.known.facts.iter().filter(|((_, stage), _)| stays(*stage));
                for (key, fact) in earlier {
                    // What the recovery has said holds over a kill.
                    let said = known.facts.entry(*key).or_insert_with(|| fact.clone());
                    if !matches!(second, Crash::Kill) {
                        *said = fact.clone();
                    }
                }
                count.double += 1;
                let second = (again, second);
                let tried = try_one(scenario, &judged.history, second, known, case.is_power_lost, &mut seen, count);
                let where_from =
                    |what| format!("{what}\n  in the recovery from {crash:?} at step {at}, {}", history.describe(at));
                tried.map_err(where_from)?;
            }
        }
    }
    Ok(())
}

/// The moments to crash at. Half of them, where not all are tried, come just before a sync, a truncation or a deletion: there what can be
/// lost and what is promised change.
fn points(history: &History, wanted: usize, seed: u64) -> BTreeSet<usize> {
    let total = history.steps.len() + 1;
    let borders: Vec<usize> = (0..total).filter(|&at| is_border(history, at)).collect();
    let chosen: BTreeSet<usize> = spread(borders.len(), wanted / 2, seed).into_iter().map(|n| borders[n]).collect();
    let rest = wanted - chosen.len().min(wanted);
    spread(total, rest, seed).into_iter().chain(chosen).collect()
}

/// The crashes whose recoveries are crashed in their turn: half of them leave something that is seen and not synced.
fn recoveries(history: &History, crashes: &[(usize, Crash)], extent: &Extent) -> BTreeSet<usize> {
    let is_unsynced = |&n: &usize| matches!(crashes[n], (at, Crash::Kill) if is_border(history, at));
    let unsynced: Vec<usize> = (0..crashes.len()).filter(is_unsynced).collect();
    let wanted = extent.recoveries.0;
    let chosen = spread(unsynced.len(), wanted / 2, extent.seed).into_iter().map(|n| unsynced[n]);
    spread(crashes.len(), wanted - wanted / 2, extent.seed).into_iter().chain(chosen).collect()
}

fn is_border(history: &History, at: usize) -> bool {
    history.steps.get(at).is_some_and(|step| !matches!(step.change, Change::Write { .. } | Change::Create))
}

/// What there is before a scenario, and what has been promised of it.
pub(super) fn before(scenario: &'static Scenario) -> Run<(Image, Ledger)> {
    let rig = Rig::new(scenario, Image::default(), Ledger::default(), Help::Patience)?;
    let stores = (scenario.setup)(&rig)?;
    rig.disk.look();
    let image = Image::of(rig.disk.root()).map_err(|error| Stop::Wrong(error.to_string()))?;
    let ledger = rig.ledger.lock().until(usize::MAX);
    drop(stores);
    rig.finish()?;
    Ok((image, ledger))
}

/// The scenario without trouble.
fn record(scenario: &'static Scenario) -> Run<(History, Ledger)> {
    let (image, ledger) = before(scenario)?;
    let rig = Rig::new(scenario, image, ledger, Help::Patience)?;
    (scenario.run)(&rig)?;
    rig.finish()?;
    let history = rig.disk.history();
    let ledger = rig.ledger.lock().clone();
    Ok((history, ledger))
}

/// Judges one crash, at a step, unless one that left the same was judged before. `was_set_back`: it comes on top of a loss of power.
fn try_one(
    scenario: &'static Scenario,
    history: &History,
    (at, crash): (usize, Crash),
    known: Ledger,
    was_set_back: bool,
    seen: &mut Seen,
    count: &mut Count,
) -> Result<Option<(Case, Judged)>, String> {
    let (image, is_power_lost) = match crash {
        Crash::Kill => (history.kill(at), false),
        Crash::Power(tear) => (history.power_loss(at, tear), scenario.durability == Durability::Process),
    };
    count.crashes += 1;
    if seen.is_known(&image, known.facts.len(), is_power_lost) {
        return Ok(None);
    }
    count.judged += 1;
    count.acknowledged += known.facts.len() as u64;
    let was_set_back = was_set_back || is_power_lost;
    let case = Case { scenario, image, known, is_power_lost, was_set_back, handed_back: Vec::new() };
    let judged = judge(&case).map_err(|what| {
        let step = history.describe(at);
        format!("{}: {crash:?} at step {at} of {}, {step}: {what}", scenario.name, history.steps.len())
    })?;
    Ok(Some((case, judged)))
}

/// What crashes of one history have left, as far as it was judged: between two syncs many leave the same.
#[derive(Default)]
struct Seen(BTreeSet<(u64, usize, bool)>);

impl Seen {
    /// Whether files that look like these, after as many promises, were judged as strictly; if not, they will be now.
    fn is_known(&mut self, image: &Image, promises: usize, is_power_lost: bool) -> bool {
        let sum = image.sum();
        let is_judged = |lenient| self.0.contains(&(sum, promises, lenient));
        let is_known = is_judged(false) || is_power_lost && is_judged(true);
        if !is_known {
            self.0.insert((sum, promises, is_power_lost));
        }
        is_known
    }
}

/// The crashes that are tried at a point: the strictest first.
fn crashes(at: usize, extent: &Extent) -> impl Iterator<Item = Crash> + use<> {
    let tears = tears(at, extent.seed);
    let turn = 1 + at % (tears.len() - 1);
    let every = extent.every_tear;
    let chosen = tears.into_iter().enumerate().filter(move |(n, _)| every || *n == 0 || *n == turn);
    std::iter::once(Crash::Kill).chain(chosen.map(|(_, tear)| Crash::Power(tear)))
}

/// In a recovery that follows a kill, what the first process has written may still be lost: that comes first.
fn crashes_of_recovery(at: usize, extent: &Extent) -> impl Iterator<Item = Crash> + use<> {
    let dropped = std::iter::once(Crash::Power(Tear::Dropped));
    dropped.chain(crashes(at, extent).filter(|crash| !matches!(crash, Crash::Power(Tear::Dropped))))
}

fn tears(at: usize, seed: u64) -> [Tear; 4] {
    let seed = seed.wrapping_mul(1_000_003).wrapping_add(at as u64);
    [Tear::Dropped, Tear::Torn(512, seed), Tear::Torn(4_096, seed), Tear::Subset(seed)]
}

/// So many of `total` numbers, evenly spread, from somewhere in the first gap; all of them, if there are no more.
pub(super) fn spread(total: usize, wanted: usize, seed: u64) -> Vec<usize> {
    if total <= wanted {
        return (0..total).collect();
    }
    let first = usize::try_from(seed).unwrap_or(0) % (total / wanted.max(1));
    (0..wanted).map(|n| n * total / wanted + first).filter(|&n| n < total).collect()
}

pub(super) fn told(stop: Stop) -> String {
    match stop {
        Stop::Wrong(what) => what,
        Stop::DiskFails => "the disk fails, and should not".to_owned(),
    }
}
