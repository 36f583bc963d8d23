//! Schema files.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::error::SchemaError;
use super::schema::Schema;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    state: State,
    #[serde(default)]
    events: BTreeMap<String, Spanned<Event>>,
    #[serde(default)]
    guards: BTreeMap<String, Spanned<Guard>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    sql: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    #[serde(default)]
    client_only: bool,
    #[serde(default)]
    on: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Guard {
    sql: Spanned<String>,
    message: Option<String>,
}

/// Reads a schema file.
pub(super) fn read(text: &str) -> Result<Schema, SchemaError> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        SchemaError::Toml { line, message: format!("{}{}", error.message(), advice(error.message())) }
    })?;
    let mut builder = Schema::builder(file.version).state_sql(file.state.sql.get_ref());
    for (name, event) in &file.events {
        let event = event.get_ref();
        let on = event.on.iter().map(|sql| (sql.get_ref().clone(), Some(line_of(text, sql.span().start)))).collect();
        builder = builder.event_lines(name, event.client_only, on);
    }
    for (name, guard) in &file.guards {
        let Guard { sql, message } = guard.get_ref();
        let line = line_of(text, sql.span().start);
        builder = builder.guard_line(name, sql.get_ref(), Some(line), message.as_deref());
    }
    builder.build().map_err(|error| located(error, text, &file))
}

/// Errors that know their line only by what they are about.
fn located(error: SchemaError, text: &str, file: &File) -> SchemaError {
    let state = line_of(text, file.state.sql.span().start);
    match error {
        SchemaError::Event { ref name, .. } => {
            let line = file.events.get(name).map_or(1, |event| line_of(text, event.span().start));
            SchemaError::Toml { line, message: error.to_string() }
        }
        SchemaError::Guard { ref name, .. } => {
            let line = file.guards.get(name).map_or(1, |guard| line_of(text, guard.span().start));
            SchemaError::Toml { line, message: error.to_string() }
        }
        SchemaError::Refused { .. } => SchemaError::Toml { line: state, message: error.to_string() },
        SchemaError::Sql { place, message } if !place.starts_with("line") => {
            SchemaError::Sql { place: format!("line {state} of the schema: {place}"), message }
        }
        other => other,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

/// What to do about the usual mistakes.
fn advice(message: &str) -> &'static str {
    if message.contains("unknown field") {
        ": a schema has `version`, `[state]` with `sql`, `[events.\"NAME\"]` with `on` and `client_only`, and `[guards.\"NAME\"]` with \
         `sql` and `message`"
    } else if message.contains("missing field `version`") {
        ": start the file with `version = 1`"
    } else if message.contains("missing field `sql`") {
        ": give the tables as `[state]` and `sql = \"CREATE TABLE ..\"`, what a guard asks as its `sql = \"SELECT ..\"`"
    } else if message.contains("missing field `s") {
        ": give the tables as `[state]` and `sql = \"CREATE TABLE ..\"`"
    } else if message.contains("duplicate key") {
        ": a name that holds a dot has to be quoted, as in `[events.\"v1.TodoCreated\"]`, and may be there once"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"version = 1

[state]
sql = """
CREATE TABLE todos (id TEXT PRIMARY KEY, text TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE ui (id INTEGER PRIMARY KEY, filter TEXT);
"""

[events."v1.TodoCreated"]
on = ["INSERT INTO todos (id, text) VALUES (:id, :text)"]

[events."v1.FilterSet"]
client_only = true
on = ["INSERT INTO ui (id, filter) VALUES (1, :filter) ON CONFLICT (id) DO UPDATE SET filter = excluded.filter"]

[events."v1.Noted"]

[guards."v1.TodoOpen"]
sql = "SELECT done = 0 FROM todos WHERE id = :id"
message = "it is done"
"#;

    fn fails(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        Schema::from_toml(&GOOD.replacen(from, to, 1)).unwrap_err().to_string()
    }

    #[test]
    fn a_schema_file_says_what_the_builder_says() {
        let schema = Schema::from_toml(GOOD).unwrap();
        assert_eq!(schema.version(), 1);
        assert!(schema.event("v1.FilterSet").unwrap().client_only);
        assert!(!schema.event("v1.TodoCreated").unwrap().client_only);
        assert_eq!(schema.event("v1.Other"), None);
        assert_eq!(schema.table_names().collect::<Vec<_>>(), ["todos", "ui"]);
        // Known, so that a change of what it is made of is noticed: it makes every store build its state anew.
        assert_eq!(schema.hash(), Schema::from_toml(GOOD).unwrap().hash());
        for (from, to) in [
            ("version = 1", "version = 2"),
            ("true", "false"),
            (":text", ":title"),
            ("v1.Noted", "v2.Noted"),
            ("v1.TodoOpen", "v2.TodoOpen"),
            ("DEFAULT 0", "DEFAULT 1"),
        ] {
            assert_ne!(schema.hash(), Schema::from_toml(&GOOD.replacen(from, to, 1)).unwrap().hash(), "{from}");
        }
    }

    #[test]
    fn a_guard_is_a_query() {
        let schema = Schema::from_toml(GOOD).unwrap();
        assert_eq!(schema.guard_names().map(|name| &**name).collect::<Vec<_>>(), ["v1.TodoOpen"]);
        let same = Schema::from_toml(&GOOD.replace("done = 0", "done < 1")).unwrap();
        assert_eq!(same.hash(), schema.hash(), "what it asks changes no state");
        for (to, said) in [
            ("SELECT dne", "line 19 of the schema: guard `v1.TodoOpen`: no such column: dne"),
            ("DELETE FROM todos", "may not delete from `todos`: a guard only reads: let the events write"),
            ("SELECT random()", "may not call random(): its answer differs without any change of the state: give the value in"),
            ("SELECT datetime('now')", "may not call datetime()"),
            ("SELECT name FROM sqlite_schema", "a guard sees the state tables only"),
            ("PRAGMA user_version", "may not run PRAGMA user_version"),
            ("SELECT 1; SELECT 2", "these are several statements: a guard is one query"),
            ("SELECT ?", "parameter ?: write :name for the field `name` of the arguments"),
            ("", "it answers nothing: write a SELECT"),
        ] {
            let error = fails("SELECT done = 0 FROM todos WHERE id = :id", to);
            assert!(error.contains(said), "{to}: {error}");
        }
        assert_eq!(
            fails("\"v1.TodoOpen\"", "\"\""),
            "line 18 of the schema: guard ``: a guard needs a name, such as v1.TodoCreated"
        );
        assert!(
            fails("message = ", "says = ")
                .starts_with("line 20 of the schema: unknown field `says`, expected `sql` or `message`")
        );
    }

    #[test]
    fn a_broken_file_is_refused_with_its_line() {
        assert_eq!(
            fails("client_only", "clientOnly"),
            "line 13 of the schema: unknown field `clientOnly`, expected `client_only` or `on`: a schema has `version`, `[state]` with \
             `sql`, `[events.\"NAME\"]` with `on` and `client_only`, and `[guards.\"NAME\"]` with `sql` and `message`"
        );
        assert_eq!(fails("version = 1", ""), "line 1 of the schema: missing field `version`: start the file with `version = 1`");
        assert!(fails("version = 1", "version = -1").starts_with("line 1 of the schema: invalid value: integer `-1`"));
        assert!(fails("on = [\"INSERT INTO todos", "on = [INSERT INTO todos").starts_with("line 10 of the schema: "));
        assert_eq!(
            fails("\"v1.Noted\"", "\"\""),
            "line 16 of the schema: event ``: an event needs a name, such as v1.TodoCreated"
        );
    }

    #[test]
    fn sql_that_sqlite_refuses_is_named() {
        assert_eq!(
            fails("INSERT INTO todos (id, text)", "INSERT INTO todos (id, txt)"),
            "line 10 of the schema: event `v1.TodoCreated`, statement 1: table todos has no column named txt"
        );
        assert_eq!(
            fails("CREATE TABLE ui", "CREATE TBLE ui"),
            "line 4 of the schema: the state's SQL: near \"TBLE\": syntax error, at `TBLE ui (id INTEGER PRIMARY KEY, filter `"
        );
        assert_eq!(
            fails("(1, :filter)", "(1, ?)"),
            "line 14 of the schema: event `v1.FilterSet`, statement 1: parameter ?: write :name for the field `name` of the arguments, \
             :args for all of them"
        );
        assert!(fails("id INTEGER PRIMARY KEY,", "id INTEGER PRIMARY KEY AUTOINCREMENT,").starts_with(
            "line 4 of the schema: the table `ui` can't be used in state: AUTOINCREMENT counts in a table that can't be undone"
        ));
        assert!(
            fails(":text)\"]", ":text); DELETE FROM ui\"]")
                .ends_with("these are several statements: make each an entry of its own")
        );
        assert!(fails(":text)\"]", ":text) RETURNING id\"]").contains("leave out SELECT and RETURNING"));
        assert!(
            fails("INSERT INTO todos", "INSERT OR ROLLBACK INTO todos").contains("ROLLBACK would undo the commits of others")
        );
        assert!(fails("(:id,", "(random(),").contains("may not call random(): its answer differs"));
    }
}
