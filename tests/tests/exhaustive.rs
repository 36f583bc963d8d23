//! Every interleaving of small worlds: what must hold holds in each state, and each comes to rest.
//!
//! `STEPS=n` takes more steps than the time of each change allows; `cargo run --release -p tests --bin sim -- --exhaustive 6` does so
//! faster, and prints what it finds.
#![allow(clippy::unwrap_used, reason = "a test stops at any failure")]

use tests::exhaustive::{WORLDS, explore};

// Verifies: R1, R2, R3, R4, R5, R6, R8, L1, L2, L3, L4, L5, L6, L7, L8, S1, S2, S3, S4, V1, V3 (in every order)
#[test]
fn what_must_hold_holds_in_every_interleaving_of_small_worlds() {
    let steps = std::env::var("STEPS").ok().map(|text| text.parse::<u32>().expect("STEPS has to be a number"));
    let mut states = 0;
    for small in WORLDS {
        let found = explore(small, steps.unwrap_or(small.steps), None);
        println!("{found}");
        assert!(found.violation.is_none(), "\n{found}");
        assert!(found.rests > 5 && found.states > 200, "a world in which next to nothing happens: {found}");
        states += found.states;
    }
    println!("{states:>9} states in all");
}
