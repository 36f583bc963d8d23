//! P8: a thousand of our own events behind a thousand of another client's.

use std::time::{Duration, Instant};

use countersign::backend::EmbeddedBackend;
use countersign::{News, Settled, Store};

use crate::raw::{File, Session};
use crate::stage::{schema, todo};
use crate::{median, print, time};

pub(crate) fn behind(rounds: usize, events: usize) {
    let dir = tempfile::tempdir().unwrap();
    let backend = dir.path().join("backend.db");
    let open = |name: &str| {
        let store = Store::open(dir.path().join(name)).schema(schema());
        store.backend(EmbeddedBackend::open(&backend).unwrap())
    };
    let (ours_store, theirs) = (open("ours.db").blocking().unwrap(), open("theirs.db").blocking().unwrap());
    let ours = median(rounds, 2 * events, || {
        ours_store.tell(News::Offline);
        let own: Vec<_> = (0..events).map(|n| ours_store.commit(todo(n)).unwrap()).collect();
        assert_eq!(own.last().unwrap().leader_sync.wait(), Ok(Settled::Persisted));
        let others: Vec<_> = (0..events).map(|n| theirs.commit(todo(n + events)).unwrap()).collect();
        let token = others.last().unwrap().backend_sync.wait().unwrap().token().unwrap();
        let start = Instant::now();
        ours_store.tell(News::Online);
        ours_store.reached(&token).wait_timeout(Duration::from_secs(60)).unwrap().unwrap();
        let took = start.elapsed();
        // The next round begins where both are at rest.
        let token = own.last().unwrap().backend_sync.wait().unwrap().token().unwrap();
        theirs.reached(&token).wait_timeout(Duration::from_secs(60)).unwrap().unwrap();
        took
    });

    let session = Session::new();
    let file = File::with_undo(&dir.path().join("raw.db"));
    let mut at = 0;
    let by_hand = median(rounds, 2 * events, || {
        let own: Vec<_> = (0..events).map(todo).collect();
        let others: Vec<_> = (0..events).map(|n| todo(n + events)).collect();
        let from = at;
        session.apply(own.iter().map(|todo| (&*todo.id, &*todo.text)));
        file.commit(from, own.iter().map(|todo| (todo.id.clone(), &*todo.text)));
        let all = || others.iter().chain(&own);
        at += 2 * events as i64;
        time(|| {
            // The leader's file and the session's database, one after the other: two cores could do them side by side, and a store does.
            file.rebase(from, all().map(|todo| (todo.id.clone(), &*todo.text)));
            session.undo(events);
            session.apply(all().map(|todo| (&*todo.id, &*todo.text)));
        })
    });
    let (ours_us, hand_us) = (ours / 1e3, by_hand / 1e3);
    let what = format!("rebase of {events} pending over {events}: an event");
    print("P8", &what, &format!("{ours_us:.2} us"), &format!("{hand_us:.2} us"), ours / by_hand, "1.3 or less");
}
