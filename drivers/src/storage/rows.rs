//! The rows of a query, for programs that don't know its columns.

use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::Value;

use super::error::ReadError;

/// What a query found.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Rows {
    /// The columns' names, each once: a second `id` is called `id:2`.
    pub columns: Vec<String>,
    /// The values, in the order of the columns.
    pub rows: Vec<Vec<Value>>,
}

/// Hands out the rows of a query, one at a time, until told to stop. Answers the columns' names.
pub(super) fn each_row(
    conn: &Connection,
    sql: &str,
    mut take: impl FnMut(&[String], Vec<Value>) -> ControlFlow<()>,
) -> std::result::Result<Vec<String>, ReadError> {
    let asked = |error| asked(&error);
    let mut select = conn.prepare(sql).map_err(asked)?;
    let columns = unique(select.column_names());
    let mut rows = select.query([]).map_err(asked)?;
    while let Some(row) = rows.next().map_err(asked)? {
        let values = (0..columns.len()).map(|i| row.get_ref(i).map(json)).collect::<rusqlite::Result<_>>().map_err(asked)?;
        if take(&columns, values).is_break() {
            break;
        }
    }
    Ok(columns)
}

/// An error of a statement that somebody else has written.
fn asked(error: &rusqlite::Error) -> ReadError {
    if matches!(error, rusqlite::Error::MultipleStatement) {
        return ReadError::Sql { message: Arc::from("these are several statements: give one query at a time") };
    }
    match crate::state::classify(error) {
        crate::state::Class::Poison => ReadError::Sql { message: Arc::from(error.to_string()) },
        crate::state::Class::Trouble(_) => ReadError::Storage(crate::state::trouble(error)),
    }
}

/// Two columns of one name would hide each other in an object.
fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut unique: Vec<String> = Vec::new();
    for name in names {
        let mut candidate = name.to_owned();
        let mut n = 2;
        while unique.contains(&candidate) {
            candidate = format!("{name}:{n}");
            n += 1;
        }
        unique.push(candidate);
    }
    unique
}

fn json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => Value::from(n),
        ValueRef::Real(x) if x.is_finite() => Value::from(x),
        ValueRef::Real(x) => Value::from(if x > 0.0 { "Infinity" } else { "-Infinity" }),
        ValueRef::Text(text) => Value::from(String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Value::from(format!("x'{hex}'"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_one_name_are_told_apart() {
        assert_eq!(unique(["id", "text", "id", "id"].into_iter()), ["id", "text", "id:2", "id:3"]);
        assert_eq!(unique(["id", "id:2", "id"].into_iter()), ["id", "id:2", "id:3"]);
    }

    #[test]
    fn values_become_json() {
        assert_eq!(json(ValueRef::Blob(&[0, 255])), Value::from("x'00ff'"));
        assert_eq!(json(ValueRef::Real(f64::NEG_INFINITY)), Value::from("-Infinity"));
        assert_eq!(json(ValueRef::Integer(i64::MAX)).to_string(), "9223372036854775807");
        assert_eq!(json(ValueRef::Null), Value::Null);
    }
}
