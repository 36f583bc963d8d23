//! Tests of a session's database.

use countersign_core::{CommitId, SessionId};

use super::*;

fn schema() -> Schema {
    Schema::builder(1)
        .state_sql("CREATE TABLE counts (name TEXT PRIMARY KEY, n INTEGER NOT NULL CHECK (n < 10)) WITHOUT ROWID")
        .state_sql("CREATE TABLE log (text)")
        .event_sql(
            "v1.Add",
            false,
            [
                "INSERT INTO counts VALUES (:name, :n) ON CONFLICT (name) DO UPDATE SET n = n + excluded.n",
                "INSERT INTO log VALUES (:name)",
            ],
        )
        .event_sql("v1.Noted", false, ["INSERT INTO log VALUES (:text)"])
        .build()
        .unwrap()
}

fn add(name: &str, n: i64) -> Event {
    Event { name: "v1.Add".into(), args: format!(r#"{{"n":{n},"name":"{name}"}}"#).into(), client_only: false }
}

fn unit(event: Event, commit: Option<u64>, undoable: bool) -> Unit {
    let commit = commit.map(|ordinal| CommitId { session: SessionId([1; 16]), ordinal });
    Unit { event: Arc::new(event), commit, guard: None, undoable }
}

fn counts(db: &SessionDb) -> String {
    let sql = "SELECT group_concat(name || '=' || n, ' ') FROM (SELECT * FROM counts ORDER BY name)";
    db.query(|db| db.query_row(sql, [], |row| row.get::<_, Option<String>>(0))).unwrap().unwrap_or_default()
}

// Verifies: S3
#[test]
fn a_commit_whose_guard_does_not_hold_is_not_taken_or_left_out() {
    let schema = Schema::builder(1)
        .state_sql("CREATE TABLE log (text)")
        .event_sql("v1.Noted", false, ["INSERT INTO log VALUES (:text)"])
        .guard_sql("v1.Short", "SELECT count(*) < :most FROM log", None)
        .build()
        .unwrap();
    let mut db = SessionDb::new(&schema).unwrap();
    let noted = || Event { name: "v1.Noted".into(), args: r#"{"text":"x"}"#.into(), client_only: false };
    let short = |most: u32| CommitGuard { name: "v1.Short".into(), args: format!(r#"{{"most":{most}}}"#).into() };
    db.commit(Some(&short(1)), &[noted(), noted()]).unwrap();
    let before = (db.dump().unwrap(), db.units());
    let failure = db.commit(Some(&short(2)), &[noted()]).unwrap_err();
    let answer = Unmet::Fails("its query answers 0".to_owned());
    assert_eq!(failure, CommitFailure::Guard { guard: "v1.Short".into(), unmet: answer });
    assert!(matches!(db.commit(Some(&short(2)), &[]), Err(CommitFailure::Guard { .. })), "also of nothing");
    assert_eq!((db.dump().unwrap(), db.units()), before);
    // Somebody else's event comes before them: the guard is on the second unit, and decides about both.
    let guarded = Unit { guard: Some(Arc::new(short(1))), ..unit(noted(), Some(1), true) };
    let apply = vec![unit(noted(), None, false), unit(noted(), Some(1), true), guarded, unit(noted(), Some(2), true)];
    assert_eq!(db.run(&SessionTxn { undo: 2, forget: 0, apply }), SessionApplied::Done);
    let count: i64 = db.query(|db| db.query_row("SELECT count(*) FROM log", [], |row| row.get(0))).unwrap();
    assert_eq!((count, db.units()), (2, 3));
}

// Verifies: S3
#[test]
fn a_rebase_puts_others_before_what_is_pending_and_leaves_out_what_no_longer_fits() {
    let mut db = SessionDb::new(&schema()).unwrap();
    db.commit(None, &[add("a", 2)]).unwrap();
    db.commit(None, &[add("b", 1), add("a", 4)]).unwrap();
    assert_eq!((counts(&db).as_str(), db.units()), ("a=6 b=1", 3));
    let own = [(add("a", 2), 1), (add("b", 1), 2), (add("a", 4), 2)];
    let mut apply = vec![unit(add("a", 5), None, false), unit(add("a", 9), None, false)];
    apply.extend(own.map(|(event, commit)| unit(event, Some(commit), true)));
    assert_eq!(db.run(&SessionTxn { undo: 3, forget: 0, apply }), SessionApplied::Done);
    // The second of the others fits nowhere, and the second commit not any more, as a whole; its units count all the same.
    assert_eq!((counts(&db).as_str(), db.units()), ("a=7", 3));
    assert_eq!(db.run(&SessionTxn { undo: 2, forget: 1, apply: vec![] }), SessionApplied::Done);
    assert_eq!((counts(&db).as_str(), db.units()), ("a=7", 0));
}

#[test]
fn a_commit_is_in_the_database_whole_or_not_at_all() {
    let mut db = SessionDb::new(&schema()).unwrap();
    db.commit(None, &[add("a", 1)]).unwrap();
    let before = (db.dump().unwrap(), db.units());
    let failure = db.commit(None, &[add("b", 1), add("a", 9)]).unwrap_err();
    assert_eq!(failure.to_string(), "event 1 (`v1.Add`) can't be materialised: statement 1: CHECK constraint failed: n < 10");
    assert_eq!((db.dump().unwrap(), db.units()), before);
    db.commit(None, &[]).unwrap();
    db.commit(None, &[add("a", 8)]).unwrap();
    assert_eq!(counts(&db), "a=9");
}

// Verifies: S3
#[test]
fn a_commit_of_one_statement_is_whole_too_whatever_the_statement_says_of_failing() {
    let rows = "VALUES (1), (:n), (3)";
    let schema = Schema::builder(1)
        .state_sql("CREATE TABLE t (n INTEGER CHECK (n < 10)) STRICT")
        .event_sql("v1.Three", false, [format!("INSERT INTO t {rows}")])
        .event_sql("v1.Halfway", false, [format!("INSERT OR FAIL INTO t {rows}")])
        .build()
        .unwrap();
    let mut db = SessionDb::new(&schema).unwrap();
    let empty = db.dump().unwrap();
    for name in ["v1.Three", "v1.Halfway"] {
        let event = |n: i64| Event { name: name.into(), args: format!(r#"{{"n":{n}}}"#).into(), client_only: false };
        assert!(matches!(db.commit(None, &[event(10)]), Err(CommitFailure::Materialise { index: 0, .. })), "{name}");
        assert_eq!((db.dump().unwrap(), db.units()), (empty.clone(), 0), "{name}");
        let before = db.revision();
        db.commit(None, &[event(2)]).unwrap();
        assert_eq!(db.changed_since(before).collect::<Vec<_>>(), ["t"]);
        assert_eq!(db.query(|db| db.query_row("SELECT sum(n) FROM t", [], |row| row.get::<_, i64>(0))).unwrap(), 6);
        assert_eq!(db.run(&SessionTxn { undo: 1, forget: 0, apply: vec![] }), SessionApplied::Done);
        assert_eq!(db.dump().unwrap(), empty, "{name}");
    }
}

#[test]
fn tables_that_change_are_known_also_by_undo() {
    let mut db = SessionDb::new(&schema()).unwrap();
    let noted = Event { name: "v1.Noted".into(), args: r#"{"text":"x"}"#.into(), client_only: false };
    let start = db.revision();
    db.commit(None, std::slice::from_ref(&noted)).unwrap();
    assert_eq!(db.changed_since(start).collect::<Vec<_>>(), ["log"]);
    db.commit(None, &[add("a", 1)]).unwrap();
    let now = db.revision();
    assert_eq!(db.changed_since(start).count(), 2);
    db.commit(None, &[noted, add("a", 10)]).unwrap_err();
    assert_eq!(db.changed_since(now).count(), 0);
    db.run(&SessionTxn { undo: 1, forget: 0, apply: vec![] });
    assert_eq!(db.changed_since(now).collect::<Vec<_>>(), ["counts", "log"]);
}

#[test]
fn queries_only_read() {
    let mut db = SessionDb::new(&schema()).unwrap();
    db.commit(None, &[add("a", 1)]).unwrap();
    db.run(&SessionTxn { undo: 1, forget: 0, apply: vec![unit(add("a", 1), None, true)] });
    let before = db.dump().unwrap();
    for (sql, action) in [
        ("DELETE FROM log", "delete from `log`"),
        ("INSERT INTO log VALUES (1)", "insert into `log`"),
        ("INSERT INTO log VALUES (:name)", "insert into `log`"),
        ("DELETE FROM \"log\" WHERE rowid = ?1", "delete from `log`"),
        ("CREATE TEMP TABLE t (a)", "insert into `sqlite_temp_master`"),
        ("BEGIN", "begin or end a transaction"),
        ("PRAGMA query_only = 0", "run PRAGMA query_only"),
        ("ATTACH ':memory:' AS other", "attach a database"),
    ] {
        let error = db.query(|db| db.prepare_cached(sql)?.raw_execute()).unwrap_err();
        assert!(matches!(&error, QueryError::ReadOnly { action: said } if said == action), "{sql}: {error}");
    }
    assert!(matches!(db.query(|db| db.execute_batch("SELEC")), Err(QueryError::Sqlite(_))));
    let clock = "SELECT random() IS NOT NULL AND datetime('now') > '2'";
    assert!(db.query(|db| db.query_row(clock, [], |row| row.get::<_, bool>(0))).unwrap());
    assert_eq!(db.dump().unwrap(), before);
    db.commit(None, &[add("a", 1)]).unwrap();
}

#[test]
fn a_transaction_that_can_not_be_is_the_end_of_the_database() {
    let mut db = SessionDb::new(&schema()).unwrap();
    db.commit(None, &[add("a", 1)]).unwrap();
    let failed = db.run(&SessionTxn { undo: 2, forget: 0, apply: vec![] });
    assert!(matches!(&failed, SessionApplied::Failed { message } if message.contains("asked to undo 2 units")), "{failed:?}");
    assert_eq!(db.run(&SessionTxn::default()), failed);
    assert!(matches!(db.commit(None, &[]), Err(CommitFailure::Trouble(_))));
    let mut db = SessionDb::new(&schema()).unwrap();
    db.commit(None, &[add("a", 1)]).unwrap();
    let failed = db.run(&SessionTxn { undo: 0, forget: 0, apply: vec![unit(add("a", 1), None, false)] });
    assert!(matches!(failed, SessionApplied::Failed { .. }));
}

#[test]
fn a_seeded_database_goes_on_undoing_what_was_pending() {
    let mut leader = SessionDb::new(&schema()).unwrap();
    leader.run(&SessionTxn { undo: 0, forget: 0, apply: vec![unit(add("a", 1), None, false)] });
    let confirmed = leader.dump().unwrap();
    leader.commit(None, &[add("a", 2), add("b", 1)]).unwrap();
    let mut db = SessionDb::seeded(&schema(), &leader.conn, leader.stack.iter().copied()).unwrap();
    assert_eq!(db.dump().unwrap(), leader.dump().unwrap());
    db.commit(None, &[add("c", 1)]).unwrap();
    assert_eq!(db.run(&SessionTxn { undo: 3, forget: 0, apply: vec![] }), SessionApplied::Done);
    assert_eq!(db.dump().unwrap(), confirmed);
}

#[test]
fn a_session_can_move_to_another_thread() {
    fn send<T: Send>() {}
    send::<SessionDb>();
}
