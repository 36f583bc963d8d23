//! Tests of storage as a whole: a small model of the machine gives the orders, real files carry them out.

mod guards;
mod model;
mod opening;
mod random;
mod trouble;
mod undoing;
mod working;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_core::{Boot, Event, Materialised};
use tempfile::TempDir;

use super::*;
use crate::state::SchemaBuilder;
use model::Model;

/// Items that can collide, a counter that remembers order, and something that stays here.
pub(super) fn schema() -> Schema {
    schema_version(1, "text TEXT NOT NULL")
}

/// The same with another column type, so that another hash.
pub(super) fn schema_version(version: u32, text: &str) -> Schema {
    schema_builder(version, text).build().unwrap()
}

pub(super) fn schema_builder(version: u32, text: &str) -> SchemaBuilder {
    Schema::builder(version)
        .state_sql(&format!(
            "CREATE TABLE items (id INTEGER PRIMARY KEY, {text});
             CREATE TABLE trail (id INTEGER PRIMARY KEY, line TEXT NOT NULL);
             CREATE TABLE notes (item INTEGER NOT NULL REFERENCES items (id) ON DELETE CASCADE, note TEXT NOT NULL);"
        ))
        .event_sql(
            "v1.Added",
            false,
            ["INSERT INTO trail (line) VALUES ('added ' || :id)", "INSERT INTO items (id, text) VALUES (:id, :text)"],
        )
        .event_sql("v1.Changed", false, ["UPDATE items SET text = text || :text WHERE id = :id"])
        .event_sql("v1.Removed", false, ["DELETE FROM items WHERE id = :id"])
        .event_sql("v1.Noted", false, ["INSERT INTO notes (item, note) VALUES (:id, :text)"])
        .event_sql("v1.Seen", true, ["INSERT INTO trail (line) VALUES ('seen ' || :id)"])
}

pub(super) fn event(name: &str, id: u64, text: &str) -> Event {
    let args = format!(r#"{{"id":{id},"text":"{text}"}}"#);
    Event { name: Arc::from(name), args: Arc::from(args), client_only: name == "v1.Seen" }
}

pub(super) fn added(id: u64) -> Event {
    event("v1.Added", id, "x")
}

pub(super) fn options(backend: bool) -> Options {
    options_with(schema(), backend)
}

pub(super) fn options_with(schema: Schema, backend: bool) -> Options {
    Options {
        schema,
        durability: Durability::Process,
        backend,
        size_limit: None,
        client: Some(Arc::from("c1")),
        clock: Clock::default(),
        progress: None,
    }
}

/// A store in a folder of its own, and the model of what it holds.
pub(super) struct Bench {
    pub(super) folder: TempDir,
    pub(super) storage: Storage,
    pub(super) model: Model,
}

impl Bench {
    pub(super) fn new(backend: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (storage, boot, report) = Storage::open(&store_path(&folder), options(backend)).unwrap();
        assert!(report.created && report.rebuilt.is_none());
        assert_eq!((boot.number, boot.pending.len(), boot.anchor), (0, 0, None));
        Self { folder, storage, model: Model::new(backend) }
    }

    pub(super) fn path(&self) -> PathBuf {
        store_path(&self.folder)
    }

    /// Carries out an order that has to succeed, checks everything, and answers the skips.
    pub(super) fn ok(&mut self, txn: Txn) -> Vec<Skip> {
        match self.storage.materialise(&txn) {
            Materialised::Committed { skipped } => {
                self.model.committed(&txn);
                self.check();
                skipped
            }
            other => panic!("{other:?} for {txn:?}"),
        }
    }

    /// A commit of its own.
    pub(super) fn commit(&mut self, events: &[Event]) -> CommitId {
        let entries = self.model.own(events);
        let id = entries[0].commit_id().unwrap();
        let txn = self.model.append(entries);
        self.ok(txn);
        id
    }

    /// Nothing is wrong with the file, and it holds what the model holds.
    pub(super) fn check(&mut self) {
        assert_eq!(self.storage.check().unwrap(), Vec::<String>::new());
        let heads = self.model.heads.clone();
        let file = self.storage.file().unwrap();
        let rows = boot::rows_after(&file.conn, &mut file.log, countersign_core::Pos::ROOT).unwrap();
        let entries: Vec<_> = rows.into_iter().map(|row| row.into_entry(&heads)).collect();
        assert_eq!(entries, self.model.log);
    }

    /// Closes and opens it.
    pub(super) fn reopen(self, options: Options) -> (Self, Boot, OpenReport) {
        let Self { folder, storage, model } = self;
        drop(storage);
        let (storage, boot, report) = Storage::open(&store_path(&folder), options).unwrap();
        (Self { folder, storage, model }, boot, report)
    }

    pub(super) fn items(&self) -> String {
        query(&self.path(), "SELECT group_concat(id || ':' || text, ' ') FROM (SELECT * FROM items ORDER BY id)")
    }

    pub(super) fn trail(&self) -> String {
        query(&self.path(), "SELECT group_concat(line, ', ') FROM (SELECT * FROM trail ORDER BY id)")
    }
}

pub(super) fn store_path(folder: &TempDir) -> PathBuf {
    folder.path().join("test.db")
}

pub(super) fn query(path: &Path, sql: &str) -> String {
    let rows = Reader::open(path).unwrap().query(sql).unwrap();
    rows.rows[0][0].as_str().unwrap_or_default().to_owned()
}

pub(super) use countersign_core::Txn;
