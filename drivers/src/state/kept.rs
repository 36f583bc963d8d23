//! Statements of materialisers at hand.

use rusqlite::{CachedStatement, Connection};
use smallvec::SmallVec;

use super::statement::SqlStatement;

/// Statements kept at once: more, and to look through them would take longer than to look them up in the connection's cache.
const KEPT: usize = 8;

/// A connection on which events are applied one after the other. The statements that they have in common stay prepared at hand for as
/// long as this lives: to get one from the connection's cache and to give it back costs as much as a twentieth of a small event.
pub(crate) struct Kept<'c> {
    conn: &'c Connection,
    statements: SmallVec<[(&'c SqlStatement, CachedStatement<'c>); 1]>,
}

impl<'c> Kept<'c> {
    pub(crate) fn on(conn: &'c Connection) -> Self {
        Self { conn, statements: SmallVec::new() }
    }

    pub(crate) fn conn(&self) -> &'c Connection {
        self.conn
    }

    /// The statement, prepared.
    pub(super) fn statement(&mut self, wanted: &'c SqlStatement) -> rusqlite::Result<&mut CachedStatement<'c>> {
        let at = match self.statements.iter().position(|(kept, _)| std::ptr::eq(*kept, wanted)) {
            Some(at) => at,
            None => {
                let statement = self.conn.prepare_cached(wanted.sql())?;
                if self.statements.len() == KEPT {
                    self.statements.clear();
                }
                self.statements.push((wanted, statement));
                self.statements.len() - 1
            }
        };
        Ok(&mut self.statements[at].1)
    }
}
