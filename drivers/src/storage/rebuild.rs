//! Builds the state anew, by another schema.

use std::path::Path;

use countersign_core::Skip;
use rusqlite::{Connection, params};

use super::Progress;
use super::apply::{Care, Halt};
use super::error::{OpenError, Trouble};
use super::eventlog::{self, Eventlog};
use super::ledger::Ledger;
use super::materialise::commit;
use super::open::{hash_text, stored_schema};
use super::replay::replay;
use crate::state::{Guard, Schema, Tables};

/// What building the state anew came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rebuilt {
    /// Events in the log.
    pub(crate) events: u64,
    /// Own events that still wait for the backend and no longer apply: without effect here, pushed all the same.
    pub(crate) pending_skipped: Vec<Skip>,
    /// Other entries without effect.
    pub(crate) skipped: Vec<Skip>,
}

/// Builds the state anew under another schema, in one transaction: interrupted, nothing has changed.
pub(super) fn rebuild(
    path: &Path,
    conn: &Connection,
    log: &mut Eventlog,
    schema: &Schema,
    guard: &Guard,
    progress: &mut dyn FnMut(Progress),
) -> std::result::Result<(Tables, Option<Rebuilt>), OpenError> {
    let mut care = Care::default();
    loop {
        let attempt = attempt_rebuild(path, conn, log, schema, guard, &care, progress);
        if !conn.is_autocommit() {
            conn.execute_batch("ROLLBACK").map_err(|error| OpenError::sqlite(path, &error))?;
        }
        log.forget();
        let halt = match attempt {
            Ok(done) => return Ok(done),
            Err(Stopped::Open(error)) => return Err(error),
            Err(Stopped::Halt(halt)) => halt,
        };
        care.learn(halt).map_err(|halt| match halt {
            Halt::Trouble(trouble) => OpenError::trouble(path, trouble),
            halt => OpenError::trouble(path, Trouble::defect(format!("the state can't be built anew: {halt:?}"))),
        })?;
    }
}

enum Stopped {
    Open(OpenError),
    Halt(Halt),
}

impl<E: Into<Halt>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Halt(error.into())
    }
}

fn attempt_rebuild(
    path: &Path,
    conn: &Connection,
    log: &mut Eventlog,
    schema: &Schema,
    guard: &Guard,
    care: &Care,
    progress: &mut dyn FnMut(Progress),
) -> std::result::Result<(Tables, Option<Rebuilt>), Stopped> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let fresh = stored_schema(conn)?.is_none();
    let mut ledger = Ledger::read(conn)?;
    Tables::drop_all(conn)?;
    let tables = Tables::create(conn, schema, guard).map_err(|error| Stopped::Open(OpenError::schema(path, error)))?;
    let total = eventlog::count(conn)?;
    ledger.forgotten = ledger.mark;
    let skips = replay(conn, &tables, log, &mut ledger, care, true, &mut |done| progress(Progress { done, total }))?;
    ledger.write(conn)?;
    conn.prepare_cached("UPDATE countersign_identity SET schema_version = ?1, schema_hash = ?2 WHERE id = 1")?
        .execute(params![schema.version(), hash_text(schema)])?;
    commit(conn)?;
    let (pending_skipped, skipped) = skips.into_iter().partition(|skip: &Skip| skip.at > ledger.heads.settled);
    let rebuilt = (!fresh).then_some(Rebuilt { events: total, pending_skipped, skipped });
    Ok((tables, rebuilt))
}
