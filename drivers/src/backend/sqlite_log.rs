//! The log of a backend in a SQLite file, shared by any number of handles and processes.
//!
//! Appends are `BEGIN IMMEDIATE` transactions that compare the parent with the head inside, so that exactly one of several
//! writers gets a position; they are synced before they are acknowledged. Readers see one moment of the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_core::{BackendFailure, BackendId, GLOBAL_MAX, Page, PulledEvent};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::bell::Bell;
use super::error::BackendOpenError;
use super::log::{Cursor, Draft, Log, Slice, refusals};
use super::rows;
use super::sqlite_file::{Mode, SqliteFile, draw_identity};

/// How often somebody who waits looks for what other processes have written.
///
/// SQLite tells nobody that a file has changed. Watching the file's directory needs a facility of each system, is silent on
/// network and overlay file systems, and reports every checkpoint; a look at `PRAGMA data_version` reads one number from
/// shared memory, in microseconds. Within the process a bell is rung, and nobody waits for the next look.
const POLL: Duration = Duration::from_millis(15);

/// One handle on the file. Handles and processes are equal; none is a server to the others.
pub(crate) struct SqliteLog {
    file: SqliteFile,
    bell: Arc<Bell>,
    poll: Duration,
    /// SQLite failed at something: what this connection would say of the file is no longer trusted.
    is_suspect: bool,
}

impl SqliteLog {
    /// Opens the log in this file.
    pub(crate) fn open(path: &std::path::Path, mode: Mode) -> Result<Self, BackendOpenError> {
        let file = SqliteFile::open(path, mode)?;
        let bell = Bell::of(&file.path);
        Ok(Self { file, bell, poll: POLL, is_suspect: false })
    }

    /// What is rung when this process changes the log, and to make those look up who wait in `tail`.
    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// The file's path, links resolved.
    pub(crate) fn path(&self) -> &Arc<std::path::Path> {
        &self.file.path
    }

    /// Whether this handle is still good: it has seen no failure, and its file is still in its place.
    pub(crate) fn is_good(&self) -> bool {
        !self.is_suspect && self.file.is_in_place()
    }

    /// Which log this is.
    pub(crate) fn read_identity(&mut self) -> Result<BackendId, BackendOpenError> {
        self.transact(TransactionBehavior::Deferred, "read the log", |tx| Ok(rows::identity(tx)?))
    }

    /// The position of the last event.
    pub(crate) fn head(&mut self) -> Result<u64, BackendOpenError> {
        self.transact(TransactionBehavior::Deferred, "read the log", |tx| Ok(rows::head(tx)?))
    }

    /// All events, in memory.
    pub(crate) fn all(&mut self) -> Result<Vec<PulledEvent>, BackendOpenError> {
        self.transact(TransactionBehavior::Deferred, "read the log", |tx| Ok(rows::all(tx)?))
    }

    /// Becomes another, empty log.
    pub(crate) fn reset(&mut self) -> Result<BackendId, BackendOpenError> {
        let identity = draw_identity(&self.file.path)?;
        self.transact(TransactionBehavior::Immediate, "reset the log", |tx| {
            rows::delete_after(tx, 0)?;
            rows::set_identity(tx, &identity)?;
            Ok(identity.as_str().into())
        })
    }

    /// Loses what stands behind `to`, and answers how much that was.
    pub(crate) fn truncate(&mut self, to: u64) -> Result<u64, BackendOpenError> {
        self.transact(TransactionBehavior::Immediate, "truncate the log", |tx| Ok(rows::delete_after(tx, to)?))
    }

    /// Runs one transaction, which is committed if `work` is Ok. Writing ones ring the bell.
    fn transact<T, E: From<BackendOpenError>>(
        &mut self,
        behaviour: TransactionBehavior,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Stop<E>>,
    ) -> Result<T, E> {
        let is_write = matches!(behaviour, TransactionBehavior::Immediate);
        let path = self.file.path.clone();
        let mut committing = false;
        let run = || -> Result<T, Stop<E>> {
            let transaction = self.file.connection.transaction_with_behavior(behaviour)?;
            let done = work(&transaction)?;
            // A failed COMMIT may have reached the disk, and a later recovery may find it there.
            committing = is_write;
            transaction.commit()?;
            Ok(done)
        };
        match run() {
            Ok(done) => {
                if is_write {
                    self.bell.ring();
                    // What went into a file without a name is gone with the last connection.
                    if !self.file.is_in_place() {
                        return Err(BackendOpenError::Moved { path: path.to_path_buf() }.into());
                    }
                }
                Ok(done)
            }
            Err(Stop::Answer(answer)) => Err(answer),
            Err(Stop::Sqlite(error)) => {
                self.is_suspect = true;
                let error = BackendOpenError::failed(&*path, doing, &error, committing);
                tracing::warn!(%error, outcome_unknown = committing, "the backend's log");
                Err(error.into())
            }
        }
    }

    /// A number that changes when another connection, of any process, has committed.
    fn version(&mut self) -> Result<i64, BackendFailure> {
        let version =
            self.file.connection.prepare_cached("PRAGMA data_version").and_then(|mut q| q.query_row([], |row| row.get(0)));
        version.map_err(|error| {
            self.is_suspect = true;
            BackendOpenError::failed(&*self.file.path, "look for news", &error, false).into()
        })
    }
}

impl Log for SqliteLog {
    fn is_usable(&self) -> bool {
        self.is_good()
    }

    fn append(&mut self, expected: Option<&BackendId>, parent: u64, drafts: &[Draft]) -> Result<(), BackendFailure> {
        let refused = refusals(drafts);
        if !refused.is_empty() {
            return Err(BackendFailure::Refused { events: refused });
        }
        self.transact(TransactionBehavior::Immediate, "append to the log", |tx| {
            check_identity(tx, expected)?;
            let head = rows::head(tx)?;
            if drafts.is_empty() || rows::is_repetition(tx, head, parent, drafts)? {
                return Ok(());
            }
            if parent != head {
                return Err(Stop::Answer(BackendFailure::ServerAhead { head }));
            }
            if head + drafts.len() as u64 > GLOBAL_MAX {
                let message = format!("the backend's log is full: there is no position beyond {GLOBAL_MAX}").into();
                return Err(Stop::Answer(BackendFailure::Unknown { message }));
            }
            Ok(rows::insert(tx, parent, drafts)?)
        })
    }

    fn read(&mut self, expected: Option<&BackendId>, cursor: &Cursor) -> Result<Slice, BackendFailure> {
        self.transact(TransactionBehavior::Deferred, "read the log", |tx| {
            let backend = check_identity(tx, expected)?;
            let head = rows::head(tx)?;
            if let Some(last) = cursor.last()
                && rows::event_at(tx, last.seq)?.as_ref() != Some(last)
            {
                let message = format!("e{} is gone, which it had sent; its log ends at e{head}", last.seq).into();
                return Err(Stop::Answer(BackendFailure::Truncated { message }));
            }
            let (events, notes) =
                if cursor.position() < head { rows::page_after(tx, cursor.position())? } else { Default::default() };
            let more = events.last().is_some_and(|last| last.seq < head);
            Ok(Slice { page: Page { events, more, backend }, head, notes })
        })
    }

    fn tail(
        &mut self,
        expected: Option<&BackendId>,
        cursor: &Cursor,
        until: Option<Instant>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Slice>, BackendFailure> {
        loop {
            // In this order: what happens after the look is noticed by the wait.
            let heard = self.bell.rings();
            let version = self.version()?;
            if stop() || has_passed(until) {
                return Ok(None);
            }
            let slice = self.read(expected, cursor)?;
            if !slice.page.events.is_empty() || slice.head < cursor.position() {
                return Ok(Some(slice));
            }
            while !self.bell.wait(heard, self.poll_before(until)) && self.version()? == version && !has_passed(until) {
                if !self.file.is_in_place() {
                    return Err(BackendOpenError::Moved { path: self.file.path.to_path_buf() }.into());
                }
            }
        }
    }
}

impl SqliteLog {
    fn poll_before(&self, until: Option<Instant>) -> Duration {
        until.map_or(self.poll, |until| self.poll.min(until.saturating_duration_since(Instant::now())))
    }

    /// Looks for other processes' events only this often, so that a test can tell the bell from the look.
    #[cfg(test)]
    pub(crate) fn poll_every(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    #[cfg(test)]
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.file.connection
    }
}

/// Why a transaction was rolled back.
enum Stop<E> {
    Sqlite(rusqlite::Error),
    Answer(E),
}

impl<E> From<rusqlite::Error> for Stop<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn has_passed(until: Option<Instant>) -> bool {
    until.is_some_and(|until| until <= Instant::now())
}

fn check_identity(db: &Connection, expected: Option<&BackendId>) -> Result<BackendId, Stop<BackendFailure>> {
    let ours = rows::identity(db)?;
    match expected {
        Some(expected) if *expected != ours => Err(Stop::Answer(BackendFailure::Identity { theirs: ours })),
        _ => Ok(ours),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use countersign_core::{Event, WireIds};
    use tempfile::TempDir;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn place() -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.db");
        (dir, path)
    }

    fn open(path: &Path) -> SqliteLog {
        SqliteLog::open(path, Mode::Create).unwrap()
    }

    fn draft(ordinal: u64, args: &str) -> Draft {
        let event = Event { name: "v1.Noted".into(), args: args.into(), client_only: false };
        let ids = Some(WireIds { ordinal, commit: ordinal, last: true });
        Draft { client: "client".into(), session: "session".into(), ids, event: Arc::new(event), void: false }
    }

    type Tail = std::thread::JoinHandle<Result<Option<Slice>, BackendFailure>>;

    /// Answers when it waits.
    fn tail_in_thread(mut log: SqliteLog) -> Tail {
        let bell = log.bell().clone();
        let tail = std::thread::spawn(move || log.tail(None, &Cursor::default(), None, &|| false));
        while bell.waiting() == 0 && !tail.is_finished() {
            std::thread::yield_now();
        }
        tail
    }

    #[test]
    fn the_bell_wakes_another_handle_of_this_process() {
        let (_dir, path) = place();
        let mut writer = open(&path);
        // A handle that would look for other processes' events only in ten minutes.
        let tail = tail_in_thread(open(&path).poll_every(LONG));
        writer.append(None, 0, &[draft(1, "1")]).unwrap();
        assert_eq!(tail.join().unwrap().unwrap().unwrap().head, 1);
    }

    #[test]
    fn a_look_at_the_file_finds_what_rang_no_bell() {
        let (_dir, path) = place();
        let tail = tail_in_thread(open(&path));
        // As another process would: a connection that knows of no bell.
        let stranger = Connection::open(&path).unwrap();
        let insert = "INSERT INTO eventlog VALUES (1, 0, 'c', 's', 'v1.Noted', 'null', NULL, NULL, NULL, NULL, 0)";
        stranger.execute(insert, []).unwrap();
        let slice = tail.join().unwrap().unwrap().unwrap();
        assert_eq!((slice.head, slice.page.events[0].ids), (1, None));
    }

    #[test]
    fn a_wait_ends_with_its_deadline_or_when_its_file_goes_away() {
        let (dir, path) = place();
        let mut log = open(&path);
        let until = Instant::now() + Duration::from_millis(30);
        assert!(log.tail(None, &Cursor::default(), Some(until), &|| false).unwrap().is_none());
        assert!(until <= Instant::now());
        let tail = tail_in_thread(log);
        std::fs::rename(&path, dir.path().join("elsewhere.db")).unwrap();
        let Err(BackendFailure::Unreachable { message, .. }) = tail.join().unwrap() else { panic!("it must fail") };
        assert!(message.contains("moved, deleted or replaced"), "{message}");
    }

    // Verifies: R5
    #[test]
    fn a_full_disk_refuses_the_batch_whole_and_takes_it_later() {
        let (_dir, path) = place();
        let mut log = open(&path);
        log.append(None, 0, &[draft(1, "1")]).unwrap();
        let limit = |log: &mut SqliteLog, sql: &str| -> i64 { log.connection().query_row(sql, [], |row| row.get(0)).unwrap() };
        let pages = limit(&mut log, "PRAGMA page_count");
        limit(&mut log, &format!("PRAGMA max_page_count = {pages}"));
        let batch = [draft(2, "2"), draft(3, &"3".repeat(100_000))];
        let failure = log.append(None, 1, &batch).unwrap_err();
        let BackendFailure::Unreachable { message, maybe_applied: false } = &failure else { panic!("{failure:?}") };
        assert!(message.contains("log.db") && message.contains("free some space"), "{message}");
        assert!(!log.is_good(), "the connection is not used again");
        let mut log = open(&path);
        assert_eq!(log.head().unwrap(), 1, "nothing of it was taken");
        log.append(None, 1, &batch).unwrap();
        assert_eq!(log.head().unwrap(), 3);
    }

    // Verifies: L6
    #[test]
    fn a_failed_commit_is_told_as_unknown() {
        let (_dir, path) = place();
        let mut log = open(&path);
        log.connection().commit_hook(Some(|| true)).unwrap();
        let failure = log.append(None, 0, &[draft(1, "1")]).unwrap_err();
        let BackendFailure::Unreachable { message, maybe_applied: true } = failure else { panic!("{failure:?}") };
        assert!(message.contains("may have been done"), "{message}");
        assert!(!log.is_good());
    }

    #[test]
    fn a_writer_that_takes_too_long_is_told_as_out_of_reach() {
        let (_dir, path) = place();
        let (mut log, mut other) = (open(&path), open(&path));
        log.connection().busy_timeout(Duration::ZERO).unwrap();
        let held = other.connection().transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        let failure = log.append(None, 0, &[draft(1, "1")]).unwrap_err();
        let BackendFailure::Unreachable { message, maybe_applied: false } = failure else { panic!("{failure:?}") };
        assert!(message.contains("another process"), "{message}");
        drop(held);
        log.append(None, 0, &[draft(1, "1")]).unwrap();
    }

    #[test]
    fn the_last_position_is_2_to_the_53_minus_1() {
        let (_dir, path) = place();
        let mut log = open(&path);
        let insert = "INSERT INTO eventlog VALUES (?1, ?1 - 1, 'c', 's', 'v1.Noted', 'null', NULL, NULL, NULL, NULL, 0)";
        log.connection().execute(insert, [(GLOBAL_MAX - 1) as i64]).unwrap();
        let failure = log.append(None, GLOBAL_MAX - 1, &[draft(1, "1"), draft(2, "2")]).unwrap_err();
        let BackendFailure::Unknown { message } = failure else { panic!("{failure:?}") };
        assert!(message.contains("9007199254740991"), "{message}");
        log.append(None, GLOBAL_MAX - 1, &[draft(1, "1")]).unwrap();
        for beyond in [GLOBAL_MAX + 1, u64::MAX] {
            assert_eq!(log.append(None, beyond, &[draft(2, "2")]), Err(BackendFailure::ServerAhead { head: GLOBAL_MAX }));
            assert!(log.read(None, &Cursor::after(beyond)).unwrap().page.events.is_empty());
        }
    }

    // Verifies: L6
    #[test]
    fn events_without_identities_are_never_taken_for_a_repetition() {
        let (_dir, path) = place();
        let mut log = open(&path);
        let stranger = Draft { ids: None, ..draft(1, "1") };
        log.append(None, 0, std::slice::from_ref(&stranger)).unwrap();
        assert_eq!(log.append(None, 0, &[stranger]), Err(BackendFailure::ServerAhead { head: 1 }));
    }
}
