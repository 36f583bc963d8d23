//! The merge, by way of its comparison program: any line is answered, and nothing panics.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::run("merge", bytes));
