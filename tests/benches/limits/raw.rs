//! The same work by hand: rusqlite, the same statements, pragmas and batch sizes, and nothing else.

use std::path::Path;

use rusqlite::Connection;

/// State and undo in memory: what a session's database does for an event.
pub(crate) struct Session(Connection);

impl Session {
    pub(crate) fn new() -> Self {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(
            "CREATE TABLE todos (id TEXT PRIMARY KEY, text TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0) STRICT;
             CREATE TABLE undo (n INTEGER PRIMARY KEY, mark INTEGER, op INTEGER, at INTEGER, id TEXT, text TEXT, done INTEGER);
             CREATE TRIGGER undo_insert AFTER INSERT ON todos BEGIN
               INSERT INTO undo (mark, op, at) VALUES (0, 0, NEW.rowid); END;
             CREATE TRIGGER undo_update AFTER UPDATE ON todos BEGIN
               INSERT INTO undo (mark, op, at, id, text, done) VALUES (0, 2, NEW.rowid, OLD.id, OLD.text, OLD.done); END;",
        )
        .unwrap();
        Self(conn)
    }

    pub(crate) fn commit(&self, id: &str, text: &str) {
        let run = |sql: &str| self.0.prepare_cached(sql).unwrap().execute([]).unwrap();
        run("BEGIN");
        self.0.prepare_cached(crate::store::UPSERT_BY_HAND).unwrap().execute((id, text)).unwrap();
        run("COMMIT");
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
             INSERT INTO heads VALUES (1, 0, 0);
             CREATE TABLE todos (id TEXT PRIMARY KEY, text TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0) STRICT;",
        )
        .unwrap();
        Self(conn)
    }

    /// One transaction of these events.
    pub(crate) fn commit<'a>(&self, from: i64, events: impl Iterator<Item = (String, &'a str)>) {
        let run = |sql: &str| self.0.prepare_cached(sql).unwrap().execute([]).unwrap();
        run("BEGIN IMMEDIATE");
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
        run("COMMIT");
    }
}
