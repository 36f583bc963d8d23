//! What can't be undone, or would not come out the same again, is refused by name.

use super::{World, poison};
use crate::state::Schema;

fn refusal(state_sql: &str) -> String {
    Schema::builder(1).state_sql(state_sql).build().map(|_| ()).unwrap_err().to_string()
}

#[test]
fn schemas_that_can_not_be_undone_or_replayed() {
    for (sql, named) in [
        ("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)", "the table `t` can't be used in state: AUTOINCREMENT"),
        ("CREATE VIRTUAL TABLE t USING fts5(a)", "may not create the fts5 table `t`"),
        (
            "CREATE TABLE t (a); CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END",
            "may not create the trigger `g` on `t`",
        ),
        (
            "CREATE TABLE t (a, at DEFAULT CURRENT_TIMESTAMP)",
            "the default of `t.at` can't be used in state: may not call current_timestamp()",
        ),
        ("CREATE TABLE t (a DEFAULT (random()))", "`t` may not call random()"),
        ("CREATE TABLE t (a DEFAULT (datetime('now')))", "the default of `t.a` can't be used in state: may not call datetime()"),
        ("CREATE TABLE t (a CHECK (a > random()))", "`t` may not call random()"),
        (
            "CREATE TABLE t (rowid, _rowid_, OID)",
            "the table `t` can't be used in state: its columns hide `rowid`, `_rowid_` and `oid`",
        ),
        ("CREATE TABLE Countersign_t (a)", "may not create the table `Countersign_t`: names that start with `countersign_`"),
        ("CREATE TABLE sqlite_t (a)", "object name reserved for internal use: sqlite_t"),
        ("CREATE TABLE t (a UNIQUE ON CONFLICT ROLLBACK)", "the table `t` can't be used in state: ON CONFLICT ROLLBACK"),
        ("CREATE TEMP TABLE t (a)", "may not create the table `t`: a schema only creates"),
        ("CREATE TABLE t (a); INSERT INTO t VALUES (1)", "may not insert into `t`: state starts empty"),
        ("CREATE TABLE t AS SELECT 1", "the table `t` can't be used in state: state starts empty"),
        ("CREATE TABLE t (a); DROP TABLE t", "may not drop the table `t`: a schema only creates tables, indexes and views"),
        ("PRAGMA foreign_keys = OFF", "may not run PRAGMA foreign_keys"),
        ("ATTACH ':memory:' AS other", "may not attach a database"),
        ("COMMIT", "may not begin or end a transaction"),
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, up REFERENCES t ON UPDATE CASCADE)",
            "the foreign key of `t` to `t` can't be used in state",
        ),
        (
            "CREATE TABLE a (id PRIMARY KEY REFERENCES b ON DELETE CASCADE); CREATE TABLE b (id PRIMARY KEY REFERENCES a ON UPDATE SET NULL)",
            "the foreign key of `b` to `a` can't be used in state",
        ),
    ] {
        let said = refusal(sql);
        assert!(said.contains(named), "{sql}: {said}");
    }
}

#[test]
fn schemas_that_can() {
    let schema = Schema::builder(1)
        .state_sql("CREATE TABLE t (rowid, _rowid_, oid INTEGER PRIMARY KEY, \"CURRENT_TIMESTAMP\" DEFAULT 'now')")
        .state_sql("CREATE TABLE u (id INTEGER PRIMARY KEY, up REFERENCES u ON DELETE CASCADE, at AS (date(up)), CHECK (date(at) > '1'))")
        .state_sql("CREATE VIEW v AS SELECT datetime('now'), random(); CREATE INDEX i ON u (lower(up)) WHERE up IS NOT NULL");
    assert_eq!(schema.build().unwrap().table_names().collect::<Vec<_>>(), ["t", "u"]);
}

#[test]
fn what_guards_may_not() {
    let world = World::new("CREATE TABLE t (a)");
    world.conn.execute_batch("INSERT INTO t VALUES (1); CREATE TABLE countersign_eventlog (a)").unwrap();
    // Prepared by others, who may: a guard must not come by it.
    for sql in ["SELECT random()", "SELECT a FROM countersign_eventlog", "DELETE FROM t"] {
        world.conn.prepare_cached(sql).unwrap();
    }
    let asked = |sql: &'static str| {
        let schema = crate::state::Schema::builder(1).state_sql("CREATE TABLE t (a)");
        let schema = schema.guard::<Any>(move |db, _| match db.query_optional(sql, [], |row| row.get::<_, bool>(0))? {
            Some(true) => Ok(()),
            _ => Err("no".into()),
        });
        let tables = crate::state::Tables::open(&world.conn, &schema.build().unwrap(), &world.guard).unwrap();
        let guard = countersign_core::Guard { name: "v1.Any".into(), args: "null".into() };
        let unmet = tables.check_guard(&world.conn, &guard).err();
        assert_eq!(tables.check_guard(&world.conn, &guard).err(), unmet, "the second time too: {sql}");
        unmet.map(|unmet| match unmet {
            crate::state::Unmet::Fails(message) => message,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(asked("SELECT a = 1 FROM t"), None);
    assert_eq!(asked("SELECT a = 2 FROM t").unwrap(), "no");
    for (sql, said) in [
        ("SELECT random()", "may not call random()"),
        ("SELECT a FROM countersign_eventlog", "may not read `countersign_eventlog"),
        ("SELECT count(*) FROM sqlite_schema", "a guard sees the state tables only"),
        ("SELECT CURRENT_DATE", "may not call current_date()"),
        ("DELETE FROM t RETURNING a", "may not delete from `t`: a guard only reads"),
        ("COMMIT", "may not"),
        ("SELECT b FROM t", "no such column: b"),
    ] {
        let message = asked(sql).unwrap();
        assert!(message.contains(said), "{sql}: {message}");
    }
    assert_eq!(asked("SELECT a = 1 FROM t"), None, "nothing was lost on the way");
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Any;

impl crate::state::GuardType for Any {
    const NAME: &'static str = "v1.Any";
}

#[test]
fn what_materialisers_may_not() {
    let world = World::new("CREATE TABLE t (a); CREATE VIEW clock AS SELECT datetime('now') AS now");
    world.conn.execute_batch("CREATE TABLE countersign_eventlog (a)").unwrap();
    // Prepared by others, who may: a materialiser must not come by it.
    for sql in ["INSERT INTO t SELECT random()", "INSERT INTO countersign_eventlog VALUES (1)"] {
        world.conn.prepare_cached(sql).unwrap();
    }
    for (sql, named) in [
        ("INSERT INTO t SELECT random()", "may not call random()"),
        ("INSERT INTO t VALUES (RANDOMBLOB(4))", "may not call randomblob()"),
        ("INSERT INTO t VALUES (datetime('now'))", "may not call datetime()"),
        ("INSERT INTO t VALUES (CURRENT_DATE)", "may not call current_date()"),
        ("INSERT INTO t SELECT now FROM clock", "may not call datetime()"),
        ("INSERT INTO t VALUES (last_insert_rowid())", "may not call last_insert_rowid()"),
        ("INSERT INTO t VALUES (countersign_number())", "may not call countersign_number()"),
        ("INSERT INTO countersign_eventlog VALUES (1)", "may not insert into `countersign_eventlog`"),
        ("DELETE FROM countersign_undo_t", "may not delete from `countersign_undo_t`"),
        ("UPDATE \"COUNTERSIGN_eventlog\" SET a = 1", "may not update `countersign_eventlog.a`"),
        ("INSERT INTO t SELECT a FROM countersign_eventlog", "may not read `countersign_eventlog`"),
        ("INSERT INTO t SELECT name FROM sqlite_schema", "may not read `sqlite_master`"),
        ("INSERT INTO t SELECT name FROM pragma_table_info('t')", "may not"),
        ("DELETE FROM sqlite_master", "may not"),
        ("CREATE TABLE u (a)", "may not insert into `sqlite_master`"),
        ("CREATE TEMP TABLE u (a)", "a materialiser works on the state tables only"),
        ("DROP TRIGGER countersign_undo_t_insert", "may not"),
        ("ALTER TABLE t ADD COLUMN b", "may not"),
        ("ANALYZE", "may not"),
        ("PRAGMA recursive_triggers = OFF", "may not run PRAGMA recursive_triggers"),
        ("ATTACH ':memory:' AS other", "may not attach a database"),
        ("COMMIT", "may not begin or end a transaction"),
        ("SAVEPOINT one", "may not set or end a savepoint"),
        ("VACUUM", "may not"),
    ] {
        let said = poison(world.run(Some(1), &[sql]));
        // SQLite comes before us with this one.
        let said = said.replace("cannot VACUUM", "may not VACUUM");
        assert!(said.contains(named), "{sql}: {said}");
        assert!(!said.contains("not authorized"), "{sql}: {said}");
    }
    assert_eq!(world.count("t"), 0);
}

#[test]
fn what_materialisers_may() {
    let world = World::new("CREATE TABLE t (a UNIQUE); CREATE VIEW v AS SELECT max(a) AS top FROM t");
    for sql in [
        "INSERT INTO t SELECT value FROM json_each('[1, 2, 3]')",
        "WITH RECURSIVE n (n) AS (SELECT 4 UNION ALL SELECT n + 1 FROM n WHERE n < 6) INSERT INTO t SELECT n FROM n",
        "INSERT INTO t SELECT top + 1 FROM v",
        "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = abs(a) - 1",
        "DELETE FROM t WHERE a IN (SELECT max(a) FROM t)",
    ] {
        world.run(Some(1), &[sql]).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    assert_eq!(world.count("t"), 6);
}
