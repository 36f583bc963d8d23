//! The state tables of one connection: events are applied to them, and undone.
//!
//! Promised (S3): after `undo_after(m)`, state is byte for byte what it was before the first change recorded under a mark above `m`,
//! provided that whole commits are undone, and that nothing has been applied on top without a mark.

use std::sync::Arc;

use countersign_core::{Event, Poison, StorageClass, StorageFailure};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension};

use super::classify::trouble;
use super::condition::Unmet;
use super::error::SchemaError;
use super::guard::{Guard, Mode};
use super::journal::Journal;
use super::kept::Kept;
use super::schema::{Materialiser, Refusal, Schema};
use super::shape::{self, Statements, quoted};
use super::{copy, tokens, undo};

/// What is known of a connection's state tables; one for each connection.
pub(crate) struct Tables {
    pub(super) schema: Schema,
    pub(super) journal: Arc<Journal>,
    pub(super) statements: Vec<Statements>,
    guard: Guard,
    /// Tables with deferred foreign keys: each with those whose change can break one.
    deferred: Vec<(usize, Vec<usize>)>,
    foreign_keys: bool,
    /// Whether a statement is done whole or not at all, as far as the tables have a say in it.
    whole: bool,
    /// The triggers are off.
    silent: bool,
}

/// Why an event was not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ApplyError {
    /// It can't be, anywhere.
    Poison(Poison),
    /// The schema does not know it: no effect.
    UnknownEvent,
    /// Storage is in trouble; the transaction may be gone.
    Trouble(StorageFailure),
}

impl Tables {
    /// Makes state tables, undo tables and triggers, in a database without them. Inside the caller's transaction, or without one.
    pub(crate) fn create(conn: &Connection, schema: &Schema, guard: &Guard) -> Result<Self, SchemaError> {
        shape::create_state(conn, guard, schema.state_sql())?;
        for (number, shape) in schema.shapes().iter().enumerate() {
            conn.execute_batch(&shape.ddl(number)).map_err(|error| SchemaError::Trouble(trouble(&error)))?;
        }
        Self::new(conn, schema, guard)
    }

    /// Takes over the tables that [`Tables::create`] has made, under a schema of the same hash.
    pub(crate) fn open(conn: &Connection, schema: &Schema, guard: &Guard) -> Result<Self, SchemaError> {
        let tables = Self::new(conn, schema, guard)?;
        tables.resume(conn).map_err(SchemaError::Trouble)?;
        Ok(tables)
    }

    fn new(conn: &Connection, schema: &Schema, guard: &Guard) -> Result<Self, SchemaError> {
        let shapes = schema.shapes();
        let journal = Journal::install(conn, shapes.len()).map_err(|error| SchemaError::Trouble(trouble(&error)))?;
        let index_of = |name: &String| shapes.iter().position(|shape| shape.name.eq_ignore_ascii_case(name));
        let deferred = shapes.iter().enumerate().filter_map(|(child, shape)| {
            let parents = shape.foreign_keys.deferred_parents.as_ref()?;
            Some((child, parents.iter().filter_map(index_of).chain([child]).collect()))
        });
        Ok(Self {
            schema: schema.clone(),
            journal,
            statements: shapes.iter().map(shape::Shape::statements).collect(),
            guard: guard.clone(),
            whole: !schema.state_sql().iter().any(|sql| tokens::may_stop_halfway(sql)),
            deferred: deferred.collect(),
            foreign_keys: shapes.iter().any(|shape| shape.foreign_keys.any),
            silent: false,
        })
    }

    /// Nothing is going to be undone on this connection, as long as it is open: spares a sixth of the work of a small event. From now
    /// on it can't be recorded.
    pub(crate) fn record_nothing(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        // The triggers also tell when deferred foreign keys have to be looked at.
        if self.deferred.is_empty() {
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
            self.silent = true;
        }
        Ok(())
    }

    /// Goes on where the undo tables end.
    pub(super) fn resume(&self, conn: &Connection) -> Result<(), StorageFailure> {
        for (table, statements) in self.statements.iter().enumerate() {
            let last: Option<i64> = conn.query_row(&statements.last, [], |row| row.get(0)).map_err(|error| trouble(&error))?;
            if let Some(last) = last {
                self.journal.resume(table, last);
            }
        }
        Ok(())
    }

    /// Runs the event's materialiser. With a mark, it can be undone later; marks only grow.
    ///
    /// Inside the caller's transaction. After an error, what the event has written so far is still there: the caller goes back to the
    /// savepoint of its commit.
    pub(crate) fn apply(&self, conn: &Connection, event: &Event, mark: Option<i64>) -> Result<(), ApplyError> {
        self.apply_next(&mut Kept::on(conn), event, mark)
    }

    /// As [`Tables::apply`], for many events one after the other.
    pub(crate) fn apply_next<'c>(&'c self, kept: &mut Kept<'c>, event: &Event, mark: Option<i64>) -> Result<(), ApplyError> {
        let conn = kept.conn();
        let materialiser = self.schema.materialiser(&event.name).ok_or(ApplyError::UnknownEvent)?;
        if self.silent && mark.is_some() {
            let message = Arc::from("a defect: a change that may have to be undone, where none is recorded");
            return Err(ApplyError::Trouble(StorageFailure { class: StorageClass::Other, message }));
        }
        let in_transaction = !conn.is_autocommit();
        let result = {
            let _recording = self.journal.record(mark);
            let _entered = self.guard.enter(Mode::Materialise);
            materialiser.run(kept, &self.guard, &event.args)
        };
        let lost = in_transaction && conn.is_autocommit();
        match result {
            Err(Refusal::Trouble(failure)) => Err(ApplyError::Trouble(failure)),
            _ if lost => Err(ApplyError::Trouble(StorageFailure {
                class: StorageClass::Other,
                message: Arc::from(format!("the transaction was rolled back while `{}` was applied", event.name)),
            })),
            Ok(()) => Ok(()),
            Err(Refusal::Poison(message)) => Err(ApplyError::Poison(poison(&event.name, message))),
        }
    }

    /// Whether the event alone needs no transaction around it: it is applied whole or not at all, and nothing is left to look at.
    pub(crate) fn is_whole(&self, event: &Event) -> bool {
        let is_whole = |materialiser: &Materialiser| matches!(materialiser, Materialiser::Sql(sql) if sql.is_whole());
        self.whole && self.deferred.is_empty() && self.schema.materialiser(&event.name).is_some_and(is_whole)
    }

    /// Whether a commit's guard holds just now. Only reads.
    pub(crate) fn check_guard(&self, conn: &Connection, guard: &countersign_core::Guard) -> Result<(), Unmet> {
        let condition = self.schema.condition(&guard.name).ok_or(Unmet::Unknown)?;
        let _entered = self.guard.enter(Mode::Guard);
        condition.check(conn, &self.guard, &guard.args)
    }

    /// At the end of a commit: whether deferred foreign keys hold, which would otherwise show only at COMMIT, and hit everybody in
    /// the transaction. The name is that of the commit's last event.
    ///
    /// Free without deferred foreign keys. With them, each table that has some is looked through if it or a table that it refers to has
    /// changed.
    pub(crate) fn check_deferred(&self, conn: &Connection, event: &Arc<str>) -> Result<(), ApplyError> {
        if self.deferred.is_empty() {
            return Ok(());
        }
        for (child, involved) in &self.deferred {
            if !involved.iter().any(|table| self.journal.is_unchecked(*table)) {
                continue;
            }
            let child = &self.schema.shapes()[*child].name;
            let parent = conn
                .query_row(&format!("PRAGMA foreign_key_check({})", quoted(child)), [], |row| row.get::<_, String>(2))
                .optional()
                .map_err(|error| ApplyError::Trouble(trouble(&error)))?;
            if let Some(parent) = parent {
                let message =
                    format!("a row of `{child}` refers to a row of `{parent}` that is not there at the end of the commit");
                return Err(ApplyError::Poison(poison(event, message)));
            }
        }
        self.journal.checked();
        Ok(())
    }

    /// Undoes everything recorded under marks above this one, newest first.
    ///
    /// Inside a transaction. After an error that has to be rolled back.
    pub(crate) fn undo_after(&self, conn: &Connection, mark: i64) -> Result<(), StorageFailure> {
        let recorded = self.recorded();
        self.with_deferred_keys(conn, || undo::undo_after(conn, &recorded, mark))
    }

    /// Forgets how to undo marks up to this one. In time proportional to what is forgotten.
    pub(crate) fn forget_through(&self, conn: &Connection, mark: i64) -> Result<(), StorageFailure> {
        let forget = |statements: &Statements| {
            let mut first = conn.prepare_cached(&statements.first_after)?;
            let kept: Option<i64> = first.query_row([mark], |row| row.get(0)).optional()?;
            // On its own, so that SQLite goes through the rows once.
            conn.prepare_cached(&statements.forget)?.execute([kept.unwrap_or(i64::MAX)])
        };
        self.recorded().into_iter().try_for_each(|statements| forget(statements).map(drop)).map_err(|error| trouble(&error))
    }

    /// Empties state and undo. Inside a transaction.
    pub(crate) fn clear(&self, conn: &Connection) -> Result<(), StorageFailure> {
        self.with_deferred_keys(conn, || {
            self.statements.iter().try_for_each(|statements| {
                conn.execute(&statements.clear, [])?;
                conn.execute(&statements.forget_all, []).map(drop)
            })
        })
    }

    /// Seeds this connection, empty so far, with state and undo of an open read transaction on another of the same schema.
    ///
    /// `into` is the connection of `self` and in no transaction.
    pub(crate) fn copy(&self, from: &Connection, into: &Connection) -> Result<(), StorageFailure> {
        copy::copy(&self.statements, from, into).map_err(|error| trouble(&error))?;
        self.resume(into)
    }

    /// All state rows with their rowids, in a stable order: equal state has equal text.
    pub(crate) fn dump(&self, conn: &Connection) -> Result<String, StorageFailure> {
        let tables = self.schema.shapes().iter().zip(&self.statements);
        copy::dump(conn, tables).map_err(|error| trouble(&error))
    }

    /// The tables that may have changed since this was last asked. Says too much after a rollback, never too little.
    pub(crate) fn take_changed(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.statements.len()).filter(|table| self.journal.take_changed(*table))
    }

    /// The names of the state tables, in the order of their numbers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.schema.shapes().iter().map(|shape| shape.name.as_str())
    }

    /// Drops all state tables, views, undo tables and triggers, of whatever schema. Leaves other tables called `countersign_*`.
    pub(crate) fn drop_all(conn: &Connection) -> Result<(), StorageFailure> {
        copy::drop_all(conn).map_err(|error| trouble(&error))
    }

    fn recorded(&self) -> Vec<&Statements> {
        let tables = self.statements.iter().enumerate();
        tables.filter(|(table, _)| self.journal.may_have_recorded(*table)).map(|(_, statements)| statements).collect()
    }

    /// On the way back rows are without their parents for a while. Switching foreign keys off instead would leave SQLite's count of
    /// violations wrong. Only around this, since the pragma expires every prepared statement.
    fn with_deferred_keys(&self, conn: &Connection, work: impl FnOnce() -> rusqlite::Result<()>) -> Result<(), StorageFailure> {
        let defer = |on: &str| {
            if self.foreign_keys { conn.execute_batch(&format!("PRAGMA defer_foreign_keys = {on}")) } else { Ok(()) }
        };
        defer("ON").and_then(|()| work()).and_then(|()| defer("OFF")).map_err(|error| trouble(&error))
    }
}

fn poison(event: &Arc<str>, message: String) -> Poison {
    Poison::Materialise { event: Arc::clone(event), message: Arc::from(message) }
}
