//! Bugs put back into the machine, one at a time: the simulator finds each, and shrinks what it has found.
//!
//! `cargo test -p tests --features mutants --test mutants` tries all of them; with `TURN=n` it is three, others for each number. Whatever
//! the turn, the small runs that are kept are played, and one run is shrunk.
#![allow(clippy::unwrap_used, reason = "a test stops at any failure")]
#![cfg(feature = "mutants")]

use std::time::{Duration, Instant};

use countersign::backend::EmbeddedBackend;
use countersign::{Reader, StorageMutant};
use tests::crash;
use tests::exhaustive::{WORLDS, explore};
use tests::sim;
use tests::todos::{LONG, filter, note, schema, settled, synced, todo};
use tests::world::{Choices, Mutant, Trace};

/// Within so many worlds each has to be found: as many as each change is tried with.
const SEEDS: u64 = 2_000;

/// How many are tried in each turn.
const IN_TURN: usize = 3;

/// Whose turn it is: nothing without `TURN`, or if it is `all`.
fn turn() -> Option<usize> {
    let turn = std::env::var("TURN").ok().filter(|text| text != "all");
    turn.map(|text| text.parse().unwrap_or_else(|_| panic!("TURN is a number or all, and not {text:?}")))
}

/// Those whose turn it is: machine and storage have one order. All of them where it is nobody's.
fn chosen() -> (Vec<Mutant>, Vec<StorageMutant>) {
    let all = Mutant::ALL.len() + StorageMutant::ALL.len();
    let turn = turn();
    let is_on = |place: usize| turn.is_none_or(|turn| (place + all - turn % all * IN_TURN % all) % all < IN_TURN);
    let machine = Mutant::ALL.into_iter().enumerate().filter(|&(place, _)| is_on(place));
    let storage = StorageMutant::ALL.into_iter().enumerate().filter(|&(place, _)| is_on(Mutant::ALL.len() + place));
    (machine.map(|(_, mutant)| mutant).collect(), storage.map(|(_, mutant)| mutant).collect())
}

/// The first world in which a bug shows.
fn first(mutant: Mutant) -> u64 {
    std::panic::set_hook(Box::new(|_| {}));
    let found = (0..SEEDS).find(|&seed| sim::run_with(seed, Some(mutant)).violation.is_some());
    let _ = std::panic::take_hook();
    found.unwrap_or_else(|| panic!("{mutant:?} survives {SEEDS} worlds"))
}

/// Of the first worlds in which a bug shows, the one in which the least happens.
fn smallest(mutant: Mutant) -> u64 {
    let weight = |seed| sim::record(Choices::new(seed), seed, Some(mutant)).1.weight();
    let first = first(mutant);
    std::panic::set_hook(Box::new(|_| {}));
    let shows = |&seed: &u64| sim::run_with(seed, Some(mutant)).violation.is_some();
    let found = (first..SEEDS).filter(shows).take(50).min_by_key(|&seed| weight(seed));
    let _ = std::panic::take_hook();
    found.unwrap_or(first)
}

#[test]
fn the_simulator_finds_every_bug_of_the_machine() {
    for mutant in chosen().0 {
        let began = Instant::now();
        let seed = first(mutant);
        let violation = sim::run_with(seed, Some(mutant)).violation.unwrap();
        let what: String = violation.what.lines().next().unwrap_or_default().chars().take(100).collect();
        println!("{mutant:?}: seed {seed}, {:.1} s, {}: {what}", began.elapsed().as_secs_f64(), violation.id);
    }
}

/// What is left of a run that fails still fails in the same way, and is small enough to be read.
///
/// With `KEEP=folder`, the small runs of all of them are put there, to be played for ever.
#[test]
fn a_failing_run_shrinks() {
    let keep = std::env::var_os("KEEP");
    let some = [Mutant::NoFence, Mutant::PushClientOnly, Mutant::IgnorePageSplit];
    let of_turn = turn().map(|turn| turn % some.len());
    let some = of_turn.map_or(&some[..], |turn| &some[turn..=turn]);
    for &mutant in if keep.is_some() { &Mutant::ALL[..] } else { some } {
        let seed = if keep.is_some() { smallest(mutant) } else { first(mutant) };
        let (report, trace) = sim::record(Choices::new(seed), seed, Some(mutant));
        let id = report.violation.unwrap().id;
        std::panic::set_hook(Box::new(|_| {}));
        let shrunk = sim::shrink(&trace, id, Some(mutant), Duration::from_secs(20));
        let _ = std::panic::take_hook();
        println!("{mutant:?}: from {} to {} choices in {} runs", shrunk.from, shrunk.trace.weight(), shrunk.tries);
        assert!(keep.is_some() || shrunk.trace.weight() * 5 <= shrunk.from, "{}", shrunk.trace);
        let read = Trace::read(shrunk.trace.to_string().as_bytes()).unwrap();
        assert_eq!(sim::play(&read, Some(mutant)).violation.map(|violation| violation.id), Some(id));
        assert_eq!(sim::play(&read, None).violation, None, "without the bug");
        let told = sim::tell(&read, Some(mutant), Some(usize::MAX));
        assert!(told.contains(" < prepare ") && told.contains(id), "{told}");
        if let Some(folder) = &keep {
            read.save(&std::path::Path::new(folder).join(format!("{mutant:?}.trace"))).unwrap();
        }
    }
}

/// The small runs that are kept show what they are kept for; if the worlds have changed so that they don't, `KEEP` makes them anew.
#[test]
fn what_is_kept_shows_its_bug() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for mutant in Mutant::ALL {
        let trace = Trace::load(&folder.join(format!("{mutant:?}.trace"))).unwrap_or_else(|error| panic!("{mutant:?}: {error}"));
        assert!(sim::play(&trace, Some(mutant)).violation.is_some(), "{mutant:?} does not show in its trace any more");
    }
}

/// Small worlds, too, are worth something only if a bug shows in them.
#[test]
fn every_interleaving_of_a_small_world_finds_what_depends_on_the_order() {
    for (mutant, world) in [(Mutant::NoFence, 3), (Mutant::ForgetUnknownOutcome, 7), (Mutant::IgnorePageSplit, 8)] {
        std::panic::set_hook(Box::new(|_| {}));
        let found = explore(&WORLDS[world], 3, Some(mutant));
        let _ = std::panic::take_hook();
        let (violation, transcript) = found.violation.as_ref().unwrap_or_else(|| panic!("{mutant:?} survives: {found}"));
        println!("{mutant:?}: {} after {} states", violation.id, found.states);
        assert!(transcript.contains("< prepare"), "{transcript}");
    }
}

/// The crash points of real files find what is wrong with transactions and syncs, a look at the state what is wrong with undo.
#[test]
fn real_files_show_every_bug_of_storage() {
    for mutant in chosen().1 {
        StorageMutant::put_back(Some(mutant));
        let found = match mutant {
            StorageMutant::SkipUndoOfOneTable => after_a_rebase(),
            _ => {
                let extent = crash::Extent { recoveries: (0, 0), errors: 0, ..crash::Extent::QUICK };
                crash::run(&crash::ALL.iter().take(4).collect::<Vec<_>>(), &extent, &|_| ()).1
            }
        };
        StorageMutant::put_back(None);
        let first = found.first().unwrap_or_else(|| panic!("{mutant:?} survives"));
        println!("{mutant:?}: {}", first.lines().next().unwrap_or_default());
    }
    assert_eq!(after_a_rebase(), Vec::<String>::new(), "without a bug");
}

/// What is wrong with a store that was rebased.
fn after_a_rebase() -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let backend = EmbeddedBackend::open(folder.path().join("backend.db")).unwrap();
    let other = synced(&folder.path().join("other.db"), &backend);
    let path = folder.path().join("rebased.db");
    backend.switch().off();
    let mine = EmbeddedBackend::open(folder.path().join("backend.db")).unwrap();
    mine.switch().off();
    let store = synced(&path, &mine);
    let receipt = store.commit((todo(1), note("mine"), filter("mine"))).unwrap();
    settled(&receipt.leader_sync).unwrap();
    backend.switch().on();
    settled(&other.commit((todo(2), note("theirs"))).unwrap().backend_sync).unwrap();
    mine.switch().on();
    store.tell(countersign::News::Online);
    // With a bug it may end in any way.
    let _ = receipt.backend_sync.wait_timeout(Duration::from_secs(5));
    let _ = store.close(LONG);
    Reader::open(&path).unwrap().check(&schema()).unwrap()
}
