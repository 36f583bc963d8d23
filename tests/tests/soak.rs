//! A while of everything at once: two stores, several sessions and threads, a backend that comes and goes.
//!
//! `SEED=5 cargo test -p tests --test soak` draws another mix. The threads make their own order, so a seed is no exact replay.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Mutex;
use std::thread;

use countersign::backend::EmbeddedBackend;
use countersign::{CommitError, CommitReceipt, Reader, Session, Settled, Store, SyncError};
use tests::todos::{LONG, assert_sound, filter, journal, note, settled, synced, todo, until};

/// Small steps of one generator (SplitMix64), a stream for each thread.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

const STEPS: u64 = 150;

/// One thread's part: commits, queries, watches, sessions, dropped and kept receipts.
fn work(name: &str, mut random: Random, store: &Store, kept: &Mutex<Vec<CommitReceipt>>) {
    let mut session: Session = store.session().unwrap();
    let mut watch = session.watch(["todos", "journal"]);
    for n in 0..STEPS {
        let text = format!("{name} {n}");
        let receipt = match random.below(12) {
            0 => store.commit((note(&text), filter(&text))),
            // Both stores and all threads use the same few: some clash, here or at a rebase.
            1 => session.commit(todo(random.below(40))),
            2 => session.commit((0..random.below(130)).map(|i| note(format!("{text} {i}"))).collect::<Vec<_>>()),
            3 => store.commit(filter(&text)),
            4 => session.commit(()),
            5 => {
                session = store.session().unwrap();
                watch = session.watch(["todos", "journal"]);
                continue;
            }
            6 => {
                let lines = session.query(|db| {
                    db.query_row("SELECT count(*), max(line) FROM journal", [], |row| {
                        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))
                    })
                });
                let (count, last) = lines.unwrap();
                assert_eq!(count, last.unwrap_or(0), "never seen half rebased");
                continue;
            }
            7 => {
                let _ = watch.wait_timeout(std::time::Duration::ZERO);
                continue;
            }
            _ => session.commit(note(&text)),
        };
        match receipt {
            Ok(receipt) => match random.below(4) {
                0 => drop(receipt),
                1 => assert!(
                    settled(&receipt.leader_sync).is_ok_and(|settled| settled == Settled::Persisted) || is_poison(&receipt)
                ),
                _ => kept.lock().unwrap().push(receipt),
            },
            Err(CommitError::Materialise { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn is_poison(receipt: &CommitReceipt) -> bool {
    matches!(receipt.leader_sync.peek(), Some(Err(SyncError::Materialise { .. })))
}

fn soak(seed: u64, dir: &Path) {
    let open = || EmbeddedBackend::open(dir.join("backend.db")).unwrap();
    let backends = [open(), open()];
    let paths = [dir.join("a.db"), dir.join("b.db")];
    let stores = [synced(&paths[0], &backends[0]), synced(&paths[1], &backends[1])];
    let kept = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4_u64)
            .map(|worker| {
                let (store, kept) = (&stores[(worker % 2) as usize], &kept);
                scope.spawn(move || work(&format!("w{worker}"), Random(seed ^ (worker << 32)), store, kept))
            })
            .collect();
        let mut random = Random(seed);
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            let backend = &backends[random.below(2) as usize];
            match random.below(5) {
                0 => backend.switch().off(),
                1 | 2 => backend.switch().on(),
                3 => backend.lose_next_replies(1),
                _ => backend.fail_next_pushes(2),
            }
            thread::park_timeout(std::time::Duration::from_millis(random.below(20)));
        }
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    backends.iter().for_each(|backend| backend.switch().on());

    // Everything settles, as it has to.
    let log = || backends[0].log().unwrap();
    for receipt in kept.into_inner().unwrap() {
        match settled(&receipt.backend_sync) {
            Ok(Settled::Confirmed(confirmation)) => {
                assert_eq!(receipt.leader_sync.peek(), Some(Ok(Settled::Persisted)));
                let log = log();
                for at in confirmation.positions {
                    assert_eq!(log[at as usize - 1].session.to_string(), receipt.id().session.to_string());
                    assert_eq!(log[at as usize - 1].ids.unwrap().commit, receipt.id().ordinal);
                }
            }
            Ok(Settled::NotApplicable) => assert_eq!(receipt.leader_sync.peek(), Some(Ok(Settled::Persisted))),
            Err(SyncError::Materialise { .. }) => {}
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    for store in &stores {
        until("all is synced", || {
            let status = store.status();
            status.pending_events == 0 && status.drained && Ok(status.upstream_head.global) == backends[0].head()
        });
    }
    let synced_state = |store: &Store| {
        let dump = store.query(|db| {
            let mut todos = db.prepare("SELECT id || text FROM todos ORDER BY id")?;
            todos.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()
        });
        (dump.unwrap(), journal(store))
    };
    until("the sessions are where the leaders are", || synced_state(&stores[0]) == synced_state(&stores[1]));
    for store in stores {
        assert!(store.close(LONG).persisted);
    }
    for path in &paths {
        assert_sound(path);
        let mut reader = Reader::open(path).unwrap();
        let rows = reader.log(countersign::core::Pos::ROOT, 1 << 20).unwrap();
        let confirmed: Vec<_> =
            rows.into_iter().filter(|row| !row.entry.event.client_only).map(|row| row.entry.event.args.to_string()).collect();
        assert_eq!(confirmed, log().iter().map(|event| event.event.args.to_string()).collect::<Vec<_>>());
    }
}

/// Verifies: S1, S3, S4, L4, L6, R1, R4, R5
#[test]
fn two_stores_under_a_random_mix_converge_when_the_backend_stays() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => vec![1, 2],
    };
    for seed in seeds {
        let dir = tempfile::tempdir().unwrap();
        soak(seed, dir.path());
    }
}
