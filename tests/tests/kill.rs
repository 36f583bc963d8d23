//! `kill -9` of a real process, again and again, over one store and one backend.
//!
//! This binary starts itself as the writer, which says in a line of its own which commits are persisted. The moment of each kill
//! is so many lines later, drawn at random: the writer is in the middle of whatever comes next.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use countersign::backend::EmbeddedBackend;
use countersign::{CommitId, Durability, Settled, Store};
use tests::todos::{LONG, assert_sound, backend_args, filter, journal, note, opener, settled, todo, until};

const DIR: &str = "TESTS_KILLED_WRITER_DIR";
const ROUND: &str = "TESTS_KILLED_WRITER_ROUND";
const KILLS: u64 = 20;

fn open(dir: &Path) -> (Store, EmbeddedBackend) {
    let backend = EmbeddedBackend::open(dir.join("backend.db")).unwrap();
    let path = dir.join("store.db");
    (opener(&path).durability(Durability::Process).backend(backend.clone()).blocking().unwrap(), backend)
}

/// Not a test by itself: the process that is killed.
#[test]
fn writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let round = std::env::var(ROUND).unwrap();
    let (store, backend) = open(dir.as_ref());
    let mut out = std::io::stdout();
    let mut held = Vec::new();
    for n in 0_u64.. {
        let receipt = match n % 5 {
            0 => store.commit((note(format!("{round} {n}")), filter(&round), todo(format!("{round} {n}")))),
            1 => store.commit((0..=n % 130).map(|i| note(format!("{round} {n} {i}"))).collect::<Vec<_>>()),
            _ => store.commit(note(format!("{round} {n}"))),
        };
        held.push(receipt.unwrap());
        match n % 7 {
            3 => backend.switch().off(),
            4 => backend.lose_next_replies(1),
            5 => backend.switch().on(),
            _ => {}
        }
        // Several at a time are under way when the kill comes.
        if n % 3 == 0 {
            for receipt in held.drain(..) {
                assert_eq!(settled(&receipt.leader_sync), Ok(Settled::Persisted));
                // One write, so that no line is cut.
                out.write_all(format!("\npersisted {}\n", receipt.id()).as_bytes()).unwrap();
                out.flush().unwrap();
            }
        }
    }
}

/// Starts the writer, kills it after so many acknowledged commits, and answers all that it had acknowledged by then.
fn write_and_kill(dir: &Path, round: u64, after: u64) -> Vec<CommitId> {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writes_until_it_is_killed", "--nocapture", "--test-threads", "1"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        let Some(id) = line.strip_prefix("persisted ") else { continue };
        acknowledged.push(id.parse().unwrap());
        if acknowledged.len() as u64 == after {
            // SIGKILL on Unix. What was written to the pipe before is still read.
            writer.kill().unwrap();
        }
    }
    assert!(!writer.wait().unwrap().success(), "it was to be killed, not to end");
    assert!(acknowledged.len() as u64 >= after, "the writer ended by itself after {} commits", acknowledged.len());
    acknowledged
}

/// Verifies: R3, L4, S2, L6, S1
#[test]
fn no_acknowledged_commit_is_lost_or_doubled_by_kills() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let path = dir.join("store.db");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut all: Vec<CommitId> = Vec::new();
    for round in 0..KILLS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        all.extend(write_and_kill(dir, round, 1 + (random >> 33) % 40));
        // As the kill has left it: opened by nobody yet, and then recovered.
        assert_sound(&path);
        let (store, backend) = open(dir);
        for id in &all {
            let receipt = store.receipt(*id).unwrap().unwrap_or_else(|| panic!("{id} is lost, after kill {round}"));
            assert_eq!(receipt.leader_sync.peek(), Some(Ok(Settled::Persisted)), "{id}");
        }
        if round % 4 == 3 {
            // Now and then everything is confirmed; else the next writer goes on with what is pending.
            until("all is confirmed", || store.status().pending_events == 0);
        }
        assert!(store.close(LONG).persisted);
        assert_no_duplicates(&backend);
        assert_sound(&path);
    }
    let (store, backend) = open(dir);
    for id in &all {
        let receipt = store.receipt(*id).unwrap().unwrap();
        assert!(matches!(settled(&receipt.backend_sync), Ok(Settled::Confirmed(_))), "{id}");
    }
    until("all is confirmed", || store.status().pending_events == 0 && store.status().drained);
    assert_no_duplicates(&backend);
    let pushed: Vec<_> = backend_args(&backend).into_iter().filter(|args| !args.contains("\"id\"")).collect();
    let lines: Vec<_> = journal(&store).into_iter().map(|line| format!(r#"{{"text":"{line}"}}"#)).collect();
    assert_eq!(lines, pushed);
}

/// Each event says something else: none is in the log twice. And those of one writer are in their order.
fn assert_no_duplicates(backend: &EmbeddedBackend) {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for event in backend.log().unwrap() {
        let before = seen.insert(event.event.args.to_string(), event.seq);
        assert_eq!(before, None, "{} is in the log twice", event.event.args);
        let ordinal = event.ids.unwrap().ordinal;
        let before = last.insert(event.session.to_string(), ordinal);
        assert!(before.is_none_or(|before| before < ordinal), "{} of {} came after {before:?}", ordinal, event.session);
    }
}
