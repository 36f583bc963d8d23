//! What the tables of a connection promise, case by case.

use countersign_core::StorageClass;
use rusqlite::Connection;

use super::{World, poison, run, schema};
use crate::state::{ApplyError, Guard, Schema, Tables};

const TODOS: &str = "CREATE TABLE todos (id TEXT PRIMARY KEY, text TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE tags (todo TEXT REFERENCES todos (id) ON DELETE CASCADE, tag ANY, PRIMARY KEY (todo, tag)) STRICT, WITHOUT ROWID;
    CREATE INDEX by_tag ON tags (tag);
    CREATE VIEW open AS SELECT id FROM todos WHERE done = 0;";

// Verifies: S3
#[test]
fn undo_goes_back_to_any_mark_and_forgets_only_what_it_is_told() {
    let world = World::new(TODOS);
    let mut dumps = vec![world.dump()];
    for (mark, sql) in [
        "INSERT INTO todos (id, text) VALUES ('a', 'milk' || char(0) || '!'), ('b', 'bread')",
        "INSERT INTO tags SELECT id, 1 FROM open",
        "REPLACE INTO todos (id, text) VALUES ('a', 'oats')",
        "UPDATE todos SET id = 'c' WHERE id = 'a'",
        "DELETE FROM todos",
    ]
    .iter()
    .enumerate()
    {
        world.run(Some(mark as i64 + 1), &[sql]).unwrap();
        dumps.push(world.dump());
    }
    // REPLACE has taken the tags of the replaced row with it.
    assert!(dumps[2].contains("'a' | 1") && !dumps[3].contains("'a' | 1"));
    for mark in (1..=4).rev() {
        world.undo_after(mark);
        assert_eq!(world.dump(), dumps[mark as usize], "mark {mark}");
    }
    world.run(Some(2), &["UPDATE todos SET done = 1"]).unwrap();
    world.tables.forget_through(&world.conn, 1).unwrap();
    assert_eq!(world.recorded(), 2);
    world.undo_after(0);
    assert_eq!(world.dump(), dumps[1]);
    assert_eq!(world.recorded(), 0);
}

#[test]
fn nothing_is_recorded_without_a_mark() {
    let world = World::new(TODOS);
    world.run(None, &["INSERT INTO todos (id, text) VALUES ('a', 'milk')"]).unwrap();
    assert_eq!(world.recorded(), 0);
    assert_eq!(world.tables.take_changed().count(), 1);
    assert_eq!(world.tables.take_changed().count(), 0);
}

#[test]
fn what_an_event_may_not_is_poison_and_leaves_the_transaction_to_the_caller() {
    let world = World::new(TODOS);
    assert_eq!(poison(world.run(Some(1), &["INSERT INTO todos (id) VALUES ('a')"])), "NOT NULL constraint failed: todos.text");
    assert_eq!(poison(world.run(Some(1), &["INSERT INTO tags VALUES ('nobody', 1)"])), "FOREIGN KEY constraint failed");
    assert_eq!(poison(world.run(Some(1), &["UPDATE nowhere SET a = 1"])), "no such table: nowhere");
    let message = poison(world.run(Some(1), &["INSERT OR /* */ rollback INTO todos (id) VALUES ('a')"]));
    assert!(message.starts_with("ROLLBACK would undo the commits of others"), "{message}");
    assert_eq!(world.dump(), World::new(TODOS).dump());
    let unknown = countersign_core::Event { name: "v9.Unheard".into(), args: "null".into(), client_only: false };
    assert_eq!(world.tables.apply(&world.conn, &unknown, None), Err(ApplyError::UnknownEvent));
    let misfit = countersign_core::Event { name: "v1.Run".into(), args: "{}".into(), client_only: false };
    let message = poison(world.tables.apply(&world.conn, &misfit, None));
    assert!(message.starts_with("the arguments are not those of v1.Run"), "{message}");
}

#[test]
fn a_deferred_key_is_the_fault_of_the_commit_that_breaks_it() {
    let world = World::new(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (p REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);",
    );
    world.run(Some(1), &["INSERT INTO child VALUES (1)", "INSERT INTO parent VALUES (1)"]).unwrap();
    let before = world.dump();
    let message = poison(world.run(Some(2), &["DELETE FROM parent"]));
    assert_eq!(message, "a row of `child` refers to a row of `parent` that is not there at the end of the commit");
    assert_eq!(world.dump(), before);
    world.run(Some(2), &["DELETE FROM parent", "DELETE FROM child"]).unwrap();
    world.undo_after(1);
    assert_eq!(world.dump(), before);
}

#[test]
fn a_panic_is_poison_and_a_full_disk_is_not() {
    let full = Schema::builder(1)
        .state_sql("CREATE TABLE t (a)")
        .event_sql("v1.Fill", false, ["INSERT INTO t VALUES (zeroblob(:bytes))"])
        .event::<super::Run>(|db, super::Run(words)| {
            // What a materialiser makes light of, its store does not.
            let _ = db.execute("INSERT INTO t VALUES (zeroblob(?))", [10_000_000]);
            assert!(words.is_empty(), "out of words");
            Ok(())
        });
    let dir = tempfile::tempdir().unwrap();
    let conn = Connection::open(dir.path().join("db")).unwrap();
    let world = World::in_connection(conn, full.build().unwrap());
    assert_eq!(poison(world.run(None, &["x"])), "the materialiser panicked: out of words");
    world.conn.execute_batch("DELETE FROM t; VACUUM; PRAGMA max_page_count = 20").unwrap();
    let is_full = |result| matches!(result, Err(ApplyError::Trouble(failure)) if failure.class == StorageClass::Full);
    assert!(is_full(world.run(Some(1), &[])));
    let fill = countersign_core::Event { name: "v1.Fill".into(), args: r#"{"bytes":1000000}"#.into(), client_only: false };
    world.conn.execute_batch("BEGIN").unwrap();
    assert!(is_full(world.tables.apply(&world.conn, &fill, None)));
    world.end(false);
    assert_eq!(world.count("t"), 0);
}

#[test]
fn parameters_are_the_fields_of_the_arguments() {
    let schema = Schema::builder(1)
        .state_sql("CREATE TABLE t (a, b, c, d, e, f, g, h, whole)")
        .event_sql("v1.All", false, ["INSERT INTO t VALUES (:a, :b, :c, :d, :e, :f, :g, :\u{e4}, :args)"])
        .build()
        .unwrap();
    let world = World::in_connection(Connection::open_in_memory().unwrap(), schema);
    let args = r#"{"a":null,"b":true,"c":-7,"d":1e+21,"e":"q\"\u0000","f":{"x":[1]},"h":0,"ä":"ü"}"#;
    let event = countersign_core::Event { name: "v1.All".into(), args: args.into(), client_only: false };
    world.tables.apply(&world.conn, &event, None).unwrap();
    let null = countersign_core::Event { args: "null".into(), ..event };
    world.tables.apply(&world.conn, &null, None).unwrap();
    let dump = world.dump();
    let whole = args.as_bytes().escape_ascii();
    let first = format!(r#"  1 | NULL | 1 | -7 | 1e21 | 'q\"\x00' | '{{\"x\":[1]}}' | NULL | '\xc3\xbc' | '{whole}'"#);
    assert!(dump.contains(&first), "{dump}");
    assert!(dump.contains("  2 | NULL | NULL | NULL | NULL | NULL | NULL | NULL | NULL | 'null'"), "{dump}");
}

#[test]
fn a_file_goes_on_where_it_was_left_and_seeds_another_database() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let state = format!("{TODOS} CREATE TABLE keyless (a)");
    let (before, recorded) = {
        let world = World::in_connection(Connection::open(&path).unwrap(), schema(&state));
        let sql = [
            "INSERT INTO keyless VALUES (1), (2), (3)",
            "DELETE FROM keyless WHERE a = 2",
            "INSERT INTO todos (id, text) VALUES ('a', 'x')",
        ];
        world.run(None, &sql).unwrap();
        let before = world.dump();
        world.run(Some(5), &["UPDATE keyless SET a = a + CAST(x'ff' AS TEXT)", "INSERT INTO tags VALUES ('a', 2.0)"]).unwrap();
        world.run(Some(6), &["DELETE FROM todos", "DELETE FROM keyless"]).unwrap();
        (before, world.recorded())
    };
    let mut conn = Connection::open(&path).unwrap();
    let guard = Guard::install(&mut conn).unwrap();
    let schema = schema(&state);
    let tables = Tables::open(&conn, &schema, &guard).unwrap();
    let world = World { conn, guard, schema, tables };

    let seeded = World::new(&state);
    world.conn.execute_batch("BEGIN").unwrap();
    seeded.tables.copy(&world.conn, &seeded.conn).unwrap();
    world.end(true);
    assert_eq!((seeded.dump(), seeded.recorded()), (world.dump(), recorded));

    for world in [&world, &seeded] {
        world.run(Some(7), &["INSERT INTO keyless VALUES (9)"]).unwrap();
        world.undo_after(4);
        assert_eq!(world.dump(), before);
        assert!(world.run(Some(8), &["INSERT INTO tags VALUES ('nobody', 1)"]).is_err(), "foreign keys are on");
    }
}

#[test]
fn clear_empties_and_drop_all_leaves_only_what_is_not_state() {
    let world = World::new(TODOS);
    world.conn.execute_batch("CREATE TABLE countersign_log (a); INSERT INTO countersign_log VALUES (1)").unwrap();
    let empty = world.dump();
    let fill = ["INSERT INTO todos (id, text) VALUES ('a', 'x')", "INSERT INTO tags VALUES ('a', 1)"];
    world.run(Some(1), &fill).unwrap();
    world.conn.execute_batch("BEGIN").unwrap();
    world.tables.clear(&world.conn).unwrap();
    world.end(true);
    assert_eq!((world.dump(), world.recorded()), (empty.clone(), 0));

    world.run(Some(1), &fill).unwrap();
    world.conn.execute_batch("BEGIN").unwrap();
    Tables::drop_all(&world.conn).unwrap();
    let tables = Tables::create(&world.conn, &schema("CREATE TABLE other (a)"), &world.guard).unwrap();
    world.end(true);
    assert_eq!(world.count("countersign_log"), 1);
    assert_eq!(tables.dump(&world.conn).unwrap(), "\"other\"\n");
    let names: i64 = world.conn.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)).unwrap();
    assert_eq!(names, 1 + 1 + 1 + 3, "the log, the table, its undo table and its triggers");
    let event = run(&["INSERT INTO other VALUES (1)"]);
    tables.apply(&world.conn, &event, Some(1)).unwrap();
    tables.undo_after(&world.conn, 0).unwrap();
    assert_eq!(tables.dump(&world.conn).unwrap(), "\"other\"\n");
}
