//! Scenes are told the same by the simulated world and by real stores, on both drivers.
//!
//! `SCENES=n` plays as many that nobody wrote, `SCENE=n` only that one; `ROUNDS=n` plays those with a name so often.

use tests::driver::Driver;
use tests::scene::{NAMED, Scene};

const SCENES: u64 = 60;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} has to be a number, and is {text:?}")))
}

fn is_told_the_same(name: &str, scene: &Scene) -> Vec<String> {
    let simulated = scene.simulated().unwrap_or_else(|violation| panic!("{name}: {violation}\n{scene}"));
    for driver in Driver::ALL {
        let real = scene.real(driver).unwrap_or_else(|violation| panic!("{name}, {driver:?}: {violation}\n{scene}"));
        if real != simulated {
            let first = real.iter().zip(&simulated).position(|(a, b)| a != b).unwrap_or(real.len().min(simulated.len()));
            let line = |told: &[String]| told.get(first).cloned().unwrap_or_default();
            panic!(
                "{name}: {driver:?} tells it otherwise from line {} on:\n{driver:?}: {}\nsimulated: {}\n\nAll of {driver:?}:\n{}",
                first + 1,
                line(&real),
                line(&simulated),
                real.join("\n")
            );
        }
    }
    simulated
}

/// Long logs are compared in full, and kept by their ends.
fn short(told: &[String]) -> Vec<String> {
    let is_entry = |line: &str| line.split(' ').nth(1).is_some_and(|place| place.len() > 1 && place.starts_with('e'));
    let runs = told.chunk_by(|a, b| is_entry(a) && is_entry(b) && a[..1] == b[..1]);
    let shortened = runs.flat_map(|run| match run {
        [first, .., last] if run.len() > 20 => vec![first.clone(), format!("  ... {} more", run.len() - 2), last.clone()],
        all => all.to_vec(),
    });
    shortened.map(|line| line.chars().take(200).collect()).collect()
}

// Verifies: R1, R2, R4, R6, R8, L4, L6, L7, L8, S1, S4, S5 (what users see, kept as a transcript)
#[test]
fn scenes_with_a_name_are_told_the_same_by_the_simulated_world_and_by_real_stores() {
    for round in 0..number("ROUNDS").unwrap_or(1) {
        for (name, scene) in NAMED {
            let scene = scene();
            let told = is_told_the_same(name, &scene);
            if round == 0 {
                insta::assert_snapshot!(name, short(&told).join("\n"));
            }
        }
    }
}

// Verifies: R1, R2, R4, R6, R8, L4, S1, S4, D3 (the simulated world is like the real one)
#[test]
fn scenes_that_nobody_wrote_are_told_the_same() {
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
        for what in ["not taken", "not applicable", "rejected", "materialised", "guard does", "withdrawn", "at e", "for itself"] {
            assert!(told.iter().any(|line| line.contains(what)), "no scene tells of `{what}`");
        }
    }
}
