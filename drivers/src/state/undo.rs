//! Goes back through what the triggers have recorded.

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, Row, Rows, ToSql, ffi};

use crate::mutant::StorageMutant;

use super::shape::{DELETED, INSERTED, Statements};

/// The columns of a change before its values: number, mark, what.
const HEAD: usize = 3;

/// A value as SQLite holds it, text that is not UTF-8 included.
pub(super) struct Raw<'a>(pub(super) ValueRef<'a>);

impl ToSql for Raw<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0))
    }
}

/// Undoes every change with a mark above this one in these tables, by their one order, newest first, and removes the records.
pub(super) fn undo_after(conn: &Connection, tables: &[&Statements], mark: i64) -> rusqlite::Result<()> {
    let tables = if StorageMutant::SkipUndoOfOneTable.is_in() { &tables[tables.len().min(1)..] } else { tables };
    let lowest = undo_changes(conn, tables, mark)?;
    for (statements, lowest) in tables.iter().zip(lowest) {
        if let Some(lowest) = lowest {
            conn.prepare_cached(&statements.undone)?.execute([lowest])?;
        }
    }
    Ok(())
}

/// Undoes, and answers with the lowest number undone of each table.
fn undo_changes(conn: &Connection, tables: &[&Statements], mark: i64) -> rusqlite::Result<Vec<Option<i64>>> {
    let mut lowest = vec![None; tables.len()];
    let mut cursors: Vec<CachedStatement<'_>> =
        tables.iter().map(|statements| conn.prepare_cached(&statements.changes)).collect::<Result<_, _>>()?;
    let mut cursors: Vec<Rows<'_>> = cursors.iter_mut().map(|cursor| cursor.raw_query()).collect();
    let mut heads = Vec::with_capacity(tables.len());
    for cursor in &mut cursors {
        heads.push(step(cursor, mark)?);
    }
    // The table whose next change is the newest of all.
    while let Some((table, Some(number))) = heads.iter().copied().enumerate().max_by_key(|(_, head)| *head) {
        if let Some(row) = cursors[table].get() {
            undo_change(conn, tables[table], row)?;
        }
        lowest[table] = Some(number);
        heads[table] = step(&mut cursors[table], mark)?;
    }
    Ok(lowest)
}

/// The number of the next change, if its mark is above this one. Marks grow with numbers, so the first other one ends it.
fn step(cursor: &mut Rows<'_>, mark: i64) -> rusqlite::Result<Option<i64>> {
    cursor.advance()?;
    let Some(row) = cursor.get() else { return Ok(None) };
    let (number, of): (i64, i64) = (row.get(0)?, row.get(1)?);
    Ok((of > mark).then_some(number))
}

fn undo_change(conn: &Connection, statements: &Statements, row: &Row<'_>) -> rusqlite::Result<()> {
    let keys = HEAD..HEAD + statements.keys;
    let values = keys.end..keys.end + statements.values;
    match row.get::<_, i64>(2)? {
        // The row may be gone already, with the parent that it was given later.
        INSERTED => run(conn, &statements.delete, row, keys).map(drop),
        DELETED => run(conn, &statements.insert, row, values).map(drop),
        _ => {
            // The first value of a table with rowids is the rowid. In one without, both statements are the same.
            let stayed = row.get_ref(keys.start)? == row.get_ref(values.start)?;
            let sql = if stayed { statements.update.as_deref() } else { Some(statements.restore.as_str()) };
            let Some(sql) = sql else { return Ok(()) };
            match run(conn, sql, row, values.chain(keys))? {
                1 => Ok(()),
                // Its parent was undone first, and took it back along: a trigger tells of a change after those that it caused.
                0 if statements.follows => Ok(()),
                count => Err(inexact(count)),
            }
        }
    }
}

fn run(conn: &Connection, sql: &str, row: &Row<'_>, columns: impl Iterator<Item = usize>) -> rusqlite::Result<usize> {
    let mut statement = conn.prepare_cached(sql)?;
    for (index, column) in columns.enumerate() {
        statement.raw_bind_parameter(index + 1, Raw(row.get_ref(column)?))?;
    }
    statement.raw_execute()
}

fn inexact(count: usize) -> rusqlite::Error {
    let message = format!("undo met {count} rows where it expected one: the state was changed by somebody else");
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERNAL), Some(message))
}
