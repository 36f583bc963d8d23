//! Reading one's writes on another client.

use std::thread;
use std::time::Duration;

use countersign::testing::TestClock;
use countersign::{Config, PositionToken, ReachedError, SyncState};
use futures_lite::future;
use tests::todos::{LONG, backend_args, journal, note, settled, until};

use crate::drivers::Place;

on_both_drivers!(
    another_client_reads_what_was_confirmed,
    it_pulls_at_once_whatever_retry_was_planned,
    each_session_comes_there,
    tokens_of_other_logs_are_refused,
    it_ends_with_the_store,
);

fn token(store: &countersign::Store, text: &str) -> PositionToken {
    settled(&store.commit(note(text)).unwrap().backend_sync).unwrap().token().unwrap()
}

// Verifies: S4
fn another_client_reads_what_was_confirmed(at: &Place) {
    let (ours, theirs) = (at.backend(), at.backend());
    let (server, client) = (at.synced("a.db", &ours), at.synced("b.db", &theirs));
    for n in 0..30 {
        let text = token(&server, &n.to_string()).to_string();
        let token: PositionToken = text.parse().unwrap();
        assert_eq!((token.store_id(), token.backend()), ("main", &*ours.identity().unwrap()));
        assert_eq!(backend_args(&ours)[token.position() as usize - 1], format!(r#"{{"text":"{n}"}}"#));
        client.commit(note("its own")).unwrap();
        future::block_on(async { client.reached(&token).await }).unwrap();
        assert!(journal(&client).contains(&n.to_string()), "read right after it was reached");
        assert_eq!(client.reached(&token).peek(), Some(Ok(())), "and stays so");
        server.reached(&token).wait_timeout(LONG).unwrap().unwrap();
    }
}

fn it_pulls_at_once_whatever_retry_was_planned(at: &Place) {
    let (ours, theirs) = (at.backend(), at.backend());
    let server = at.synced("a.db", &ours);
    let token = token(&server, "x");
    theirs.switch().off();
    // Its clock stands still: no retry ever comes due.
    let client = at.open(at.opener("b.db").backend(theirs.clone()).config(Config::default()).clock(TestClock::new()));
    until("it has failed", || client.status().pull_attempt > 0 && client.status().next.is_some());
    let offline = client.reached(&token);
    assert_eq!(offline.wait_timeout(Duration::from_millis(50)), None, "as a stage, it waits");
    theirs.switch().on();
    client.reached(&token).wait_timeout(LONG).unwrap().unwrap();
    assert_eq!((offline.peek(), journal(&client)), (Some(Ok(())), vec!["x".to_owned()]));
}

fn each_session_comes_there(at: &Place) {
    let (ours, theirs) = (at.backend(), at.backend());
    let (server, client) = (at.synced("a.db", &ours), at.synced("b.db", &theirs));
    let (quick, slow) = (client.session().unwrap(), client.session().unwrap());
    let lines = |session: &countersign::Session| -> i64 {
        session.query(|db| db.query_row("SELECT count(*) FROM journal", [], |row| row.get(0))).unwrap()
    };
    let token = slow
        .query(|_| {
            // While it is being read, the session takes nothing.
            let at_once = || {
                let token = token(&server, "x");
                quick.reached(&token).wait_timeout(LONG).unwrap().unwrap();
                assert_eq!((lines(&quick), slow.reached(&token).peek()), (1, None));
                token
            };
            Ok(thread::scope(|scope| scope.spawn(at_once).join().unwrap()))
        })
        .unwrap();
    slow.reached(&token).wait_timeout(LONG).unwrap().unwrap();
    assert_eq!(lines(&slow), 1);
    let waits = slow.reached(&far(&token));
    drop(slow);
    until("its session is closed", || waits.peek() == Some(Err(ReachedError::Closed)));
}

/// A position that nobody comes to.
fn far(token: &PositionToken) -> PositionToken {
    token.at(1_000_000)
}

// Verifies: L8
fn tokens_of_other_logs_are_refused(at: &Place) {
    let backend = at.backend();
    let store = at.synced("a.db", &backend);
    let ours = token(&store, "x");
    let elsewhere = at.open(at.opener("c.db").store_id("other").backend(at.backend()));
    assert!(matches!(elsewhere.reached(&ours).wait(), Err(ReachedError::OtherStore { .. })));
    assert!(matches!(at.local("l.db").reached(&ours).wait(), Err(ReachedError::NoBackend { .. })));

    let waits = store.reached(&far(&ours));
    backend.reset().unwrap();
    let error = waits.wait_timeout(LONG).unwrap().unwrap_err();
    assert!(matches!(error, ReachedError::Stopped { .. }), "{error}");
    store.tell(countersign::News::Decide(countersign::IdentityPolicy::Reset));
    until("it has started over", || store.status().sync == SyncState::Synced);
    let error = store.reached(&ours).wait().unwrap_err();
    assert!(matches!(&error, ReachedError::OtherBackend { token, .. } if *token == *ours.backend()), "{error}");
    assert!(error.to_string().contains("ask for a new token"), "{error}");
}

// Verifies: R1
fn it_ends_with_the_store(at: &Place) {
    let backend = at.backend();
    let store = at.synced("a.db", &backend);
    let waits = store.reached(&far(&token(&store, "x")));
    let inside = store.query(|_| Ok(waits.wait())).unwrap();
    assert_eq!(inside, Err(ReachedError::Inside));
    let waiting = thread::spawn({
        let waits = waits.clone();
        move || waits.wait()
    });
    drop(store);
    assert_eq!(waiting.join().unwrap(), Err(ReachedError::Closed));
}
