//! Guards a connection: what materialisers, schemas and queries may do with it, decided by SQLite's authorizer.
//!
//! The authorizer is installed once and asks a mode, since changing it would expire every prepared statement. It is asked when a
//! statement is prepared, so whoever is guarded must not meet statements prepared by others: materialisers mark theirs.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::policy;

/// The tables, triggers and functions of the store itself start like this.
pub(crate) const OWN_PREFIX: &str = "countersign_";

/// Statements kept prepared on a connection: those of a schema of some fifty tables, and as many of its user.
const STATEMENTS: usize = 512;

/// Who uses the connection just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The store itself: anything.
    Owner,
    /// The SQL of a schema: tables, indexes and views.
    Schema,
    /// A materialiser: reads and writes state.
    Materialise,
    /// A query: reads.
    Query,
    /// A guard: reads state.
    Guard,
}

/// The guard of one connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Guard {
    shared: Arc<Shared>,
}

struct Shared {
    mode: AtomicU8,
    denied: Mutex<Option<String>>,
    /// What a schema is making just now.
    making: Mutex<String>,
}

impl Guard {
    /// Makes a connection fit for state tables: authorizer, foreign keys, recursive triggers, statement cache.
    ///
    /// Once for each connection, outside a transaction. Statements of its owner run unguarded.
    pub(crate) fn install(conn: &mut Connection) -> rusqlite::Result<Self> {
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        // Without recursive triggers, rows that REPLACE removes are lost to undo.
        conn.execute_batch("PRAGMA recursive_triggers = ON; PRAGMA foreign_keys = ON;")?;
        let shared =
            Arc::new(Shared { mode: AtomicU8::new(Mode::Owner as u8), denied: Mutex::new(None), making: Mutex::default() });
        let asked = Arc::clone(&shared);
        conn.authorizer(Some(move |context: AuthContext<'_>| asked.judge(&context)))?;
        Ok(Self { shared })
    }

    /// From here on, until the answer is dropped, the connection is used by somebody else.
    pub(super) fn enter(&self, mode: Mode) -> Entered<'_> {
        let before = self.shared.mode.swap(mode as u8, Ordering::Relaxed);
        Entered { shared: &self.shared, before }
    }

    /// [`Guard::enter`] for queries.
    pub(crate) fn enter_query(&self) -> Entered<'_> {
        self.take_denied();
        self.enter(Mode::Query)
    }

    /// What to say of an error: if it is a denial, what was denied, and what to do instead.
    pub(super) fn say(&self, error: &rusqlite::Error) -> String {
        let said = super::classify::say(error);
        let denial = said.contains("not authorized") || said.contains("prohibited");
        if denial { self.take_denied().unwrap_or(said) } else { said }
    }

    /// What was denied last, in words; asked once.
    pub(crate) fn take_denied(&self) -> Option<String> {
        self.shared.denied.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The connection is in somebody else's hands.
pub(crate) struct Entered<'a> {
    shared: &'a Shared,
    before: u8,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.shared.mode.store(self.before, Ordering::Relaxed);
    }
}

impl Shared {
    fn judge(&self, context: &AuthContext<'_>) -> Authorization {
        let verdict = match self.mode.load(Ordering::Relaxed) {
            mode if mode == Mode::Schema as u8 => self.judge_schema(context),
            mode if mode == Mode::Materialise as u8 => policy::materialise(context),
            mode if mode == Mode::Query as u8 => policy::query(context),
            mode if mode == Mode::Guard as u8 => policy::guard(context),
            _ => Ok(()),
        };
        match verdict {
            Ok(()) => Authorization::Allow,
            Err(why) => {
                let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
                *denied = Some(why);
                Authorization::Deny
            }
        }
    }
}

impl Shared {
    /// A function in a table's definition says nothing of the table by itself.
    fn judge_schema(&self, context: &AuthContext<'_>) -> Result<(), String> {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        match context.action {
            AuthAction::CreateTable { table_name: name } | AuthAction::CreateIndex { index_name: name, .. } => {
                *making = name.to_owned();
                policy::schema(context)
            }
            AuthAction::Function { .. } => policy::schema(context).map_err(|why| format!("`{making}` {why}")),
            _ => policy::schema(context),
        }
    }
}

/// Whether the name belongs to the store itself. SQLite folds ASCII case.
pub(crate) fn is_own(name: &str) -> bool {
    name.get(..OWN_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(OWN_PREFIX))
}

/// Whether the name belongs to SQLite.
pub(super) fn is_sqlite(name: &str) -> bool {
    name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_"))
}

/// Whether this is done by one of the store's own triggers.
pub(super) fn by_own_trigger(context: &AuthContext<'_>) -> bool {
    context.accessor.is_some_and(is_own)
}

/// The name of what is asked for, for messages.
pub(super) fn describe(action: &AuthAction<'_>) -> String {
    match action {
        AuthAction::CreateTrigger { trigger_name, table_name } | AuthAction::CreateTempTrigger { trigger_name, table_name } => {
            format!("create the trigger `{trigger_name}` on `{table_name}`")
        }
        AuthAction::CreateVtable { table_name, module_name } => format!("create the {module_name} table `{table_name}`"),
        AuthAction::CreateTable { table_name } | AuthAction::CreateTempTable { table_name } => {
            format!("create the table `{table_name}`")
        }
        AuthAction::CreateIndex { index_name, .. } | AuthAction::CreateTempIndex { index_name, .. } => {
            format!("create the index `{index_name}`")
        }
        AuthAction::CreateView { view_name } | AuthAction::CreateTempView { view_name } => {
            format!("create the view `{view_name}`")
        }
        AuthAction::DropTable { table_name } | AuthAction::DropVtable { table_name, .. } => {
            format!("drop the table `{table_name}`")
        }
        AuthAction::AlterTable { table_name, .. } => format!("alter the table `{table_name}`"),
        AuthAction::Insert { table_name } => format!("insert into `{table_name}`"),
        AuthAction::Update { table_name, column_name } => format!("update `{table_name}.{column_name}`"),
        AuthAction::Delete { table_name } => format!("delete from `{table_name}`"),
        AuthAction::Read { table_name, .. } => format!("read `{table_name}`"),
        AuthAction::Function { function_name } => format!("call {}()", function_name.to_ascii_lowercase()),
        AuthAction::Pragma { pragma_name, .. } => format!("run PRAGMA {pragma_name}"),
        AuthAction::Transaction { .. } => "begin or end a transaction".to_owned(),
        AuthAction::Savepoint { .. } => "set or end a savepoint".to_owned(),
        AuthAction::Attach { .. } => "attach a database".to_owned(),
        AuthAction::Detach { .. } => "detach a database".to_owned(),
        AuthAction::Analyze { .. } => "run ANALYZE".to_owned(),
        other => format!("{other:?}").split([' ', '{']).next().unwrap_or("do this").to_owned(),
    }
}
