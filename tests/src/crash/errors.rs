//! Every call of a scenario as one that fails: once, for a while, for want of room, for ever.

use std::collections::BTreeSet;

use countersign::{CloseReport, Stage};

use super::judge::{Case, judge};
use super::ledger::Ledger;
use super::points::{before, spread, told};
use super::rig::{Help, Rig};
use super::scenario::{Run, Scenario, Stop};
use super::{Count, Extent};
use crate::vfs::{Fault, Image, Lasting, Trouble};

/// What fails, for how long, and what somebody does about it.
const KINDS: [(Trouble, Lasting, Help); 4] = [
    (Trouble::Io, Lasting::Times(1), Help::Patience),
    (Trouble::Io, Lasting::Times(6), Help::Patience),
    (Trouble::Full, Lasting::UntilHealed, Help::Mend),
    (Trouble::Io, Lasting::UntilHealed, Help::Despair),
];

/// Meets each error where it can be met.
pub(super) fn run(scenario: &'static Scenario, extent: &Extent, count: &mut Count) -> Result<(), String> {
    let at = |what: &str, stop| format!("{}: {what}: {}", scenario.name, told(stop));
    let (image, ledger) = before(scenario).map_err(|stop| at("before it", stop))?;
    for (trouble, lasting, help) in KINDS {
        let none = Fault { at: u64::MAX, trouble, lasting };
        let Attempt { calls, refused: expected, .. } =
            attempt(scenario, &image, &ledger, none, help).map_err(|stop| at("without errors", stop))?;
        count.calls += calls;
        let calls = usize::try_from(calls).unwrap_or(usize::MAX);
        // What lasts for a while is like what is met once, or like what stays.
        let few = if lasting == Lasting::Times(6) { extent.out_of_turn.1 } else { usize::MAX };
        for call in spread(calls, extent.errors.min(few), extent.seed) {
            let fault = Fault { at: call as u64, trouble, lasting };
            let tried = attempt(scenario, &image, &ledger, fault, help).and_then(|attempt| {
                count.errors += u64::from(attempt.failed);
                attempt.judge(scenario, help, expected, count)
            });
            tried.map_err(|stop| at(&format!("{trouble:?} at call {call} of {calls}, {lasting:?}, {help:?}"), stop))?;
        }
    }
    Ok(())
}

/// A run in which something failed.
struct Attempt {
    calls: u64,
    failed: bool,
    /// How many stages have failed.
    refused: usize,
    known: Ledger,
    image: Image,
    reports: Vec<CloseReport>,
}

fn attempt(scenario: &'static Scenario, image: &Image, ledger: &Ledger, fault: Fault, help: Help) -> Run<Attempt> {
    let rig = Rig::new(scenario, image.clone(), ledger.clone(), help)?;
    rig.disk.fail(fault);
    let ran = (scenario.run)(&rig);
    if let Err(Stop::Wrong(what)) = ran {
        return Err(Stop::Wrong(what));
    }
    let reports = rig.finish()?;
    let (calls, failed) = (rig.disk.calls(), rig.disk.failed() > 0);
    rig.disk.heal();
    let image = Image::of(rig.disk.root()).map_err(|error| Stop::Wrong(error.to_string()))?;
    let known = rig.ledger.lock().until(usize::MAX);
    let refused = known.facts.values().filter(|fact| fact.outcome.is_err()).count();
    Ok(Attempt { calls, failed, refused, known, image, reports })
}

impl Attempt {
    fn judge(self, scenario: &'static Scenario, help: Help, expected: usize, count: &mut Count) -> Run {
        if help != Help::Despair && self.refused != expected {
            let failed: Vec<_> = self.known.facts.iter().filter(|(_, fact)| fact.outcome.is_err()).collect();
            return Err(Stop::Wrong(format!("{expected} stages were to fail, and these have (R5): {failed:?}")));
        }
        let handed_back: Vec<_> = self.reports.iter().flat_map(|report| &report.unpersisted).map(|(id, _)| *id).collect();
        let uncertain = self.reports.iter().flat_map(|report| &report.uncertain).map(|(id, _)| *id);
        let told: BTreeSet<_> = handed_back.iter().copied().chain(uncertain).collect();
        for (id, &events) in &self.known.commits {
            // Of a commit without events there is nothing to hand back.
            if events > 0 && !told.contains(id) && !self.known.facts.contains_key(&(*id, Stage::Leader)) {
                return Err(Stop::Wrong(format!("{id} is neither stored nor handed back (L4)")));
            }
        }
        count.acknowledged += self.known.facts.len() as u64;
        let case =
            Case { scenario, image: self.image, known: self.known, is_power_lost: false, was_set_back: false, handed_back };
        judge(&case).map(drop).map_err(Stop::Wrong)
    }
}
