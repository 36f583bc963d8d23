//! Stores whose file is damaged.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::run("store_file", bytes));
