//! Watching tables.

use std::thread;
use std::time::Duration;

use countersign::Changed;
use countersign::backend::EmbeddedBackend;
use futures_lite::future;
use tests::todos::{LONG, filter, journal, local, note, settled, synced, todo, until};

fn tables<const N: usize>(names: [&str; N]) -> Option<Changed> {
    Some(names.map(str::to_owned).into())
}

#[test]
fn a_watch_tells_the_tables_that_changed_and_only_those_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir.path().join("a.db"));
    let mut watch = store.watch(["todos", "ui"]);
    assert_eq!(watch.wait_timeout(Duration::ZERO), None);
    store.commit(todo(1)).unwrap();
    assert_eq!(watch.wait_timeout(LONG), tables(["todos"]));
    store.commit((todo(2), filter("open"))).unwrap();
    assert_eq!(future::block_on(watch.changed()), tables(["todos", "ui"]));
    store.commit(note("not watched")).unwrap();
    assert_eq!(watch.wait_timeout(Duration::from_millis(1)), None);
    store.commit(todo(2)).unwrap_err();
    settled(&store.commit(()).unwrap().leader_sync).unwrap();
    assert_eq!(watch.wait_timeout(Duration::from_millis(1)), None, "nothing has changed");
}

#[test]
fn a_watch_tells_of_others_events_and_of_rebases() {
    let dir = tempfile::tempdir().unwrap();
    let open = || EmbeddedBackend::open(dir.path().join("b.db")).unwrap();
    let (ours, theirs) = (open(), open());
    let (store, other) = (synced(&dir.path().join("a.db"), &ours), synced(&dir.path().join("o.db"), &theirs));
    until("the first pull is over", || store.status().backend.is_some());
    let mut watch = store.watch(["todos", "journal", "ui"]);
    settled(&other.commit(todo(1)).unwrap().backend_sync).unwrap();
    assert_eq!(watch.wait_timeout(LONG), tables(["todos"]));
    ours.switch().off();
    settled(&store.commit(note("ours")).unwrap().leader_sync).unwrap();
    assert_eq!(watch.wait_timeout(LONG), tables(["journal"]));
    settled(&other.commit(note("theirs")).unwrap().backend_sync).unwrap();
    ours.switch().on();
    assert_eq!(watch.wait_timeout(LONG), tables(["journal"]));
    assert_eq!(journal(&store), ["theirs", "ours"]);
}

#[test]
fn a_watch_ends_when_the_store_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir.path().join("a.db"));
    let clone = store.clone();
    let mut watch = store.watch(["todos"]);
    let watching = thread::spawn(move || (future::block_on(watch.changed()), future::block_on(watch.changed())));
    assert!(store.close(LONG).persisted);
    assert_eq!(watching.join().unwrap(), (None, None));
    drop(clone);
}

#[test]
fn a_watch_ends_when_its_session_is_dropped_and_tells_what_came_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir.path().join("a.db"));
    let session = store.session().unwrap();
    let mut watch = session.watch(["todos"]);
    let watching = thread::spawn(move || future::block_on(watch.changed()));
    drop(session);
    assert_eq!(watching.join().unwrap(), None);
}
