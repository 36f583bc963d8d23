//! Schema files: any text is a schema or an error that says why.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::run("schema", bytes));
