//! `kill -9` of a real process, again and again, over one store and one backend.
//!
//! This binary starts itself as the writer, which says in a line of its own which commits are persisted. The moment of each kill
//! is so many lines later, drawn at random: the writer is in the middle of whatever comes next. Writers take turns with the drivers.
//!
//! `KILLS=2000 cargo test --release -p tests --test kill` does as many; 20 if not given.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};

use async_executor::Executor;
use countersign::backend::EmbeddedBackend;
use countersign::{CommitId, CommitReceipt, Durability, OpenError, Opener, Settled, Store};
use futures_lite::future::block_on;
use tests::todos::{LONG, assert_sound, backend_args, filter, journal, note, opener, settled, todo, until};

const DIR: &str = "TESTS_KILLED_WRITER_DIR";
const ROUND: &str = "TESTS_KILLED_WRITER_ROUND";

fn kills() -> u64 {
    std::env::var("KILLS").map_or(20, |kills| kills.parse().expect("KILLS is a number"))
}

fn open(dir: &Path, open: impl FnOnce(Opener) -> Result<Store, OpenError>) -> (Store, EmbeddedBackend) {
    let backend = EmbeddedBackend::open(dir.join("backend.db")).unwrap();
    let path = dir.join("store.db");
    (open(opener(&path).durability(Durability::Process).backend(backend.clone())).unwrap(), backend)
}

/// A store on an executor that a thread of its own runs for as long as the process lives.
fn smol(opener: Opener) -> Result<Store, OpenError> {
    let executor: &'static Executor<'static> = Box::leak(Box::new(Executor::new()));
    std::thread::spawn(|| block_on(executor.run(std::future::pending::<()>())));
    opener.smol(executor)
}

/// A stage that was seen to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Persisted,
    ConfirmedAt(u64),
}

/// Not a test by itself: the process that is killed.
#[test]
fn writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let round = std::env::var(ROUND).unwrap();
    let number: u64 = round.parse().unwrap();
    let (store, backend) = open(dir.as_ref(), if number.is_multiple_of(2) { Opener::blocking } else { smol });
    let mut out = std::io::stdout();
    let mut say = |line: String| {
        // One write, so that no line is cut.
        out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    };
    let (mut held, mut waiting) = (Vec::new(), Vec::new());
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
                say(format!("persisted {}", receipt.id()));
                waiting.push(receipt);
            }
        }
        waiting.retain(|receipt: &CommitReceipt| match receipt.backend_sync.peek() {
            None => true,
            Some(Ok(settled)) => {
                say(format!("confirmed {} {}", receipt.id(), settled.position().unwrap().global));
                false
            }
            Some(Err(error)) => panic!("{}: {error}", receipt.id()),
        });
    }
}

/// Starts the writer, kills it after so many acknowledged commits, and answers all that it had acknowledged by then.
fn write_and_kill(dir: &Path, round: u64, after: u64) -> Vec<(CommitId, Said)> {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writes_until_it_is_killed", "--nocapture", "--test-threads", "1"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut acknowledged, mut persisted) = (Vec::new(), 0);
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["persisted", id] => {
                acknowledged.push((id.parse().unwrap(), Said::Persisted));
                persisted += 1;
                if persisted == after {
                    // SIGKILL on Unix. What was written to the pipe before is still read.
                    writer.kill().unwrap();
                }
            }
            ["confirmed", id, at] => acknowledged.push((id.parse().unwrap(), Said::ConfirmedAt(at.parse().unwrap()))),
            _ => {}
        }
    }
    assert!(!writer.wait().unwrap().success(), "it was to be killed, not to end");
    assert!(persisted >= after, "the writer ended by itself after {persisted} commits");
    acknowledged
}

/// Verifies: R3, R4, L4, S2, L6, S1
#[test]
fn no_acknowledged_commit_is_lost_or_doubled_by_kills() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |end| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % end
    };
    let kills = kills();
    // A new store now and then: each round looks at all of it.
    for first in (0..kills).step_by(50) {
        kill_one_store(first..kills.min(first + 50), &mut draw);
    }
}

fn kill_one_store(rounds: Range<u64>, draw: &mut dyn FnMut(u64) -> u64) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let path = dir.join("store.db");
    let mut all: Vec<(CommitId, Said)> = Vec::new();
    let are_many = rounds.end - rounds.start >= 10;
    for round in rounds {
        all.extend(write_and_kill(dir, round, 1 + draw(40)));
        // As the kill has left it: opened by nobody yet, and then recovered.
        assert_sound(&path);
        let (store, backend) = open(dir, Opener::blocking);
        for (id, _) in &all {
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
    assert!(!are_many || all.iter().any(|(_, said)| matches!(said, Said::ConfirmedAt(_))), "no writer came so far");
    let (store, backend) = open(dir, smol);
    for (id, said) in &all {
        let receipt = store.receipt(*id).unwrap().unwrap_or_else(|| panic!("{id} is lost in the end"));
        let at = settled(&receipt.backend_sync).unwrap().position().map(|at| at.global);
        assert!(
            at.is_some() && (*said == Said::Persisted || at.map(Said::ConfirmedAt) == Some(*said)),
            "{id}: {said:?}, and now {at:?}"
        );
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
