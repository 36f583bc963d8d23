//! Every interleaving of small worlds: what must hold holds in each state, and each comes to rest.
//!
//! `STEPS=n` takes another number of steps; `cargo run --release -p tests --bin sim -- --exhaustive 8` does so faster, and prints what
//! it finds.
#![allow(clippy::unwrap_used, reason = "a test stops at any failure")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tests::exhaustive::{STEPS, explore_all};

// Verifies: R1, R2, R3, R4, R5, R6, R8, L1, L2, L3, L4, L5, L6, L7, L8, S1, S2, S3, S4, S5, V1, V3 (in every order)
#[test]
fn what_must_hold_holds_in_every_interleaving_of_small_worlds() {
    let steps = std::env::var("STEPS").ok().map(|text| text.parse::<u32>().expect("STEPS has to be a number"));
    let (steps, states) = (steps.unwrap_or(STEPS), AtomicUsize::new(0));
    explore_all(steps, thread::available_parallelism().map_or(2, usize::from), |found| {
        println!("{found}");
        assert!(found.violation.is_none(), "\n{found}");
        assert!(steps < STEPS || found.rests > 50 && found.states > 2_000, "a world in which next to nothing happens: {found}");
        states.fetch_add(found.states, Ordering::Relaxed);
        true
    });
    println!("{:>9} states in all", states.into_inner());
}
