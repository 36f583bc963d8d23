//! What has to hold of the files that a crash has left.

use std::collections::{BTreeMap, BTreeSet};

use countersign::core::Pos;
use countersign::{CommitId, Outcome, Reader, Settled, Stage, Store, SyncError};

use super::ledger::Ledger;
use super::rig::{Help, Rig, STORE, wrong};
use super::scenario::{Run, Scenario, Stop};
use super::scenarios::noted;
use crate::vfs::{History, Image};

/// What is said of a commit that was taken out of the queue, which a file that was set back does not know any more.
const OVERTAKEN: &str = "the backend has a later commit of its session";

/// The files, and what had been said by then.
pub(super) struct Case {
    pub(super) scenario: &'static Scenario,
    pub(super) image: Image,
    pub(super) known: Ledger,
    /// Whether what was stored without being synced may be gone.
    pub(super) is_power_lost: bool,
    /// Whether that, or a crash that it is the recovery from, may have taken what was promised of the backend before.
    pub(super) was_set_back: bool,
    /// Commits that the application was given back.
    pub(super) handed_back: Vec<CommitId>,
}

/// What was done to find out, so that it can be crashed in its turn.
pub(super) struct Judged {
    pub(super) history: History,
    pub(super) ledger: Ledger,
}

/// Opens the store, and looks.
pub(super) fn judge(case: &Case) -> Result<Judged, String> {
    let attempt = || -> Run<Judged> {
        let Case { scenario, image, known, .. } = case;
        let rig = Rig::new(scenario, image.clone(), known.unheard(), Help::Patience)?;
        if image.has(STORE) && (scenario.durability == countersign::Durability::Power || !known.facts.is_empty()) {
            check_as_left(&rig, case)?;
        }
        let store = rig.open()?;
        let found = find_again(case, &rig, &store)?;
        if scenario.forgets {
            // What is committed before the store has met the other backend goes with the old history.
            rig.sync(&store)?;
        }
        let fresh = rig.commit(&store, vec![noted("after the crash")])?;
        rig.sync(&store)?;
        settle_as_before(case, &rig, &found, fresh)?;
        drop(store);
        let backend_log = if scenario.has_backend { Some(rig.backend()?.log().map_err(wrong)?) } else { None };
        rig.finish()?;
        let mut reader = Reader::open(&rig.path(STORE)).map_err(wrong)?;
        rig.check(&mut reader)?;
        whole(case, &mut reader)?;
        if let Some(log) = backend_log {
            once_in_backend(case, &mut reader, &log, fresh)?;
        }
        drop(reader);
        let ledger = rig.ledger.lock().clone();
        Ok(Judged { history: rig.disk.history(), ledger })
    };
    attempt().map_err(|stop| match stop {
        Stop::Wrong(what) => what,
        Stop::DiskFails => "the disk fails though it should not".to_owned(),
    })
}

/// As the crash has left it, opened by nobody yet. While the file is being made a reader may find nothing to read; nor need there be
/// anything where all may be lost that was not synced.
fn check_as_left(rig: &Rig, case: &Case) -> Run {
    let mut reader = match Reader::open(&rig.path(STORE)) {
        Ok(reader) => reader,
        Err(_) if case.known.facts.is_empty() || case.is_power_lost => return Ok(()),
        Err(error) => return Err(wrong(error)),
    };
    if reader.status().map_err(wrong)?.schema_version.is_none() {
        // Its first opening was cut short: there are no state tables yet.
        return Ok(());
    }
    rig.check(&mut reader)
}

/// What was acknowledged is there, and its receipts say what they said. Answers the commits that are known.
fn find_again(case: &Case, rig: &Rig, store: &Store) -> Run<BTreeSet<CommitId>> {
    let mut found = BTreeSet::new();
    for &id in case.known.commits.keys() {
        let receipt = store.receipt(id).map_err(wrong)?;
        let leader = case.known.facts.get(&(id, Stage::Leader));
        let Some(receipt) = receipt else {
            if leader.is_some() && !case.scenario.forgets && !case.is_power_lost {
                return Err(Stop::Wrong(format!(
                    "{id} is lost: its leader stage was {:?} (R3)",
                    leader.map(|fact| &fact.outcome)
                )));
            }
            continue;
        };
        if case.handed_back.contains(&id) {
            return Err(Stop::Wrong(format!("{id} was handed back by close, and is stored all the same (L4)")));
        }
        if let Some(fact) = leader
            && receipt.leader_sync.peek().as_ref() != Some(&fact.outcome)
        {
            let now = receipt.leader_sync.peek();
            return Err(Stop::Wrong(format!(
                "{id}: the leader stage was {:?}, and is {now:?} after the crash (R1)",
                fact.outcome
            )));
        }
        found.insert(id);
        rig.ledger.lock().found(receipt);
    }
    Ok(found)
}

/// Every receipt that was found has settled, those that had before as they had.
fn settle_as_before(case: &Case, rig: &Rig, found: &BTreeSet<CommitId>, fresh: CommitId) -> Run {
    rig.disk.look();
    let ledger = rig.ledger.lock();
    for &id in found.iter().chain([&fresh]) {
        for stage in [Stage::Leader, Stage::Backend] {
            let Some(after) = ledger.facts.get(&(id, stage)) else {
                return Err(Stop::Wrong(format!("{id}: the {stage:?} stage does not settle (V1)")));
            };
            if let Some(before) = case.known.facts.get(&(id, stage))
                && !same(case, &before.outcome, &after.outcome)
            {
                let (before, after) = (before.outcome.clone(), after.outcome.clone());
                drop(ledger);
                let log = told_backend(case, rig)?;
                return Err(Stop::Wrong(format!(
                    "{id}: the {stage:?} stage was {before:?}, and is {after:?} after the crash (R1){log}"
                )));
            }
        }
    }
    if let Some(fact) = ledger.facts.get(&(fresh, Stage::Backend))
        && fact.outcome.is_err()
    {
        return Err(Stop::Wrong(format!("a commit after the crash fails: {:?} (V3)", fact.outcome)));
    }
    Ok(())
}

/// The backend's log, to see what has become of it.
fn told_backend(case: &Case, rig: &Rig) -> Run<String> {
    if !case.scenario.has_backend {
        return Ok(String::new());
    }
    let log = rig.backend()?.log().map_err(wrong)?;
    let line = |event: &countersign::core::PulledEvent| {
        let commit = event.ids.map_or(0, |ids| ids.commit);
        format!("\n  e{}: {}-{commit} {} {:.60}", event.seq, event.session, event.event.name, event.event.args)
    };
    Ok(log.iter().map(line).collect())
}

fn same(case: &Case, before: &Outcome, after: &Outcome) -> bool {
    match (before, after) {
        (Ok(Settled::NotApplicable), Ok(_)) if case.scenario.attaches => true,
        // That it was confirmed is lost, and the backend that did has forgotten it.
        (Ok(Settled::Confirmed(_)), Err(SyncError::InvalidPush { .. })) if case.scenario.forgets && case.was_set_back => true,
        // Why it had been taken out of the queue is lost, and what came behind it shows that it had been.
        (Err(_), Err(SyncError::Withdrawn { cause: Some(cause), .. })) if case.was_set_back => cause.contains(OVERTAKEN),
        // How often it was renumbered is not remembered to the last.
        (Ok(Settled::Confirmed(before)), Ok(Settled::Confirmed(after))) => before.positions == after.positions,
        (before, after) => before == after,
    }
}

/// Each commit is in the log or in quarantine, all of it, or nowhere.
fn whole(case: &Case, reader: &mut Reader) -> Run {
    let mut there: BTreeMap<CommitId, usize> = BTreeMap::new();
    for row in reader.log(Pos::ROOT, 1 << 20).map_err(wrong)? {
        if let Some(id) = row.entry.commit_id() {
            *there.entry(id).or_default() += 1;
        }
    }
    let mut split = BTreeSet::new();
    for row in reader.quarantine().map_err(wrong)? {
        let quarantined = row.quarantined;
        *there.entry(quarantined.commit).or_default() += quarantined.events.len();
        // Of a commit that went in several pushes, what the other backend had accepted has gone with its history.
        if case.scenario.forgets && matches!(quarantined.error, SyncError::InvalidPush { .. }) {
            split.insert(quarantined.commit);
        }
    }
    for (id, &events) in &case.known.commits {
        let count = there.get(id).copied().unwrap_or(0);
        if count != 0 && count != events && !(count < events && split.contains(id)) {
            return Err(Stop::Wrong(format!("{id} is half there: {count} of {events} events (S2)")));
        }
    }
    Ok(())
}

/// What the backend has acknowledged stands in its log once, in order; and the store's log is the backend's.
fn once_in_backend(case: &Case, reader: &mut Reader, log: &[countersign::core::PulledEvent], fresh: CommitId) -> Run {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut commits: BTreeSet<String> = BTreeSet::new();
    for event in log {
        let Some(ids) = event.ids else { return Err(Stop::Wrong(format!("e{} has no identity", event.seq))) };
        if last.insert(&event.session, ids.ordinal).is_some_and(|before| before >= ids.ordinal) {
            return Err(Stop::Wrong(format!("e{} is a double, or out of order: {event:?} (L6)", event.seq)));
        }
        commits.insert(format!("{}-{}", event.session, ids.commit));
    }
    let confirmed = |outcome: &Outcome| matches!(outcome, Ok(Settled::Confirmed(_)));
    let said = case.known.facts.iter().filter(|((_, stage), _)| *stage == Stage::Backend);
    for ((id, _), fact) in said {
        let is_there = commits.contains(&id.to_string());
        if confirmed(&fact.outcome) && !is_there && !case.scenario.forgets {
            return Err(Stop::Wrong(format!("{id} was confirmed, and is not in the backend's log (R4)")));
        }
        let never = matches!(&fact.outcome, Err(error) if error.certainty() == countersign::Certainty::NotApplied);
        if never && is_there {
            return Err(Stop::Wrong(format!("{id} was said never to reach the backend, and is in its log (R6)")));
        }
    }
    if !commits.contains(&fresh.to_string()) {
        return Err(Stop::Wrong(format!("{fresh} is not in the backend's log (V3)")));
    }
    let rows = reader.log(Pos::ROOT, 1 << 20).map_err(wrong)?;
    let ours: Vec<_> =
        rows.iter().map(|row| &row.entry.event).filter(|event| !event.client_only).map(|event| &event.args).collect();
    let theirs: Vec<_> = log.iter().map(|event| &event.event.args).collect();
    if ours != theirs {
        return Err(Stop::Wrong(format!("the store's log is not the backend's (S4):\n{ours:?}\n{theirs:?}")));
    }
    Ok(())
}
