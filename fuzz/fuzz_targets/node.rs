//! Machines against the reference model, in a simulated world that the bytes choose.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::run("node", bytes));
