//! Scenes are told the same by the simulated world and by real stores, on both drivers.
//!
//! `SCENES=n` plays as many, `SCENE=n` only that one.

use tests::driver::Driver;
use tests::scene::{Deed, Scene};

const SCENES: u64 = 25;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} has to be a number, and is {text:?}")))
}

fn is_told_the_same(name: &str, scene: &Scene) -> Vec<String> {
    let simulated = scene.simulated().unwrap_or_else(|violation| panic!("{name}: {violation}\n{scene}"));
    for driver in Driver::ALL {
        let real = scene.real(driver);
        assert_eq!(real, simulated, "{name}, {driver:?}: real on the left, simulated on the right\n{scene}");
    }
    simulated
}

// Verifies: R1, R2, R4, R8, L4, S1, S4, D1 (the simulated world is like the real one)
#[test]
fn scenes_are_told_the_same_by_the_simulated_world_and_by_real_stores() {
    let seeds = match number("SCENE") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SCENES").unwrap_or(SCENES),
    };
    let all = seeds.end - seeds.start >= SCENES;
    let mut told = Vec::new();
    for seed in seeds {
        told.extend(is_told_the_same(&format!("scene {seed}"), &Scene::of_seed(seed)));
    }
    if all {
        // What no scene shows is not compared.
        for what in ["never", "not applicable", "leader failed", "backend failed", "at [", "without effect"] {
            assert!(told.iter().any(|line| line.contains(what)), "no scene tells of `{what}`");
        }
    }
}

/// The golden traces, as far as they are about what users see: T1, T2, T5, T6, T7 and T10.
// Verifies: R1, R2, R4, R8, L6 (golden traces on real stores)
#[test]
fn golden_traces_are_told_the_same() {
    let event = |name: &str, k: u64| {
        let args = format!("{{\"k\":{k},\"v\":1}}").into();
        vec![countersign_core::Event { name: name.into(), args, client_only: name.starts_with("ui.") }]
    };
    let append = |k| event("v1.Append", k);
    let scenes: [(&str, usize, Vec<Deed>); 6] = [
        ("T1 happy", 1, vec![Deed::Commit(0, append(1))]),
        ("T2 renumbered", 2, vec![Deed::Offline(0), Deed::Commit(0, append(1)), Deed::Commit(1, append(1))]),
        ("T5 lost acknowledgement", 2, vec![Deed::ReplyLost(0, append(1)), Deed::Commit(1, append(1))]),
        (
            "T6 restarted before it was pushed",
            1,
            vec![Deed::Offline(0), Deed::Commit(0, append(1)), Deed::Restart(0), Deed::Commit(0, append(2)), Deed::Online(0)],
        ),
        ("T7 client-only", 1, vec![Deed::Commit(0, event("ui.Set", 1))]),
        (
            "T10 poisoned by what others did",
            2,
            vec![
                Deed::Offline(0),
                Deed::Commit(0, append(1)),
                Deed::Commit(0, event("v1.Insert", 2)),
                Deed::Commit(0, append(3)),
                Deed::Commit(1, event("v1.Insert", 2)),
                Deed::Online(0),
            ],
        ),
    ];
    for (name, clients, deeds) in scenes {
        is_told_the_same(name, &Scene { clients, deeds });
    }
}
