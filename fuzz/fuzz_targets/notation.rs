//! Sequence numbers and commit ids: what is read prints the same again.
#![no_main]

use countersign_core::{CommitId, Seq};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(commit) = text.parse::<CommitId>() {
        assert_eq!(commit.to_string(), text);
    }
    if let Ok(seq) = text.parse::<Seq>() {
        assert_eq!(seq.to_string().parse(), Ok(seq));
    }
});
