//! Several sessions of one store.

use std::sync::mpsc;
use std::thread;

use countersign::backend::EmbeddedBackend;
use countersign::{CommitError, Session, Settled, core};
use tests::driver::Start as _;
use tests::todos::{LONG, filter, journal, local, note, settled, synced, todo, until};

fn lines(session: &Session) -> i64 {
    session.query(|db| db.query_row("SELECT count(*) FROM journal", [], |row| row.get(0))).unwrap()
}

/// Verifies: S3, L7
#[test]
fn sessions_see_each_others_commits_client_only_ones_too() {
    let dir = tempfile::tempdir().unwrap();
    let backend = EmbeddedBackend::open(dir.path().join("b.db")).unwrap();
    let store = synced(&dir.path().join("a.db"), &backend);
    let (one, two) = (store.session().unwrap(), store.session().unwrap());
    one.commit((note("of one"), filter("of one"))).unwrap();
    let receipt = two.commit(note("of two")).unwrap();
    settled(&receipt.backend_sync).unwrap();
    until("all are alike", || {
        let dumps = [store.dump().unwrap(), one.dump().unwrap(), two.dump().unwrap()];
        lines(&one) == 2 && dumps.windows(2).all(|pair| pair[0] == pair[1])
    });
    let shown: String = two.query(|db| db.query_row("SELECT filter FROM ui", [], |row| row.get(0))).unwrap();
    assert_eq!(shown, "of one");
    assert_eq!(backend.head(), Ok(2), "client-only events reach no backend");
}

/// Verifies: L4, R2, S1
#[test]
fn sessions_that_write_at_once_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let backend = EmbeddedBackend::open(dir.path().join("b.db")).unwrap();
    let path = dir.path().join("a.db");
    let store = synced(&path, &backend);
    let sessions: Vec<_> = (0..4).map(|_| store.session().unwrap()).collect();
    thread::scope(|scope| {
        for (s, session) in sessions.iter().enumerate() {
            scope.spawn(move || {
                let receipts: Vec<_> = (0..50).map(|n| session.commit(note(format!("{s} {n:02}"))).unwrap()).collect();
                let places: Vec<_> = receipts.iter().map(|receipt| settled(&receipt.backend_sync).unwrap().position()).collect();
                assert!(places.is_sorted());
            });
        }
    });
    until("the session has all", || journal(&store).len() == 200);
    let all = journal(&store);
    for s in 0..4 {
        let of_session: Vec<_> = all.iter().filter(|line| line.starts_with(&format!("{s} "))).collect();
        assert!(of_session.len() == 50 && of_session.is_sorted());
    }
    assert!(store.close(LONG).persisted);
    tests::todos::assert_sound(&path);
}

/// Verifies: V2
#[test]
fn a_long_query_delays_its_own_session_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let backend = EmbeddedBackend::open(dir.path().join("b.db")).unwrap();
    let store = synced(&dir.path().join("a.db"), &backend);
    let slow = store.session().unwrap();
    let (entered, is_in) = mpsc::channel();
    let (go_on, may_go) = mpsc::channel::<()>();
    let querying = thread::spawn(move || {
        slow.query(|_| {
            entered.send(()).unwrap();
            may_go.recv().unwrap();
            Ok(())
        })
        .unwrap();
        slow
    });
    is_in.recv().unwrap();
    let other = synced(&dir.path().join("o.db"), &backend);
    for n in 0..20 {
        settled(&store.commit(note(n)).unwrap().backend_sync).unwrap();
        settled(&other.commit(note(n)).unwrap().backend_sync).unwrap();
    }
    until("others' events come through", || journal(&store).len() == 40);
    let third = store.session().unwrap();
    assert_eq!(lines(&third), 40);
    go_on.send(()).unwrap();
    let slow = querying.join().unwrap();
    until("the slow one has caught up", || lines(&slow) == 40);
    assert_eq!(slow.dump(), store.dump());
}

/// Verifies: R3, R6 (poison that the leader finds first: the session had not seen what the commit does not go with)
#[test]
fn of_two_sessions_that_commit_the_same_at_once_one_is_taken_and_a_restart_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = local(&path);
    let sessions = [store.session().unwrap(), store.session().unwrap()];
    let barrier = std::sync::Barrier::new(2);
    let commit_all = |session: &Session| -> Vec<_> {
        let commit = |n| {
            barrier.wait();
            session.commit(todo(n))
        };
        (0..100).map(commit).collect()
    };
    let [ones, others] = thread::scope(|scope| {
        let threads = [scope.spawn(|| commit_all(&sessions[0])), scope.spawn(|| commit_all(&sessions[1]))];
        threads.map(|thread| thread.join().unwrap())
    });
    let mut receipts = Vec::new();
    for pair in ones.into_iter().zip(others) {
        let outcomes = [pair.0, pair.1].map(|commit| match commit {
            Ok(receipt) => {
                let outcome = settled(&receipt.leader_sync);
                receipts.push((receipt.id(), outcome.clone(), settled(&receipt.backend_sync)));
                outcome.is_ok()
            }
            Err(CommitError::Materialise { .. }) => false,
            Err(error) => panic!("{error}"),
        });
        assert_eq!(outcomes.iter().filter(|taken| **taken).count(), 1);
    }
    drop((sessions, store));
    tests::todos::assert_sound(&path);
    let store = local(&path);
    assert_eq!(tests::todos::todos(&store), 100);
    for (id, leader, backend) in receipts {
        let again = store.receipt(id).unwrap().unwrap();
        assert_eq!((again.leader_sync.peek(), again.backend_sync.peek()), (Some(leader), Some(backend)));
    }
}

/// Verifies: V5 (messages for a session that takes none are bounded)
#[test]
fn a_session_that_fell_too_far_behind_is_seeded_anew_with_what_it_has_pending() {
    let dir = tempfile::tempdir().unwrap();
    let config = countersign::Config { session_backlog: 2, ..tests::todos::config() };
    let store = tests::todos::opener(&dir.path().join("a.db")).config(config).start().unwrap();
    let slow = store.session().unwrap();
    slow.query(|_| {
        let commit_all = || (0..20).for_each(|n| drop(settled(&store.commit(note(n)).unwrap().leader_sync).unwrap()));
        thread::scope(|scope| drop(scope.spawn(commit_all)));
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    until("it has all", || lines(&slow) == 20);
    settled(&slow.commit(note("its own")).unwrap().leader_sync).unwrap();
    until("all are alike", || slow.dump() == store.dump());
}

#[test]
fn a_dropped_session_leaves_its_commits_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir.path().join("a.db"));
    let receipts: Vec<_> = (0..20)
        .map(|n| {
            let session = store.session().unwrap();
            session.commit(todo(n)).unwrap()
        })
        .collect();
    for receipt in &receipts {
        assert_eq!(settled(&receipt.leader_sync), Ok(Settled::Persisted));
    }
    until("the store's own session has them", || tests::todos::todos(&store) == 20);
    assert_eq!(store.status().sessions, 1);
}

#[test]
fn a_session_outlives_the_handle_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = local(&path);
    let session = store.session().unwrap();
    drop(store);
    assert_eq!(settled(&session.commit(todo(1)).unwrap().leader_sync), Ok(Settled::Persisted));
    drop(session);
    assert_eq!(tests::todos::todos(&local(&path)), 1);
}

#[test]
fn sessions_of_a_closed_store_take_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir.path().join("a.db"));
    let session = store.session().unwrap();
    let clone = store.clone();
    assert!(store.close(LONG).persisted);
    assert_eq!(session.commit(todo(1)).unwrap_err(), CommitError::Refused(core::CommitError::Closing));
    assert!(clone.session().is_err());
    assert_eq!(
        clone.receipt(countersign::CommitId { session: session.id(), ordinal: 1 }).unwrap_err(),
        countersign::LookupError::Closed
    );
    assert_eq!(tests::todos::todos(&clone), 0, "what is in memory can still be read");
}
