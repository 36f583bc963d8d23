//! Sequence numbers and commit ids: what is read prints the same again.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::run("notation", bytes));
