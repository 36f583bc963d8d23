//! Schema files: any text is a schema or an error that says why.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = countersign::Schema::from_toml(text) {
        assert!(!error.to_string().is_empty());
    }
});
