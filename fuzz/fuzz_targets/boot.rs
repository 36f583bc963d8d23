//! Machines that start from damaged data.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::run("boot", bytes));
