//! What fuzzers kept, tried again on every compiler; then changes of it, as many as there is time for.
//!
//! `FUZZ_SECONDS=n` gives each target that long (a second, if not set), `FUZZ_TARGET=name` only that one; `FUZZ_SEED=n` changes it in
//! other ways. With cargo-fuzz on a
//! nightly compiler, the same targets are led by what they reach: `cargo +nightly fuzz run node`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test stops at any failure, and tells how much was tried")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tests::fuzz::{TARGETS, Target};
use tests::world::Choices;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} has to be a number, and is {text:?}")))
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("fuzz/corpus").join(target)
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

/// Runs a target; bytes that it does not hold for are kept, to be put into the corpus.
fn holds((name, run): Target, what: &str, bytes: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(bytes))) {
        let kept =
            std::env::temp_dir().join(format!("countersign-{name}-{:016x}", Choices::new(bytes.len() as u64).below(u64::MAX)));
        let _ = fs::write(&kept, bytes);
        println!("target {name}, {what}: the bytes are in {}", kept.display());
        std::panic::resume_unwind(panic);
    }
}

/// Bytes made of those that were kept: changed, cut, doubled, joined.
fn changed(corpus: &[(String, Vec<u8>)], choices: &mut Choices) -> Vec<u8> {
    let mut bytes = corpus[choices.index(corpus.len())].1.clone();
    for _ in 0..=choices.below(8) {
        let at = choices.index(bytes.len() + 1);
        match choices.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, choices.below(256) as u8),
            2 if at < bytes.len() => bytes[at] ^= 1 << choices.below(8),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 => {
                let other = &corpus[choices.index(corpus.len())].1;
                let from = choices.index(other.len() + 1);
                let to = (from + choices.below(64) as usize).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                let to = (at + choices.below(16) as usize).min(bytes.len());
                bytes.drain(at..to);
            }
        }
    }
    bytes.truncate(1 << 16);
    bytes
}

// Verifies: R1, R3, R4, R6, L1, L3, L4, S1, S2, D1 (machines against the model, files and messages that are damaged)
#[test]
fn what_fuzzers_kept_holds_and_so_do_changes_of_it() {
    let time = Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(1));
    let mut choices = Choices::new(number("FUZZ_SEED").unwrap_or(1));
    let only = std::env::var("FUZZ_TARGET").ok();
    for target in TARGETS.into_iter().filter(|(name, _)| only.as_ref().is_none_or(|only| only == name)) {
        let corpus = corpus(target.0);
        assert!((3..=40).contains(&corpus.len()), "{}: {} files", target.0, corpus.len());
        for (path, bytes) in &corpus {
            assert!(bytes.len() <= 1 << 16, "{path} is too large to be kept");
            holds(target, path, bytes);
        }
        let began = Instant::now();
        let mut tried = 0_u64;
        while began.elapsed() < time {
            let bytes = changed(&corpus, &mut choices);
            holds(target, "changed", &bytes);
            tried += 1;
        }
        println!("{:>10}: {} files, {tried} changes", target.0, corpus.len());
    }
}

/// Each target has a program for the fuzzer, and each program a target.
#[test]
fn every_target_has_its_program() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("fuzz/fuzz_targets");
    let mut found: Vec<String> =
        fs::read_dir(programs).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let mut expected: Vec<String> = TARGETS.iter().map(|(name, _)| format!("{name}.rs")).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}
