//! Foreign keys of a schema: which are deferred, and which act so that undo could not follow.

use rusqlite::Connection;

use super::error::SchemaError;
use super::tokens;

/// A foreign key, and what happens along it.
struct Edge {
    child: String,
    parent: String,
    on_update: String,
    on_delete: String,
}

impl Edge {
    fn acts(&self) -> bool {
        is_action(&self.on_update) || is_action(&self.on_delete)
    }

    /// Which clause changes rows so that the order in which triggers tell of it matters, if the change can come round to where it started.
    ///
    /// AFTER triggers tell of a row's own change later than of what foreign keys made of it. That is no matter between different
    /// rows, but it is if the same row is changed twice, or if another row of the table takes a unique value that has become free.
    fn refused_in_circle(&self) -> Option<&'static str> {
        if is_action(&self.on_update) {
            Some("ON UPDATE")
        } else if self.on_delete == "SET DEFAULT" {
            Some("ON DELETE SET DEFAULT")
        } else {
            None
        }
    }
}

fn is_action(action: &str) -> bool {
    matches!(action, "CASCADE" | "SET NULL" | "SET DEFAULT")
}

/// Refuses foreign keys that act in a circle and can't be undone there.
pub(super) fn check_circles(conn: &Connection, tables: &[String]) -> Result<(), SchemaError> {
    let mut edges = Vec::new();
    for table in tables {
        edges.extend(read(conn, table).map_err(|error| SchemaError::Trouble(super::classify::trouble(&error)))?);
    }
    for edge in edges.iter().filter(|edge| edge.acts()) {
        let Some(clause) = edge.refused_in_circle() else { continue };
        if reaches(&edges, &edge.child, &edge.parent) {
            return Err(SchemaError::Refused {
                what: format!("the foreign key of `{}` to `{}`", edge.child, edge.parent),
                why: format!(
                    "what it does {clause} can come back to the row where it started, and could not be undone: leave {clause} out"
                ),
            });
        }
    }
    Ok(())
}

/// What is to be known of a table's foreign keys.
#[derive(Clone, Debug)]
pub(super) struct ForeignKeys {
    /// Whether there are any.
    pub(super) any: bool,
    /// The tables that they name, if one of them is deferred.
    pub(super) deferred_parents: Option<Vec<String>>,
    /// Whether rows follow changes of the rows that they refer to.
    pub(super) follow: bool,
}

/// Reads them.
pub(super) fn foreign_keys(conn: &Connection, table: &str, sql: &str) -> rusqlite::Result<ForeignKeys> {
    let edges = read(conn, table)?;
    let follow = edges.iter().any(|edge| is_action(&edge.on_update));
    let parents: Vec<String> = edges.into_iter().map(|edge| edge.parent).collect();
    let any = !parents.is_empty();
    Ok(ForeignKeys { any, deferred_parents: (any && is_deferred(sql)).then_some(parents), follow })
}

fn read(conn: &Connection, table: &str) -> rusqlite::Result<Vec<Edge>> {
    let mut list = conn.prepare("SELECT \"table\", on_update, on_delete FROM pragma_foreign_key_list(?)")?;
    let edges = list.query_map([table], |row| {
        Ok(Edge { child: table.to_owned(), parent: row.get(0)?, on_update: row.get(1)?, on_delete: row.get(2)? })
    })?;
    edges.collect()
}

/// Whether a change of a row of the one table can lead to a change of a row of the other, or both are the same.
fn reaches(edges: &[Edge], from: &str, to: &str) -> bool {
    let mut seen: Vec<&str> = vec![from];
    let mut at = 0;
    while let Some(table) = seen.get(at).copied() {
        if table.eq_ignore_ascii_case(to) {
            return true;
        }
        for edge in edges.iter().filter(|edge| edge.acts() && edge.parent.eq_ignore_ascii_case(table)) {
            if !seen.iter().any(|table| table.eq_ignore_ascii_case(&edge.child)) {
                seen.push(&edge.child);
            }
        }
        at += 1;
    }
    false
}

/// Whether a table's text says so of some foreign key. Only the text does.
fn is_deferred(sql: &str) -> bool {
    let words: Vec<&str> = tokens::words(sql).collect();
    words.windows(2).any(|pair| pair[0].eq_ignore_ascii_case("INITIALLY") && pair[1].eq_ignore_ascii_case("DEFERRED"))
}
