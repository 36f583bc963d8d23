//! What the generated triggers ask and tell: whether to record, under which mark, and that a table has changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

/// Something has been recorded since the tables were opened, or before.
const RECORDED: u8 = 1;
/// Changed since somebody asked for changes.
const CHANGED: u8 = 2;
/// Changed since deferred foreign keys were looked at.
const UNCHECKED: u8 = 4;

/// The state that a connection's triggers share with [`super::Tables`].
///
/// The flags of a table are set when a trigger asks, and never taken back by a rollback: they may say too much, never too little.
#[derive(Debug)]
pub(super) struct Journal {
    recording: AtomicBool,
    mark: AtomicI64,
    number: AtomicI64,
    flags: Box<[AtomicU8]>,
}

impl Journal {
    /// The functions of the triggers of this many tables, on this connection.
    pub(super) fn install(conn: &Connection, tables: usize) -> rusqlite::Result<Arc<Self>> {
        let journal = Arc::new(Self {
            recording: AtomicBool::new(false),
            mark: AtomicI64::new(0),
            number: AtomicI64::new(0),
            flags: (0..tables).map(|_| AtomicU8::new(0)).collect(),
        });
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
        let asked = Arc::clone(&journal);
        conn.create_scalar_function("countersign_changed", 1, flags, move |context| {
            let table: u32 = context.get(0)?;
            Ok(asked.changed(table as usize))
        })?;
        let asked = Arc::clone(&journal);
        conn.create_scalar_function("countersign_number", 0, flags, move |_| {
            Ok(asked.number.fetch_add(1, Ordering::Relaxed) + 1)
        })?;
        let asked = Arc::clone(&journal);
        conn.create_scalar_function("countersign_mark", 0, flags, move |_| Ok(asked.mark.load(Ordering::Relaxed)))?;
        Ok(journal)
    }

    /// Records changes under this mark until the answer is dropped; without one, nothing.
    pub(super) fn record(&self, mark: Option<i64>) -> Recording<'_> {
        if let Some(mark) = mark {
            self.mark.store(mark, Ordering::Relaxed);
            self.recording.store(true, Ordering::Relaxed);
        }
        Recording(self)
    }

    /// Goes on after this number, in this table.
    pub(super) fn resume(&self, table: usize, last: i64) {
        self.number.fetch_max(last, Ordering::Relaxed);
        self.flags[table].fetch_or(RECORDED, Ordering::Relaxed);
    }

    /// Whether the table may have changes to undo.
    pub(super) fn may_have_recorded(&self, table: usize) -> bool {
        self.flags[table].load(Ordering::Relaxed) & RECORDED != 0
    }

    /// Whether the table may have changed since this was last asked.
    pub(super) fn take_changed(&self, table: usize) -> bool {
        self.flags[table].fetch_and(!CHANGED, Ordering::Relaxed) & CHANGED != 0
    }

    /// Whether the table may have changed since [`Journal::checked`].
    pub(super) fn is_unchecked(&self, table: usize) -> bool {
        self.flags[table].load(Ordering::Relaxed) & UNCHECKED != 0
    }

    /// Every foreign key holds.
    pub(super) fn checked(&self) {
        for flags in &self.flags {
            flags.fetch_and(!UNCHECKED, Ordering::Relaxed);
        }
    }

    fn changed(&self, table: usize) -> bool {
        let recording = self.recording.load(Ordering::Relaxed);
        if let Some(flags) = self.flags.get(table) {
            flags.fetch_or(CHANGED | UNCHECKED | if recording { RECORDED } else { 0 }, Ordering::Relaxed);
        }
        recording
    }
}

/// Changes are being recorded, or not.
pub(super) struct Recording<'a>(&'a Journal);

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        self.0.recording.store(false, Ordering::Relaxed);
    }
}
