//! Random statements over tables of all shapes: whatever they do is undone exactly.

use std::fmt::Write as _;

use super::{World, run};

const TABLES: &str = "
    CREATE TABLE plain (id INTEGER PRIMARY KEY, a TEXT UNIQUE, b REAL);
    CREATE TABLE keyless (a, b);
    CREATE TABLE textkey (a TEXT PRIMARY KEY, b);
    CREATE TABLE twokeys (a TEXT, b INTEGER, c, PRIMARY KEY (b, a)) WITHOUT ROWID;
    CREATE TABLE folded (a TEXT COLLATE NOCASE, b, PRIMARY KEY (a COLLATE BINARY)) WITHOUT ROWID;
    CREATE TABLE unfolded (a TEXT, b, PRIMARY KEY (a COLLATE NOCASE)) WITHOUT ROWID;
    CREATE TABLE onlykey (a PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE onlyrowid (id INTEGER PRIMARY KEY);
    CREATE TABLE generated (a INTEGER, b AS (a * 2) STORED UNIQUE, c TEXT AS (a || 'x') VIRTUAL, d, CHECK (a IS NULL OR a < 6));
    CREATE TABLE shadowed (\"rowid\" TEXT, oid INTEGER UNIQUE, a);
    CREATE TABLE replacing (id INTEGER PRIMARY KEY, a UNIQUE ON CONFLICT REPLACE, b NOT NULL ON CONFLICT REPLACE DEFAULT 7);
    CREATE TABLE strict (id INTEGER PRIMARY KEY, a ANY, b REAL, c BLOB) STRICT;
    CREATE TABLE \"odd \"\"name\" (\"a b\" PRIMARY KEY, \"select\");
    CREATE TABLE parent (id INTEGER PRIMARY KEY, a TEXT UNIQUE);
    CREATE TABLE cascades (id INTEGER PRIMARY KEY, p REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE);
    CREATE TABLE nulls (id INTEGER PRIMARY KEY, p REFERENCES parent (id) ON DELETE SET NULL ON UPDATE SET NULL);
    CREATE TABLE defaults (id INTEGER PRIMARY KEY, p DEFAULT 1 REFERENCES parent (id) ON DELETE SET DEFAULT ON UPDATE SET DEFAULT);
    CREATE TABLE restricts (id INTEGER PRIMARY KEY, p REFERENCES parent (id) ON DELETE RESTRICT ON UPDATE RESTRICT);
    CREATE TABLE bytext (p TEXT REFERENCES parent (a) ON UPDATE CASCADE ON DELETE CASCADE, b, PRIMARY KEY (p, b)) WITHOUT ROWID;
    CREATE TABLE grandchild (id INTEGER PRIMARY KEY, p REFERENCES cascades (id) ON DELETE CASCADE ON UPDATE SET NULL);
    CREATE TABLE tree (id INTEGER PRIMARY KEY, up REFERENCES tree (id) ON DELETE CASCADE);
    CREATE TABLE list (id INTEGER PRIMARY KEY, next UNIQUE REFERENCES list (id) ON DELETE SET NULL);
    CREATE TABLE deferred (id INTEGER PRIMARY KEY, p REFERENCES parent (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
    CREATE INDEX by_a ON keyless (a, b);
    CREATE VIEW families AS SELECT parent.a, tree.id FROM parent JOIN tree ON tree.id = parent.id;
";

/// Each with its columns.
const COLUMNS: &[(&str, &[&str])] = &[
    ("plain", &["id", "a", "b"]),
    ("keyless", &["a", "b", "rowid"]),
    ("textkey", &["a", "b"]),
    ("twokeys", &["a", "b", "c"]),
    ("folded", &["a", "b"]),
    ("unfolded", &["a", "b"]),
    ("onlykey", &["a"]),
    ("onlyrowid", &["id"]),
    ("generated", &["a", "d"]),
    ("shadowed", &["\"rowid\"", "oid", "a", "_rowid_"]),
    ("replacing", &["id", "a", "b"]),
    ("strict", &["id", "a", "b", "c"]),
    ("\"odd \"\"name\"", &["\"a b\"", "\"select\""]),
    ("parent", &["id", "a"]),
    ("parent", &["id", "a"]),
    ("parent", &["id", "a"]),
    ("cascades", &["id", "p"]),
    ("nulls", &["id", "p"]),
    ("defaults", &["id", "p"]),
    ("restricts", &["id", "p"]),
    ("bytext", &["p", "b"]),
    ("grandchild", &["id", "p"]),
    ("tree", &["id", "up"]),
    ("tree", &["id", "up"]),
    ("list", &["id", "next"]),
    ("deferred", &["id", "p"]),
];

const VALUES: &[&str] = &[
    "NULL",
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "1",
    "2",
    "3",
    "'a'",
    "'A'",
    "'b'",
    "'1'",
    "''",
    "'x' || char(0) || 'y'",
    "x'00ff'",
    "CAST(x'fffe' AS TEXT)",
    "0.5",
    "2.0",
    "-0.0",
    "9e999",
    "-9223372036854775808",
    "9007199254740993",
];

/// Steele and others' SplitMix: enough to choose by, and the same everywhere.
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % bound as u64) as usize
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    fn statement(&mut self) -> String {
        let (table, columns) = *self.of(COLUMNS);
        match self.below(10) {
            0..5 => self.insert(table, columns),
            5..8 => {
                let or = self.of(&["", "", " OR REPLACE", " OR IGNORE", " OR FAIL"]);
                let (column, value) = (self.of(columns), self.of(VALUES));
                let value = if self.below(3) == 0 { format!("{column} + 1") } else { (*value).to_owned() };
                let filter = self.filter(columns);
                format!("UPDATE{or} {table} SET {column} = {value}{filter}")
            }
            _ => {
                let filter = self.filter(columns);
                format!("DELETE FROM {table}{filter}")
            }
        }
    }

    fn insert(&mut self, table: &str, columns: &[&str]) -> String {
        let or = self.of(&["", "", " OR REPLACE", " OR REPLACE", " OR IGNORE", " OR FAIL"]);
        let mut sql = format!("INSERT{or} INTO {table} ({}) VALUES ", columns.join(", "));
        for row in 0..=self.below(2) {
            let values: Vec<&str> = columns.iter().map(|_| *self.of(VALUES)).collect();
            let comma = if row > 0 { ", " } else { "" };
            // Writing to a string can't fail.
            let _ = write!(sql, "{comma}({})", values.join(", "));
        }
        match self.below(6) {
            0 => sql.push_str(" ON CONFLICT DO NOTHING"),
            1 => {
                let (column, value) = (self.of(columns), self.of(VALUES));
                let _ = write!(sql, " ON CONFLICT DO UPDATE SET {column} = {value}");
            }
            _ => {}
        }
        sql
    }

    fn filter(&mut self, columns: &[&str]) -> String {
        match self.below(5) {
            0 => String::new(),
            _ => format!(" WHERE {} {} {}", self.of(columns), self.of(&["IS", ">=", "<"]), self.of(VALUES)),
        }
    }
}

/// One world: commits of several events over several transactions, undone to commit borders, forgotten, and built up again.
///
/// Answers with how many statements were applied, and how many changes were undone.
fn world(seed: u64) -> (usize, i64) {
    let world = World::new(TABLES);
    let mut choose = Choices(seed);
    let (mut applied, mut undone) = (0, 0);
    let mut mark = 0;
    // After each commit that can be gone back to: its mark, and the state.
    let mut borders = vec![(0, world.dump())];
    for _ in 0..12 {
        world.conn.execute_batch("BEGIN").unwrap();
        for _ in 0..choose.below(12) {
            let before = world.dump();
            world.conn.execute_batch("SAVEPOINT one").unwrap();
            let mut good = true;
            for _ in 0..=choose.below(2) {
                let sql: Vec<String> = (0..=choose.below(2)).map(|_| choose.statement()).collect();
                let sql: Vec<&str> = sql.iter().map(String::as_str).collect();
                mark += 1;
                good = good && world.tables.apply(&world.conn, &run(&sql), Some(mark)).is_ok();
                applied += if good { sql.len() } else { 0 };
            }
            good = good && world.tables.check_deferred(&world.conn, &"last".into()).is_ok();
            if !good {
                world.conn.execute_batch("ROLLBACK TO one").unwrap();
                assert_eq!(world.dump(), before, "seed {seed}");
            }
            world.conn.execute_batch("RELEASE one").unwrap();
            borders.push((mark, world.dump()));
        }
        if choose.below(2) == 0 {
            let to = choose.below(borders.len());
            let recorded = world.recorded();
            borders.truncate(to + 1);
            world.tables.undo_after(&world.conn, borders[to].0).unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
            undone += recorded - world.recorded();
            assert_eq!(world.dump(), borders[to].1, "seed {seed}");
        }
        if choose.below(4) == 0 {
            let through = choose.below(borders.len());
            world.tables.forget_through(&world.conn, borders[through].0).unwrap();
            borders.drain(..through);
        }
        world.end(true);
        let broken: Option<String> = world.conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).ok();
        assert_eq!(broken.as_deref(), Some("ok"), "seed {seed}");
        assert!(world.conn.query_row("PRAGMA foreign_key_check", [], |_| Ok(())).is_err(), "seed {seed}: a key without its row");
    }
    world.undo_after(borders[0].0);
    assert_eq!(world.dump(), borders[0].1, "seed {seed}");
    assert_eq!(world.recorded(), 0, "seed {seed}");
    (applied, undone)
}

// Verifies: S3
#[test]
fn whatever_was_done_is_undone_exactly() {
    let (applied, undone) = (0..80).map(world).fold((0, 0), |(a, u), (applied, undone)| (a + applied, u + undone));
    // Else the statements no longer do anything, and the test would say nothing.
    assert!(applied > 4_000 && undone > 1_000, "{applied} statements applied, {undone} changes undone");
}
