//! What comes over a wire, in both directions: nothing panics, and what was read reads the same again.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::run("wire", bytes));
