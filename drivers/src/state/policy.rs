//! What each user of a guarded connection may do. A refusal is said in words: what, and what to do.

use rusqlite::hooks::{AuthAction, AuthContext};

use super::guard::{by_own_trigger, describe, is_own, is_sqlite};

/// What is allowed, or why not.
type Verdict = Result<(), String>;

/// The clock, or the place of the machine, decides what these answer, or can.
const CLOCK: [&str; 10] = [
    "date",
    "time",
    "datetime",
    "julianday",
    "unixepoch",
    "strftime",
    "timediff",
    "current_date",
    "current_time",
    "current_timestamp",
];

/// These answer differently on another connection, or in another build.
const CONNECTION: [&str; 9] = [
    "last_insert_rowid",
    "changes",
    "total_changes",
    "sqlite_version",
    "sqlite_source_id",
    "sqlite_compileoption_used",
    "sqlite_compileoption_get",
    "sqlite_log",
    "sqlite_offset",
];

/// Pragmas that only tell.
const TELLING: [&str; 13] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
    "foreign_key_check",
    "database_list",
    "collation_list",
    "function_list",
    "pragma_list",
    "compile_options",
];

/// The SQL of a schema: tables, indexes and views, by functions that always answer the same.
pub(super) fn schema(context: &AuthContext<'_>) -> Verdict {
    match context.action {
        AuthAction::CreateTable { table_name: name }
        | AuthAction::CreateIndex { index_name: name, .. }
        | AuthAction::CreateView { view_name: name }
            if is_own(name) =>
        {
            refuse(context, "names that start with `countersign_` are the store's own: choose another")
        }
        AuthAction::CreateTable { .. }
        | AuthAction::CreateIndex { .. }
        | AuthAction::CreateView { .. }
        | AuthAction::Reindex { .. }
        | AuthAction::Select
        | AuthAction::Recursive
        | AuthAction::Read { .. } => Ok(()),
        // The list of tables: what is done to it by a statement of its own, SQLite refuses.
        AuthAction::Insert { table_name } | AuthAction::Update { table_name, .. } | AuthAction::Delete { table_name }
            if is_sqlite(table_name) =>
        {
            Ok(())
        }
        // Clock functions refuse `now` by themselves in constraints; in defaults they are found by another look.
        AuthAction::Function { function_name } if CLOCK.iter().any(|name| name.eq_ignore_ascii_case(function_name)) => Ok(()),
        AuthAction::Function { .. } => function(context),
        AuthAction::CreateTrigger { .. } | AuthAction::CreateTempTrigger { .. } => {
            refuse(context, "triggers can't be undone with what caused them: let the events do it")
        }
        AuthAction::CreateVtable { .. } => refuse(context, "what virtual tables keep can't be undone: use a plain table"),
        AuthAction::Insert { .. } | AuthAction::Update { .. } | AuthAction::Delete { .. } => {
            refuse(context, "state starts empty: let an event write the rows")
        }
        _ => refuse(context, "a schema only creates tables, indexes and views, all of them anew"),
    }
}

/// A materialiser: reads state, writes state, and calls functions that always answer the same.
pub(super) fn materialise(context: &AuthContext<'_>) -> Verdict {
    if by_own_trigger(context) {
        return Ok(());
    }
    if context.database_name.is_some_and(|name| name != "main") {
        return refuse(context, "a materialiser works on the state tables only");
    }
    match context.action {
        AuthAction::Select | AuthAction::Recursive => Ok(()),
        AuthAction::Read { table_name, .. } if !is_state(table_name) => {
            refuse(context, "a materialiser sees the state tables only")
        }
        AuthAction::Read { .. } => Ok(()),
        AuthAction::Insert { table_name } | AuthAction::Update { table_name, .. } | AuthAction::Delete { table_name } => {
            if is_own(table_name) || is_sqlite(table_name) {
                refuse(context, "a materialiser writes to the state tables only")
            } else {
                Ok(())
            }
        }
        AuthAction::Function { .. } => function(context),
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
            refuse(context, "the store decides where transactions begin and end")
        }
        AuthAction::Pragma { .. } | AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
            refuse(context, "a materialiser leaves the connection as it is")
        }
        _ => refuse(context, "tables are made by the schema: change it there, and raise its version"),
    }
}

/// A guard: reads state. Not the clock and what else differs by itself: it is checked again only when the state is another one.
pub(super) fn guard(context: &AuthContext<'_>) -> Verdict {
    let elsewhere = context.database_name.is_some_and(|name| name != "main");
    match context.action {
        AuthAction::Select | AuthAction::Recursive => Ok(()),
        AuthAction::Read { table_name, .. } if elsewhere || !is_state(table_name) => {
            refuse(context, "a guard sees the state tables only")
        }
        AuthAction::Read { .. } => Ok(()),
        AuthAction::Function { .. } if function(context).is_err() => {
            refuse(context, "its answer differs without any change of the state: give the value in the guard's arguments")
        }
        AuthAction::Function { .. } => Ok(()),
        _ => refuse(context, "a guard only reads: let the events write"),
    }
}

fn is_state(table: &str) -> bool {
    let pragma = table.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("pragma_"));
    let inner = ["dbstat", "bytecode", "tables_used"].contains(&table);
    !(is_own(table) || is_sqlite(table) || pragma || inner)
}

/// A query: reads everything, changes nothing.
pub(super) fn query(context: &AuthContext<'_>) -> Verdict {
    match context.action {
        AuthAction::Select | AuthAction::Recursive | AuthAction::Read { .. } => Ok(()),
        AuthAction::Function { function_name } if is_own(function_name) || function_name == "load_extension" => {
            Err(describe(&context.action))
        }
        AuthAction::Function { .. } => Ok(()),
        AuthAction::Pragma { pragma_name, .. } if TELLING.contains(&pragma_name) => Ok(()),
        AuthAction::Pragma { pragma_name: "user_version" | "page_count" | "foreign_keys", pragma_value: None } => Ok(()),
        ref action => Err(describe(action)),
    }
}

fn function(context: &AuthContext<'_>) -> Verdict {
    let AuthAction::Function { function_name } = context.action else {
        return Ok(());
    };
    let is_in = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(function_name));
    if is_in(&["random", "randomblob"]) {
        return refuse(
            context,
            "its answer differs whenever events are applied again: draw the value before the commit, and send it in the event",
        );
    }
    if is_in(&CLOCK) {
        return refuse(
            context,
            "it can read the clock, which differs whenever events are applied again: send the time in the event",
        );
    }
    if is_in(&CONNECTION) {
        return refuse(context, "its answer depends on the connection: keep keys in the events, or look the row up");
    }
    if is_own(function_name) || function_name == "load_extension" {
        return refuse(context, "it is not for materialisers");
    }
    Ok(())
}

fn refuse(context: &AuthContext<'_>, why: &str) -> Verdict {
    Err(format!("may not {}: {why}", describe(&context.action)))
}
