//! Where the file stands: the one row that each transaction reads first and writes last.

use std::sync::Arc;

use countersign_core::{Heads, Pos};
use rusqlite::{Connection, params};

use super::error::Result;
use super::eventlog::{int, nat};

/// The number of the last transaction, the heads, and the marks of undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) number: u64,
    pub(super) heads: Heads,
    /// The newest mark given so far; never goes back.
    pub(super) mark: i64,
    /// What was applied under marks up to here can't be undone any more.
    pub(super) forgotten: i64,
}

impl Ledger {
    pub(super) fn read(conn: &Connection) -> Result<Self> {
        let mut select = conn.prepare_cached(
            "SELECT number, upstream, upstream_parent, settled_global, settled_client, generation, backend, mark, forgotten,
             acknowledged, own_after FROM countersign_heads WHERE id = 1",
        )?;
        let mut rows = select.query([])?;
        let Some(row) = rows.next()? else { return Err(super::error::Trouble::damaged("the heads are missing".to_owned())) };
        Ok(Self {
            number: nat(row.get(0)?)?,
            heads: Heads {
                upstream: nat(row.get(1)?)?,
                upstream_parent: nat(row.get(2)?)?,
                acknowledged: nat(row.get(9)?)?,
                own_after: nat(row.get(10)?)?,
                settled: Pos { global: nat(row.get(3)?)?, client: row.get(4)? },
                generation: row.get(5)?,
                backend: row.get::<_, Option<String>>(6)?.map(Arc::from),
            },
            mark: row.get(7)?,
            forgotten: row.get(8)?,
        })
    }

    pub(super) fn write(&self, conn: &Connection) -> Result<()> {
        let heads = &self.heads;
        conn.prepare_cached(
            "UPDATE countersign_heads SET number = ?1, upstream = ?2, upstream_parent = ?3, settled_global = ?4,
             settled_client = ?5, generation = ?6, backend = ?7, mark = ?8, forgotten = ?9, acknowledged = ?10,
             own_after = ?11 WHERE id = 1",
        )?
        .execute(params![
            int(self.number)?,
            int(heads.upstream)?,
            int(heads.upstream_parent)?,
            int(heads.settled.global)?,
            heads.settled.client,
            heads.generation,
            heads.backend.as_deref(),
            self.mark,
            self.forgotten,
            int(heads.acknowledged)?,
            int(heads.own_after)?,
        ])?;
        Ok(())
    }
}
