//! The lanes of an embedded backend. Each has its own connection, opened by the first request and anew after a failure.

use std::path::Path;
use std::sync::Arc;

use countersign_core::{BackendFailure, ClientId, OwnEvent, Page, Pull, Push, WireIds};

use super::bell::Bell;
use super::error::BackendOpenError;
use super::faults::Faults;
use super::line::{Switch, switched_off};
use super::log::{Cursor, Draft, Log as _, Slice};
use super::sqlite_file::Mode;
use super::sqlite_log::SqliteLog;
use super::{Interrupter, PullLane, PushLane};
use crate::sync::atomic::{AtomicBool, Ordering};

/// A connection that is opened when it is needed.
#[derive(Default)]
pub(crate) struct Slot(Option<SqliteLog>);

impl Slot {
    /// A slot with a connection in it.
    pub(crate) fn of(log: SqliteLog) -> Self {
        Self(Some(log))
    }

    /// The log, opened anew if it failed, or if the file is no longer the one that is open. Never creates the file: an empty
    /// log in the place of one that is gone would be a loss that nobody sees.
    pub(crate) fn log(&mut self, path: &Path, mode: Mode) -> Result<&mut SqliteLog, BackendOpenError> {
        let log = match self.0.take().filter(SqliteLog::is_good) {
            Some(log) => log,
            None => SqliteLog::open(path, mode)?,
        };
        Ok(self.0.insert(log))
    }
}

/// Appends to the log.
pub(crate) struct EmbeddedPush {
    pub(crate) client: ClientId,
    pub(crate) path: Arc<Path>,
    pub(crate) mode: Mode,
    pub(crate) switch: Switch,
    pub(crate) faults: Arc<Faults>,
    pub(crate) slot: Slot,
}

impl PushLane for EmbeddedPush {
    fn push(&mut self, push: &Push) -> Result<(), BackendFailure> {
        let call = self.switch.call()?;
        self.faults.before(push)?;
        let drafts: Vec<Draft> = push.events.iter().map(|event| draft(&self.client, event)).collect();
        let log = self.slot.log(&self.path, self.mode)?;
        let appended = log.append(push.backend.as_ref(), push.parent, &drafts);
        // A line that was cut meanwhile brings no reply, whatever it would have said.
        if call.is_cut() {
            return Err(switched_off(true));
        }
        appended?;
        self.faults.after()
    }
}

/// Reads from the log, and waits for news.
pub(crate) struct EmbeddedPull {
    pub(crate) path: Arc<Path>,
    pub(crate) mode: Mode,
    pub(crate) switch: Switch,
    pub(crate) faults: Arc<Faults>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) is_interrupted: Arc<AtomicBool>,
    pub(crate) slot: Slot,
    /// How far the running stream has come.
    pub(crate) stream: Option<Cursor>,
}

impl PullLane for EmbeddedPull {
    fn pull(&mut self, pull: &Pull) -> Result<Page, BackendFailure> {
        let page = self.answer(pull);
        // An interruption that came during this pull was meant for it, however it has ended.
        self.is_interrupted.store(false, Ordering::SeqCst);
        page
    }

    fn interrupter(&self) -> Interrupter {
        let (is_interrupted, bell) = (self.is_interrupted.clone(), self.bell.clone());
        Interrupter::new(move || {
            is_interrupted.store(true, Ordering::SeqCst);
            bell.ring();
        })
    }
}

impl EmbeddedPull {
    fn answer(&mut self, pull: &Pull) -> Result<Page, BackendFailure> {
        let call = self.switch.call()?;
        self.faults.credentials()?;
        let interrupted = || self.is_interrupted.load(Ordering::SeqCst);
        if interrupted() {
            return Err(super::interrupted());
        }
        let running = self.stream.take().filter(|stream| !pull.fresh && stream.position() == pull.after);
        let cursor = running.unwrap_or_else(|| Cursor::after(pull.after));
        let log = self.slot.log(&self.path, self.mode)?;
        let slice = if pull.fresh {
            log.read(pull.backend.as_ref(), &cursor).map(Some)
        } else {
            log.tail(pull.backend.as_ref(), &cursor, None, &|| {
                call.is_cut() || interrupted() || self.faults.credentials().is_err()
            })
        };
        if call.is_cut() {
            return Err(switched_off(false));
        }
        self.faults.credentials()?;
        let Slice { mut page, head, .. } = slice?.ok_or_else(super::interrupted)?;
        self.faults.page(&mut page);
        if head < pull.after {
            let message = format!("its log ends at e{head}, and e{} was asked for", pull.after);
            return Err(BackendFailure::Truncated { message: message.into() });
        }
        self.stream = Some(cursor.behind(&page));
        Ok(page)
    }
}

fn draft(client: &ClientId, own: &OwnEvent) -> Draft {
    let OwnEvent { id, commit, last, event, .. } = own;
    Draft {
        client: client.clone(),
        session: id.session.to_string().into(),
        ids: Some(WireIds { ordinal: id.ordinal, commit: *commit, last: *last }),
        event: event.clone(),
        void: false,
    }
}
