//! Scenarios that are drawn: what a store does in them, in which order and how much of it, is a matter of a seed.

use std::sync::{LazyLock, Mutex, PoisonError};

use countersign::core::Config;
use countersign::{Durability, Store};

use super::drawing::Draw;
use super::played::Played;
use super::rig::Rig;
use super::scenario::{Run, Scenario};
use super::scenarios::{contradicted, local, made, overtaken, running, used};

/// So many are tried in a night, beside those that are written out.
pub(super) const DRAWN: u64 = 40;

/// What a store lives through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It has a backend.
    Synced,
    /// It has none.
    Local,
    /// It gets one.
    Attached,
    /// Its backend forgets.
    Reset,
}

/// Something that a store does, and others do to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// It commits.
    Plain,
    /// While a transaction is on its way to the disk, it commits.
    Gathered,
    /// It commits while its backend is not reached.
    Offline,
    /// Its replies get lost, its pushes don't arrive.
    Lossy,
    /// The backend refuses one of its commits for ever.
    Refused,
    /// It takes one of its commits back.
    Withdrawn,
    /// Another client is faster.
    Overtaken,
    /// Another client is faster, and has made one of its commits impossible.
    Poisoned,
    /// A commit is under a guard that another client has made untrue.
    Guarded,
    /// The backend begins a new history.
    Reset,
    /// It is closed and opened again.
    Reopened,
    /// The same, under the next schema.
    Rebuilt,
    /// It gets a backend.
    Attached,
    /// A second session comes, or goes.
    Session,
    /// Somebody decides what becomes of the commits that have failed.
    Decided,
    /// SQLite moves its log into the database.
    Checkpoint,
}

/// The scenario of this seed.
#[must_use]
pub fn drawn(seed: u64) -> &'static Scenario {
    static MADE: Mutex<Vec<&'static Scenario>> = Mutex::new(Vec::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(scenario) = made.iter().find(|scenario| scenario.seed == seed) {
        return scenario;
    }
    let scenario = Box::leak(Box::new(scenario(seed)));
    made.push(scenario);
    scenario
}

/// Those of a night.
pub static OF_A_NIGHT: LazyLock<Vec<&'static Scenario>> = LazyLock::new(|| (1..=DRAWN).map(drawn).collect());

fn scenario(seed: u64) -> Scenario {
    let life = life(seed);
    let durability = if Draw::of(seed, "durability").one_in(3) { Durability::Process } else { Durability::Power };
    Scenario {
        durability,
        has_backend: life != Life::Local,
        schemas: if blocks(seed).contains(&Block::Rebuilt) { &[1, 2] } else { &[1] },
        forgets: life == Life::Reset,
        attaches: life == Life::Attached,
        seed,
        configure,
        setup,
        ..Scenario::new(Box::leak(format!("drawn {seed}").into_boxed_str()), |rig| Played::run(rig))
    }
}

/// Every kind in turn: half of them are synced.
pub(super) fn life(seed: u64) -> Life {
    match seed % 8 {
        1 => Life::Local,
        3 => Life::Attached,
        5 => Life::Reset,
        _ => Life::Synced,
    }
}

/// What happens, in order.
pub(super) fn blocks(seed: u64) -> Vec<Block> {
    use Block::{
        Attached, Checkpoint, Decided, Gathered, Guarded, Lossy, Offline, Overtaken, Plain, Poisoned, Rebuilt, Refused, Reopened,
        Reset, Session, Withdrawn,
    };
    let alone = [Plain, Gathered, Reopened, Session, Checkpoint];
    let with_backend = [Offline, Lossy, Refused, Withdrawn, Decided];
    let with_others = [Overtaken, Poisoned, Guarded];
    let mut draw = Draw::of(seed, "blocks");
    let life = life(seed);
    let mut blocks = Vec::new();
    for _ in 0..3 + draw.below(3) {
        let with_backend_now = match life {
            Life::Synced | Life::Reset => true,
            Life::Local => false,
            Life::Attached => blocks.contains(&Attached),
        };
        // Another client would have to be told of a reset too.
        let with_others_now = with_backend_now && life != Life::Reset;
        blocks.push(match draw.below(3) {
            0 if with_others_now => *draw.pick(&with_others),
            0 | 1 if with_backend_now => *draw.pick(&with_backend),
            _ => *draw.pick(&alone),
        });
        let is_due = blocks.len() >= 2 && draw.one_in(2);
        match life {
            Life::Attached if is_due && !blocks.contains(&Attached) => blocks.push(Attached),
            Life::Reset if is_due && !blocks.contains(&Reset) => blocks.push(Reset),
            _ => {}
        }
    }
    match life {
        Life::Attached if !blocks.contains(&Attached) => blocks.push(Attached),
        Life::Reset if !blocks.contains(&Reset) => blocks.push(Reset),
        _ => {}
    }
    if draw.one_in(4) {
        let at = draw.below(blocks.len() + 1);
        blocks.insert(at, Rebuilt);
    }
    // What has failed waits for somebody.
    if blocks.iter().any(|block| matches!(block, Refused | Withdrawn | Poisoned | Guarded)) && !blocks.contains(&Decided) {
        blocks.push(Decided);
    }
    blocks
}

/// The identity policy is the life's; how much goes into a push, and behind how much a session is seeded anew, differs.
fn configure(seed: u64, config: Config) -> Config {
    let mut draw = Draw::of(seed, "config");
    let config = Config {
        push_events: *draw.pick(&[3, 20, 100]),
        session_backlog: *draw.pick(&[2, 10, config.session_backlog]),
        ..config
    };
    match life(seed) {
        Life::Reset => Config { identity: countersign::IdentityPolicy::Reset, ..config },
        _ => config,
    }
}

fn setup(rig: &Rig) -> Run<Vec<Store>> {
    let seed = rig.scenario.seed;
    let of_its_own: fn(&Rig) -> Run<Vec<Store>> = match life(seed) {
        // What there is before is under the first schema.
        Life::Local | Life::Attached if rig.scenario.schemas.len() > 1 => |_| Ok(Vec::new()),
        Life::Local => *Draw::of(seed, "setup").pick(&[made, local]),
        Life::Attached => local,
        Life::Synced | Life::Reset if rig.scenario.schemas.len() > 1 => used,
        Life::Reset => *Draw::of(seed, "setup").pick(&[made, used]),
        Life::Synced => *Draw::of(seed, "setup").pick(&[made, used, running, overtaken, contradicted]),
    };
    of_its_own(rig)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_night_draws_everything_and_no_two_the_same() {
        let seeds = 1..=DRAWN;
        let drawn: BTreeSet<String> = seeds.clone().map(|seed| format!("{:?} {:?}", life(seed), blocks(seed))).collect();
        assert!(drawn.len() as u64 >= DRAWN - 2, "{} different ones", drawn.len());
        let all: BTreeSet<String> = seeds.flat_map(blocks).map(|block| format!("{block:?}")).collect();
        assert_eq!(all.len(), 16, "{all:?}");
    }
}
