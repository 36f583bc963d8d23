//! A store: commit events, read the state, wait for receipts.

mod ask;
mod barrier;
mod close;
mod commit;
mod error;
mod failures;
pub(crate) mod inside;
mod lookup;
mod opener;
#[cfg(test)]
#[cfg(feature = "shuttle")]
mod races;
mod reached;
#[cfg(test)]
mod remembered;
mod turn;
mod watch;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use countersign_core::{BackendDiffers, CommitId, Input, SessionId, Status, SyncState};
use rusqlite::Connection;

pub use barrier::BarrierError;
pub use close::CloseReport;
pub(crate) use close::{close_if_abandoned, give_up};
pub use commit::Refused;
pub use error::{CommitError, LookupError, SessionError};
pub use failures::{FailureError, Risk};
pub use lookup::Stages;
pub use opener::Opener;
pub use reached::ReachedError;
pub use watch::{Changed, Watch};

use crate::driver::{SessionCell, Shared};
use crate::receipt::CommitReceipt;
use crate::session::QueryError;
use crate::state::{Schema, ToEvents};
use crate::storage::{ANOTHER_BACKEND, OpenError, Settings, Storage};
use crate::sync::Mutex;
use crate::sync::thread::JoinHandle;

/// An event-sourced store in one SQLite file, open for work.
///
/// Cheap to clone; every clone is the same store and the same session. `Send + Sync + 'static`.
///
/// Dropping the last handle waits until what was committed is persisted and the file is let go: a few milliseconds, where the disk is in
/// order, and never for the network. With a disk that reports trouble (full, locked, failing) it waits for a second at most; with one
/// that is only slow, or a materialiser that does not end, for ten. The rest is tried on in the background until ten seconds have passed;
/// then it is let go of, which the log says, since a dropped store can hand nothing back. What was persisted is never lost.
/// [`Store::close`] waits within a deadline of one's own, and reports what could not be persisted.
#[derive(Clone)]
pub struct Store {
    session: Session,
}

/// One session of a store: its own database, ahead of the file by what is pending, and its own receipts.
#[derive(Clone)]
pub struct Session {
    inner: Arc<SessionHandle>,
}

struct SessionHandle {
    cell: Arc<SessionCell>,
    /// Declared last: a store outlives its sessions.
    handle: Arc<Handle>,
}

/// The last of these to be dropped ends the store.
struct Handle {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held by whoever decides what becomes of a failure: it is committed again or discarded once, whoever asks. Taken before a session's
    /// lock, and never inside a query.
    deciding: Mutex<()>,
}

impl Store {
    /// Opens the store in this file, or makes it: `Store::open(path).schema(schema).blocking()`.
    #[must_use = "nothing is opened before `blocking`"]
    pub fn open(path: impl AsRef<Path>) -> Opener {
        Opener::new(path.as_ref())
    }

    /// Makes a store that is not there yet, and remembers these settings in its file for programs that are given nothing but its
    /// path. Its state is made by the first opening.
    ///
    /// # Errors
    ///
    /// [`crate::OpenError::Exists`] if there is a file already, which is left as it is; what is wrong with the schema, the folder or
    /// the disk: nothing is left behind then.
    pub fn init(path: impl AsRef<Path>, settings: &Settings) -> Result<(), OpenError> {
        let path = path.as_ref();
        check(path, settings)?;
        let pairs = settings.pairs();
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (*key, &**value)).collect();
        Storage::init(path, &pairs, None).map(drop)
    }

    /// Changes what is remembered in a store that nobody has open for work. Another schema takes effect at the next opening, which
    /// builds the state anew.
    ///
    /// # Errors
    ///
    /// Nothing has changed then.
    pub fn set_settings(path: impl AsRef<Path>, settings: &Settings) -> Result<(), OpenError> {
        let path = path.as_ref();
        check(path, settings)?;
        Storage::set_settings(path, settings)
    }

    /// Commits events. They are in the session's database, visible to queries, before this returns; the leader then makes them
    /// durable, and the backend gives them their place in the global order: the receipt says so.
    ///
    /// Takes one typed event, a tuple of different ones, a `Vec`, or [`crate::NewEvent`]s. Blocks only for a query of the same session.
    ///
    /// # Errors
    ///
    /// Nothing has happened then. See [`CommitError`].
    pub fn commit(&self, events: impl ToEvents) -> Result<CommitReceipt, CommitError> {
        self.session.commit(events)
    }

    /// As [`Store::commit`], and gives the events back if they are not taken.
    ///
    /// # Errors
    ///
    /// Why, and the events as they were given.
    pub fn try_commit<E: ToEvents>(&self, events: E) -> Result<CommitReceipt, Refused<E>> {
        self.session.try_commit(events)
    }

    /// Reads the state, this session's own commits included. Delays commits of this session while it runs, and nobody else's.
    ///
    /// # Errors
    ///
    /// What SQLite says, or [`QueryError::ReadOnly`] if it tries to do more than read.
    pub fn query<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, QueryError> {
        self.session.query(read)
    }

    /// Watches tables: tells when they have changed, by a commit of this session or by what comes from others.
    #[must_use]
    pub fn watch<'a>(&self, tables: impl IntoIterator<Item = &'a str>) -> Watch {
        self.session.watch(tables)
    }

    /// Opens another session over the same leader.
    ///
    /// # Errors
    ///
    /// If its database can't be made.
    pub fn session(&self) -> Result<Session, SessionError> {
        Session::open(&self.session.inner.handle)
    }

    /// Finds a receipt again, after a restart too: live, or settled as it settled. `None` if this store has never known the commit.
    ///
    /// # Errors
    ///
    /// If the file can't be read.
    pub fn receipt(&self, id: CommitId) -> Result<Option<CommitReceipt>, LookupError> {
        lookup::receipt(self.shared(), id)
    }

    /// The commits whose receipts have not settled, those of earlier openings too, in commit order for each session.
    #[must_use]
    pub fn unsettled(&self) -> Vec<CommitId> {
        self.shared().with_node(|node, _| node.unresolved().collect())
    }

    /// Takes a pending commit back, as soon as it can be said what became of it: its receipt then fails with `Withdrawn`, and its events
    /// are in quarantine. One that the backend confirms first stays confirmed, and one whose backend stage does not apply stays as it is.
    pub fn withdraw(&self, id: CommitId) {
        self.shared().feed(Input::Withdraw { commit: id });
    }

    /// Tells the machine something that only a user can know: that the network is gone or back, what to do about another backend.
    pub fn tell(&self, news: News) {
        self.shared().feed_and_say(match news {
            News::Offline => Input::Offline,
            News::Online => Input::Online,
            News::OfflineForGood => Input::OfflineForGood,
            News::Authenticated => Input::Authenticated,
            News::Decide(decision) => Input::Decide { decision },
        });
    }

    /// Where everything stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared().status()
    }

    /// The store's schema.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.shared().schema
    }

    /// The store's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared().path
    }

    /// The address of the backend, without secrets; `None` for a local store.
    #[must_use]
    pub fn backend(&self) -> Option<&str> {
        self.shared().backend.as_deref()
    }

    /// The state of this session as text, in a stable order: equal for two sessions whose tables hold the same rows.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn dump(&self) -> Result<String, SessionError> {
        self.session.dump()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.session.inner.handle.shared
    }
}

fn check(path: &Path, settings: &Settings) -> Result<(), OpenError> {
    let checked = Schema::from_toml(&settings.schema);
    checked.map(drop).map_err(|error| OpenError::Schema { path: path.to_owned(), error })
}

/// What a user can tell a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// There is no network: nothing is tried until there is.
    Offline,
    /// There is a network again: everything is tried at once.
    Online,
    /// The network is gone for good: whoever waits for the backend is told so.
    OfflineForGood,
    /// There are new credentials.
    Authenticated,
    /// What to do about another backend, or one that lost history.
    Decide(countersign_core::IdentityPolicy),
}

impl Session {
    /// The session's identity. Never used again after it has closed.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.inner.cell.id()
    }

    /// As [`Store::query`], in this session.
    ///
    /// # Errors
    ///
    /// As [`Store::query`].
    pub fn query<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, QueryError> {
        if inside::is_inside() {
            return Err(QueryError::Inside);
        }
        let shared = &self.inner.handle.shared;
        let mut held = self.inner.cell.acquire(shared);
        let db = held.db().ok_or(QueryError::NotReady)?;
        let _inside = inside::enter();
        db.query(read)
    }

    /// As [`Store::watch`], in this session.
    #[must_use]
    pub fn watch<'a>(&self, tables: impl IntoIterator<Item = &'a str>) -> Watch {
        Watch::new(&self.inner.cell, tables)
    }

    /// As [`Store::dump`], in this session.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn dump(&self) -> Result<String, SessionError> {
        if inside::is_inside() {
            return Err(SessionError::Inside);
        }
        let mut held = self.inner.cell.acquire(&self.inner.handle.shared);
        held.db().ok_or(SessionError::NotReady)?.dump().map_err(SessionError::Storage)
    }

    fn open(handle: &Arc<Handle>) -> Result<Self, SessionError> {
        if inside::is_inside() {
            return Err(SessionError::Inside);
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| SessionError::NoRandomness(error.to_string()))?;
        let cell = Arc::new(SessionCell::new(SessionId(bytes)));
        let session = Self { inner: Arc::new(SessionHandle { cell, handle: Arc::clone(handle) }) };
        let (shared, cell) = (&handle.shared, &session.inner.cell);
        // Before it is asked whether the store has ended: whoever ends it after that closes the session too.
        shared.add_session(cell);
        let ended = shared.with(|hub, now| {
            if !hub.ended {
                hub.node.handle(now, Input::SessionOpened { session: cell.id() });
            }
            hub.ended
        });
        if ended {
            // Nobody would ever give it a database.
            return Err(SessionError::Closed);
        }
        session.wait_until_ready()?;
        Ok(session)
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        let shared = &self.handle.shared;
        self.cell.close();
        shared.remove_session(self.cell.id());
        let session = self.cell.id();
        shared.with(|hub, now| {
            hub.node.handle(now, Input::SessionClosed { session });
            hub.receipts.session_closed(session);
        });
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        close::abandon(&self.shared);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path()).field("backend", &self.backend()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// What a backend stage waits for, in words.
pub(crate) fn describe(status: &Status, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &status.sync {
        SyncState::NoBackend => f.write_str("there is no backend"),
        SyncState::Pulling => f.write_str("pulling what others have written"),
        SyncState::Pushing => f.write_str("pushing"),
        SyncState::Synced => f.write_str("everything is confirmed"),
        SyncState::Offline { message, .. } => write!(f, "the backend is not reached: {message}"),
        SyncState::NeedsAuth { message } => write!(f, "the backend wants other credentials: {message}"),
        SyncState::BackendIdMismatch { expected, received, .. } => {
            write!(f, "{}; {ANOTHER_BACKEND}", BackendDiffers { expected, received })
        }
        SyncState::BackendLogBroken { at } => write!(f, "the backend's log has a gap after e{at}"),
        SyncState::StorageBroken { message } => write!(f, "the store's file is damaged: {message}"),
        other => write!(f, "{other:?}"),
    }?;
    if let Some((commit, message)) = &status.stuck {
        write!(f, "; the backend keeps refusing commit {commit}: {message}")?;
    }
    if let Some((wait, _)) = status.next {
        write!(f, "; tried again in {:.1} s", wait.as_secs_f64())?;
    }
    Ok(())
}
