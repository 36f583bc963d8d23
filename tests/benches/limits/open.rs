//! Opening a store with a long log, and building its state anew.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use countersign::backend::EmbeddedBackend;
use countersign::{Opener, Schema, Settled, Stage, Store};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::stage::{TodoSet, schema, todo};
use crate::{median, print, time};

const PATIENCE: Duration = Duration::from_secs(600);
/// Commits that the backend has not seen when the store is closed.
const PENDING: usize = 1_000;

/// Two stores, of few events and of many, the state of the same size.
pub(crate) struct Logs {
    _dir: TempDir,
    few: PathBuf,
    many: PathBuf,
    events: usize,
}

impl Logs {
    pub(crate) fn new(few: usize, many: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let make = |events: usize| fill(dir.path(), events);
        let (few, long) = (make(few), make(many));
        Self { _dir: dir, few, many: long, events: many }
    }

    /// P9: until a store can be used.
    pub(crate) fn open(&self, rounds: usize) {
        let cost = |path: &Path| {
            median(rounds, 1, || {
                let mut store = None;
                let took = time(|| store = Some(opener(path).offline().blocking().unwrap()));
                let report = store.unwrap().close(PATIENCE);
                assert_eq!(report.unresolved.len(), PENDING);
                took
            })
        };
        let (few, many) = (cost(&self.few), cost(&self.many));
        let ms = |nanos: f64| format!("{:.1} ms", nanos / 1e6);
        let what = format!("open: {} events, beside a hundredth of them", self.events);
        print("P9", &what, &ms(many), &ms(few), many / few, "1.5 or less");
    }

    /// P12: the state built anew from the log, since the schema is another one.
    pub(crate) fn rebuild(&self) {
        let next = Schema::builder(2)
            .state_sql("CREATE TABLE todos (id TEXT PRIMARY KEY, text TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 1) STRICT")
            .event_sql("v1.TodoSet", false, [crate::store::UPSERT])
            .build()
            .unwrap();
        let mut store = None;
        let reports = Rc::new(Cell::new(0));
        let told = reports.clone();
        let ours = time(|| {
            let opener = opener(&self.many).schema(next).offline().progress(move |_| told.set(told.get() + 1));
            store = Some(opener.blocking().unwrap());
        });
        assert!(reports.get() > 0, "a rebuild shows its progress");
        let _ = store.unwrap().close(PATIENCE);
        let by_hand = time(|| replay(&self.many));
        let rate = |took: Duration| self.events as f64 / took.as_secs_f64();
        let (ours, by_hand) = (rate(ours), rate(by_hand));
        let what = format!("state built anew from {} events, events/s", self.events);
        print("P12", &what, &format!("{ours:.0}/s"), &format!("{by_hand:.0}/s"), ours / by_hand, "0.85 or more");
    }
}

fn backend(path: &Path) -> PathBuf {
    path.with_extension("backend")
}

fn opener(path: &Path) -> Opener {
    Store::open(path).schema(schema()).backend(EmbeddedBackend::at(backend(path)))
}

/// A store of so many confirmed events, and of some that wait.
fn fill(dir: &Path, events: usize) -> PathBuf {
    let path = dir.join(format!("{events}.db"));
    drop(EmbeddedBackend::open(backend(&path)).unwrap());
    let store = opener(&path).blocking().unwrap();
    let mut last = None;
    for n in 0..events {
        last = Some(store.commit(todo(n)).unwrap());
        if n % 10_000 == 9_999 {
            store.barrier(Stage::Backend).wait_timeout(PATIENCE).unwrap().unwrap();
        }
    }
    assert!(matches!(last.unwrap().backend_sync.wait(), Ok(Settled::Confirmed(_))));
    let _ = store.close(PATIENCE);
    let store = opener(&path).offline().blocking().unwrap();
    for n in 0..PENDING {
        let _ = store.commit(todo(n)).unwrap();
    }
    let _ = store.close(PATIENCE);
    path
}

/// By hand: read the log, materialise each event into an empty table, in one transaction.
fn replay(path: &Path) {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(
        "PRAGMA synchronous = FULL; BEGIN IMMEDIATE;
         CREATE TABLE by_hand (id TEXT PRIMARY KEY, text TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 1) STRICT;",
    )
    .unwrap();
    let mut write = conn.prepare(&crate::store::UPSERT_BY_HAND.replace("todos", "by_hand")).unwrap();
    let mut read = conn.prepare("SELECT args FROM countersign_eventlog ORDER BY global, client").unwrap();
    let mut rows = read.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let todo: TodoSet = serde_json::from_str(row.get_ref(0).unwrap().as_str().unwrap()).unwrap();
        write.execute((todo.id, todo.text)).unwrap();
    }
    conn.execute_batch("COMMIT; DROP TABLE by_hand").unwrap();
}
