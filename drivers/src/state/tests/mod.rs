//! Tests of the tables as a whole.

mod guarding;
mod random;
mod tables;

use countersign_core::Event;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::{ApplyError, EventType, Guard, Schema, Tables};

/// An event that runs any SQL, as a materialiser in Rust.
#[derive(Serialize, Deserialize)]
struct Run(Vec<String>);

impl EventType for Run {
    const NAME: &'static str = "v1.Run";
}

/// A database of a schema whose only event is [`Run`].
struct World {
    conn: Connection,
    guard: Guard,
    schema: Schema,
    tables: Tables,
}

fn schema(state_sql: &str) -> Schema {
    let run = |db: &super::StateDb<'_>, Run(statements): Run| statements.iter().try_for_each(|sql| db.execute(sql, []).map(drop));
    Schema::builder(1).state_sql(state_sql).event::<Run>(run).build().unwrap()
}

impl World {
    fn new(state_sql: &str) -> Self {
        Self::in_connection(Connection::open_in_memory().unwrap(), schema(state_sql))
    }

    fn in_connection(mut conn: Connection, schema: Schema) -> Self {
        let guard = Guard::install(&mut conn).unwrap();
        let tables = Tables::create(&conn, &schema, &guard).unwrap();
        Self { conn, guard, schema, tables }
    }

    /// Applies an event of these statements inside a transaction of its own, or gives it up.
    fn run(&self, mark: Option<i64>, sql: &[&str]) -> Result<(), ApplyError> {
        self.conn.execute_batch("BEGIN").unwrap();
        let event = run(sql);
        let result = self.tables.apply(&self.conn, &event, mark);
        let result = result.and_then(|()| self.tables.check_deferred(&self.conn, &event.name));
        self.end(result.is_ok());
        result
    }

    fn undo_after(&self, mark: i64) {
        self.conn.execute_batch("BEGIN").unwrap();
        self.tables.undo_after(&self.conn, mark).unwrap();
        self.end(true);
    }

    fn end(&self, commit: bool) {
        if !self.conn.is_autocommit() {
            self.conn.execute_batch(if commit { "COMMIT" } else { "ROLLBACK" }).unwrap();
        }
    }

    fn dump(&self) -> String {
        self.tables.dump(&self.conn).unwrap()
    }

    /// How many changes are recorded in all.
    fn recorded(&self) -> i64 {
        self.schema.table_names().map(|name| self.count(&format!("countersign_undo_{name}"))).sum()
    }

    fn count(&self, table: &str) -> i64 {
        self.conn.query_row(&format!("SELECT count(*) FROM {}", super::shape::quoted(table)), [], |row| row.get(0)).unwrap()
    }
}

fn run(sql: &[&str]) -> Event {
    let args = super::json::canonical(&sql).unwrap();
    Event { name: Run::NAME.into(), args, client_only: false }
}

fn poison(result: Result<(), ApplyError>) -> String {
    match result {
        Err(ApplyError::Poison(countersign_core::Poison::Materialise { event, message })) => {
            assert_eq!(&*event, Run::NAME);
            message.to_string()
        }
        other => panic!("no poison: {other:?}"),
    }
}
