//! The store on real files, with the durability of `Durability::Power`.

use std::sync::mpsc;
use std::time::Duration;

use countersign::{CommitReceipt, Reader, Settled};

use crate::raw::{File, Session};
use crate::stage::{schema, store, todo};
use crate::{median, print, time};

pub(crate) const UPSERT: &str =
    "INSERT INTO todos (id, text) VALUES (:id, :text) ON CONFLICT (id) DO UPDATE SET text = excluded.text";
pub(crate) const UPSERT_BY_HAND: &str =
    "INSERT INTO todos (id, text) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET text = excluded.text";

/// P3: until `commit` has returned; the disk works beside it.
pub(crate) fn commit(rounds: usize, events: usize) {
    let dir = tempfile::tempdir().unwrap();
    let ours_store = store(&dir.path().join("store.db"));
    let ours = median(rounds, events, || {
        let todos: Vec<_> = (0..events).map(todo).collect();
        let mut last = None;
        let taken = time(|| {
            for todo in todos {
                last = Some(ours_store.commit(todo).unwrap());
            }
        });
        assert_eq!(last.unwrap().leader_sync.wait(), Ok(Settled::Persisted));
        taken
    });
    let by_hand_session = Session::new();
    let by_hand = median(rounds, events, || {
        let todos: Vec<_> = (0..events).map(todo).collect();
        time(|| todos.iter().for_each(|todo| by_hand_session.commit(&todo.id, &todo.text)))
    });
    let _ = ours_store.close(Duration::from_secs(60));
    let (ours_us, hand_us) = (ours / 1e3, by_hand / 1e3);
    print(
        "P3",
        "store.commit of one small event",
        &format!("{ours_us:.2} us"),
        &format!("{hand_us:.2} us"),
        ours / by_hand,
        "1.5 or less",
    );
}

/// P4: until all of them are persisted; the batches are as large as the store makes them.
pub(crate) fn throughput(rounds: usize, events: usize) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let ours_store = store(&path);
    let _ = schema();
    let transactions = || Reader::open(&path).unwrap().status().unwrap().transactions;
    let before = transactions();
    let ours = median(rounds, events, || {
        let todos: Vec<_> = (0..events).map(todo).collect();
        time(|| {
            let mut last: Option<CommitReceipt> = None;
            for todo in todos {
                last = Some(ours_store.commit(todo).unwrap());
            }
            assert_eq!(last.unwrap().leader_sync.wait(), Ok(Settled::Persisted));
        })
    });
    let batch = (events * rounds) / usize::try_from(transactions() - before).unwrap().max(1);
    let _ = ours_store.close(Duration::from_secs(60));

    let file = File::new(&dir.path().join("raw.db"));
    let mut at = 0;
    let by_hand = median(rounds, events, || {
        let todos: Vec<_> = (0..events).map(todo).collect();
        time(|| {
            for chunk in todos.chunks(batch.max(1)) {
                file.commit(at, chunk.iter().map(|todo| (todo.id.clone(), &*todo.text)));
                at += chunk.len() as i64;
            }
        })
    });
    let (ours_rate, hand_rate) = (1e9 / ours, 1e9 / by_hand);
    let what = format!("commits/s until leader_sync, {batch} a transaction");
    print("P4", &what, &format!("{ours_rate:.0}/s"), &format!("{hand_rate:.0}/s"), ours_rate / hand_rate, "0.85 or more");
}

/// P5: one commit at a time on an idle store.
pub(crate) fn one(rounds: usize, events: usize) {
    let dir = tempfile::tempdir().unwrap();
    let ours_store = store(&dir.path().join("store.db"));
    let ours = median(rounds, events, || {
        time(|| {
            for n in 0..events {
                assert_eq!(ours_store.commit(todo(n)).unwrap().leader_sync.wait(), Ok(Settled::Persisted));
            }
        })
    });
    let _ = ours_store.close(Duration::from_secs(60));

    // By hand: a thread that has the file, one order at a time.
    let (order, orders) = mpsc::channel::<usize>();
    let (answer, answers) = mpsc::channel::<()>();
    let path = dir.path().join("raw.db");
    let thread = std::thread::spawn(move || {
        let file = File::new(&path);
        for (at, n) in orders.into_iter().enumerate() {
            let todo = todo(n);
            file.commit(at as i64, std::iter::once((todo.id.clone(), &*todo.text)));
            answer.send(()).unwrap();
        }
    });
    let session = Session::new();
    let by_hand = median(rounds, events, || {
        time(|| {
            for n in 0..events {
                let todo = todo(n);
                session.commit(&todo.id, &todo.text);
                order.send(n).unwrap();
                answers.recv().unwrap();
            }
        })
    });
    drop(order);
    thread.join().unwrap();
    let (ours_us, hand_us) = (ours / 1e3, by_hand / 1e3);
    print(
        "P5",
        "one commit until leader_sync, idle store",
        &format!("{ours_us:.0} us"),
        &format!("{hand_us:.0} us"),
        ours / by_hand,
        "1.3 or less",
    );
}
