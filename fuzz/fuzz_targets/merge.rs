//! The merge, by way of its comparison program: any line is answered, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|lines: &[u8]| {
    let mut answers = Vec::new();
    tests::merge::run(lines, &mut answers).expect("memory takes every answer");
});
