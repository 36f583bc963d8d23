//! State as a whole: copied, written down, dropped.

use std::fmt::Write as _;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::guard::is_own;
use super::shape::{Shape, Statements, quoted};
use super::undo::Raw;

/// Copies the rows of all tables, and what is recorded of them, into empty tables.
pub(super) fn copy(tables: &[Statements], from: &Connection, into: &Connection) -> rusqlite::Result<()> {
    // The rows hold together where they come from; here they come in any order.
    into.execute_batch("PRAGMA foreign_keys = OFF; BEGIN")?;
    let copied = tables.iter().try_for_each(|statements| {
        copy_rows(from, &statements.rows, into, &statements.insert)?;
        copy_rows(from, &statements.undo_rows, into, &statements.insert_undo)
    });
    let ended = into.execute_batch(if copied.is_ok() { "COMMIT" } else { "ROLLBACK" });
    copied.and(ended).and(into.execute_batch("PRAGMA foreign_keys = ON"))
}

fn copy_rows(from: &Connection, select: &str, into: &Connection, insert: &str) -> rusqlite::Result<()> {
    let (mut select, mut insert) = (from.prepare(select)?, into.prepare(insert)?);
    let columns = select.column_count();
    let mut rows = select.raw_query();
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            insert.raw_bind_parameter(column + 1, Raw(row.get_ref(column)?))?;
        }
        insert.raw_execute()?;
    }
    Ok(())
}

/// Writes all rows down: a line each, with the type of every value to be told.
pub(super) fn dump<'a>(conn: &Connection, tables: impl Iterator<Item = (&'a Shape, &'a Statements)>) -> rusqlite::Result<String> {
    let mut text = String::new();
    for (shape, statements) in tables {
        text.push_str(&quoted(&shape.name));
        text.push('\n');
        let mut select = conn.prepare(&statements.dump)?;
        let columns = select.column_count();
        let mut rows = select.raw_query();
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                text.push_str(if column == 0 { "  " } else { " | " });
                write_value(&mut text, row.get_ref(column)?);
            }
            text.push('\n');
        }
    }
    Ok(text)
}

fn write_value(text: &mut String, value: ValueRef<'_>) {
    // Writing to a string can't fail.
    let _ = match value {
        ValueRef::Null => write!(text, "NULL"),
        ValueRef::Integer(value) => write!(text, "{value}"),
        ValueRef::Real(value) => write!(text, "{value:?}"),
        ValueRef::Text(bytes) => write!(text, "'{}'", bytes.escape_ascii()),
        ValueRef::Blob(bytes) => bytes.iter().try_fold((), |(), byte| write!(text, "{byte:02x}")).and(write!(text, "x")),
    };
}

/// Drops state of whatever schema, and what undoes it.
pub(super) fn drop_all(conn: &Connection) -> rusqlite::Result<()> {
    // Each step leaves keys without their rows for a while.
    conn.execute_batch("SAVEPOINT countersign_drop; PRAGMA defer_foreign_keys = ON")?;
    let dropped = drop_objects(conn);
    match dropped {
        Ok(()) => conn.execute_batch("PRAGMA defer_foreign_keys = OFF; RELEASE countersign_drop"),
        Err(error) => {
            // The first error says why; going back may fail since the transaction is gone.
            let _ = conn.execute_batch("ROLLBACK TO countersign_drop; RELEASE countersign_drop; PRAGMA defer_foreign_keys = OFF");
            Err(error)
        }
    }
}

fn drop_objects(conn: &Connection) -> rusqlite::Result<()> {
    const UNDO: &str = "countersign_undo_";
    let objects: Vec<(String, String, String)> = conn
        .prepare("SELECT type, name, tbl_name FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let ours = |kind: &'static str| {
        let objects = objects.iter().filter(move |(of, name, table)| of == kind && (name.starts_with(UNDO) || !is_own(table)));
        objects.map(|(_, name, _)| quoted(name))
    };
    for trigger in ours("trigger") {
        conn.execute_batch(&format!("DROP TRIGGER IF EXISTS {trigger}"))?;
    }
    for view in ours("view") {
        conn.execute_batch(&format!("DROP VIEW IF EXISTS {view}"))?;
    }
    for table in ours("table") {
        // Emptied first, all of them: dropping a table that still has rows would break keys that refer to it.
        conn.execute_batch(&format!("DELETE FROM {table}"))?;
    }
    for table in ours("table") {
        conn.execute_batch(&format!("DROP TABLE IF EXISTS {table}"))?;
    }
    Ok(())
}
