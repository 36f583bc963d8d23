//! The same work by hand: rusqlite, the same statements, pragmas and batch sizes, and nothing else.

use std::path::Path;

use rusqlite::Connection;

/// How every change of the state is noted, so that it can be taken back.
const UNDO: &str =
    "CREATE TABLE undo (n INTEGER PRIMARY KEY, mark INTEGER, op INTEGER, at INTEGER, id TEXT, text TEXT, done INTEGER);
    CREATE TRIGGER undo_insert AFTER INSERT ON todos BEGIN
      INSERT INTO undo (mark, op, at) VALUES (0, 0, NEW.rowid); END;
    CREATE TRIGGER undo_update AFTER UPDATE ON todos BEGIN
      INSERT INTO undo (mark, op, at, id, text, done) VALUES (0, 2, NEW.rowid, OLD.id, OLD.text, OLD.done); END;";

const STATE: &str = "CREATE TABLE todos (id TEXT PRIMARY KEY, text TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0) STRICT;";

/// State and undo in memory: what a session's database does for an event.
pub(crate) struct Session(Connection);

impl Session {
    pub(crate) fn new() -> Self {
        let conn = Connection::open_in_memory().unwrap();
        // As a session's database has it: with larger pages, a commit copies more.
        conn.pragma_update(None, "page_size", 1_024).unwrap();
        conn.execute_batch(STATE).unwrap();
        conn.execute_batch(UNDO).unwrap();
        Self(conn)
    }

    pub(crate) fn commit(&self, id: &str, text: &str) {
        self.apply(std::iter::once((id, text)));
    }

    /// One transaction of these events.
    pub(crate) fn apply<'a>(&self, events: impl Iterator<Item = (&'a str, &'a str)>) {
        run(&self.0, "BEGIN");
        let mut state = self.0.prepare_cached(crate::store::UPSERT_BY_HAND).unwrap();
        for event in events {
            state.execute(event).unwrap();
        }
        run(&self.0, "COMMIT");
    }

    /// Takes the last events back, of one change each.
    pub(crate) fn undo(&self, events: usize) {
        run(&self.0, "BEGIN");
        undo(&self.0, events);
        run(&self.0, "COMMIT");
    }
}

/// A store's file: eventlog and state.
pub(crate) struct File(Connection);

impl File {
    pub(crate) fn new(path: &Path) -> Self {
        let conn = Connection::open(path).unwrap();
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE eventlog (global INTEGER, client INTEGER, generation INTEGER, parent INTEGER, author INTEGER, ordinal INTEGER,
               commit_ordinal INTEGER, last INTEGER, rebases INTEGER, name TEXT, args TEXT, skip TEXT, mark INTEGER,
               PRIMARY KEY (global, client)) STRICT, WITHOUT ROWID;
             CREATE INDEX own ON eventlog (author, commit_ordinal);
             CREATE TABLE heads (id INTEGER PRIMARY KEY, number INTEGER, head INTEGER) STRICT;
             INSERT INTO heads VALUES (1, 0, 0);",
        )
        .unwrap();
        conn.execute_batch(STATE).unwrap();
        Self(conn)
    }

    /// The same, of which events can be taken back.
    pub(crate) fn with_undo(path: &Path) -> Self {
        let file = Self::new(path);
        file.0.execute_batch(UNDO).unwrap();
        file
    }

    /// One transaction of these events.
    pub(crate) fn commit<'a>(&self, from: i64, events: impl Iterator<Item = (String, &'a str)>) {
        run(&self.0, "BEGIN IMMEDIATE");
        self.append(from, events);
        run(&self.0, "COMMIT");
    }

    /// One transaction that takes back what is behind a place, of one change each, and puts these events there.
    pub(crate) fn rebase<'a>(&self, from: i64, events: impl Iterator<Item = (String, &'a str)>) {
        run(&self.0, "BEGIN IMMEDIATE");
        let gone = self.0.prepare_cached("DELETE FROM eventlog WHERE global > ?1").unwrap().execute([from]).unwrap();
        undo(&self.0, gone);
        self.append(from, events);
        run(&self.0, "COMMIT");
    }

    fn append<'a>(&self, from: i64, events: impl Iterator<Item = (String, &'a str)>) {
        let number: i64 =
            self.0.prepare_cached("SELECT number FROM heads WHERE id = 1").unwrap().query_row([], |row| row.get(0)).unwrap();
        let mut log = self
            .0
            .prepare_cached("INSERT INTO eventlog VALUES (?1, 0, 0, ?2, 1, ?1, ?1, 1, 0, 'v1.TodoSet', ?3, NULL, NULL)")
            .unwrap();
        let mut state = self.0.prepare_cached(crate::store::UPSERT_BY_HAND).unwrap();
        let mut at = from;
        for (id, text) in events {
            at += 1;
            log.execute((at, at - 1, format!(r#"{{"id":"{id}","text":"{text}"}}"#))).unwrap();
            state.execute((id, text)).unwrap();
        }
        self.0.prepare_cached("UPDATE heads SET number = ?1, head = ?2 WHERE id = 1").unwrap().execute((number + 1, at)).unwrap();
    }
}

fn run(conn: &Connection, sql: &str) {
    conn.prepare_cached(sql).unwrap().execute([]).unwrap();
}

/// Takes the last changes back, newest first.
fn undo(conn: &Connection, changes: usize) {
    let mut read = conn.prepare_cached("SELECT n, op, at, id, text, done FROM undo ORDER BY n DESC LIMIT ?1").unwrap();
    let mut rows = read.query([changes as i64]).unwrap();
    let mut lowest = None;
    while let Some(row) = rows.next().unwrap() {
        lowest = Some(row.get::<_, i64>(0).unwrap());
        let at: i64 = row.get(2).unwrap();
        if row.get::<_, i64>(1).unwrap() == 0 {
            conn.prepare_cached("DELETE FROM todos WHERE rowid = ?1").unwrap().execute([at]).unwrap();
        } else {
            let old = (row.get::<_, String>(3).unwrap(), row.get::<_, String>(4).unwrap(), row.get::<_, i64>(5).unwrap(), at);
            let back = "UPDATE todos SET id = ?1, text = ?2, done = ?3 WHERE rowid = ?4";
            conn.prepare_cached(back).unwrap().execute(old).unwrap();
        }
    }
    // What taking back has noted goes as well.
    conn.prepare_cached("DELETE FROM undo WHERE n >= ?1").unwrap().execute([lowest]).unwrap();
}
