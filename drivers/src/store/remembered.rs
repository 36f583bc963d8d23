//! Tests of what a store remembers for programs that are given nothing but its path.

use std::fs;

use super::Store;
use crate::{Durability, OpenError, Reader, Schema, Settings, Writer};

const SCHEMA: &str = "version = 1\n[state]\nsql = \"CREATE TABLE t (id INTEGER PRIMARY KEY)\"\n[events.\"v1.Noted\"]\n";

#[test]
fn settings_are_remembered_and_changed_by_whoever_holds_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    assert_eq!(Store::set_settings(&path, &Settings::new(SCHEMA)), Err(OpenError::Missing { path: path.clone() }));
    let mut settings = Settings::new(SCHEMA);
    settings.backend = Some("embedded:backend.db".to_owned());
    settings.durability = Durability::Process;
    settings.store_id = "shop".to_owned();
    Store::init(&path, &settings).unwrap();
    assert_eq!(Store::init(&path, &settings), Err(OpenError::Exists { path: path.clone() }));

    let mut reader = Reader::open(&path).unwrap();
    assert_eq!(reader.settings().unwrap(), Some(settings.clone()));
    assert_eq!((reader.writer(), reader.status().unwrap().client), (None, reader.client().clone()));

    let schema = Schema::from_toml(SCHEMA).unwrap();
    let store = Store::open(&path).schema(schema).blocking().unwrap();
    assert_eq!(reader.writer(), Some(Writer { pid: Some(std::process::id()) }));
    assert!(matches!(Store::set_settings(&path, &settings), Err(OpenError::Locked { .. })));
    assert!(store.close(std::time::Duration::from_secs(10)).persisted);

    assert_eq!(reader.writer(), None);
    settings.backend = None;
    settings.schema = SCHEMA.replace("version = 1", "version = 2");
    Store::set_settings(&path, &settings).unwrap();
    assert_eq!(reader.settings().unwrap(), Some(settings));
}

#[test]
fn a_store_made_without_settings_says_so_and_a_broken_schema_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let broken = Settings::new("version = 1\n[state]\nsql = \"CREATE TBLE t\"\n");
    let error = Store::init(&path, &broken).unwrap_err();
    assert!(matches!(&error, OpenError::Schema { .. }) && error.to_string().contains("line 3"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

    drop(Store::open(&path).schema(Schema::from_toml(SCHEMA).unwrap()).blocking().unwrap());
    assert_eq!(Reader::open(&path).unwrap().settings().unwrap(), None);
}
