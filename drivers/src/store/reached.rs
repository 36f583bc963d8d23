//! Waiting for what another client was told that it is confirmed.

use std::sync::Arc;

use countersign_core::{BackendDiffers, Input, Node, SessionId, SyncState};

use super::{Session, Store};
use crate::receipt::{Endless, Look, Milestone, PositionToken, Watching};
use crate::storage::ANOTHER_BACKEND;

/// Why a store does not come to a position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReachedError {
    /// The store has no backend: it never comes to anything that others have written.
    #[error("the store has no backend, so it never comes to a position of {backend}: open it with that backend")]
    NoBackend {
        /// The identity of the backend that the token is about.
        backend: String,
    },
    /// The token is about another store.
    #[error("the token is about store `{token}`, and this one is `{store}`: ask the store that it is about")]
    OtherStore {
        /// The store id that the token is about.
        token: String,
        /// This store's.
        store: String,
    },
    /// The token is about the log of another backend, whose numbers say nothing here.
    #[error(
        "the token is about the backend {token}, and this store is synced with {store}: the backend was replaced, or the token comes \
         from elsewhere; ask for a new token"
    )]
    OtherBackend {
        /// The identity that the token is about.
        token: String,
        /// The identity that this store is synced with.
        store: String,
    },
    /// The backend is another one by now, and nothing is pulled until somebody decides what to do about that.
    #[error("{}; {ANOTHER_BACKEND}", BackendDiffers { .expected, .received })]
    Stopped {
        /// What was known, and what the token is about.
        expected: String,
        /// What was found.
        received: String,
    },
    /// The store, or the session, was closed first.
    #[error("the store or the session was closed before it had come there: open it again and wait there")]
    Closed,
    /// The wait comes from inside a query or a materialiser.
    #[error("a wait inside a query or a materialiser, or on a store's own thread, would hold up what it waits for: wait outside")]
    Inside,
}

impl Endless for ReachedError {
    fn inside() -> Self {
        Self::Inside
    }
}

impl Store {
    /// Waits until this store's session has everything up to a position that another client was told to be confirmed, so that queries
    /// from then on see it: see [`crate::Confirmation::token`]. If it is not there yet, the backend is asked at once, without waiting
    /// for a retry. While the backend can't be reached, it goes on waiting, as a stage does.
    ///
    /// Works on every client of the log, whatever it writes itself. Several sessions of one store come to a position one after the
    /// other: wait with [`Session::reached`] for the one that is going to be queried.
    pub fn reached(&self, token: &PositionToken) -> Milestone<ReachedError> {
        self.session.reached(token)
    }
}

impl Session {
    /// As [`Store::reached`], for this session's queries.
    pub fn reached(&self, token: &PositionToken) -> Milestone<ReachedError> {
        let shared = &self.inner.handle.shared;
        let store = Arc::clone(&shared.store_id);
        let milestone = shared.with(|hub, _| {
            if hub.ended {
                return Milestone::ended(Err(ReachedError::Closed));
            }
            let reached = Reached { session: self.id(), store, token: token.clone() };
            hub.goals.seek(reached, &hub.node)
        });
        if milestone.peek().is_none() {
            shared.feed(Input::Refresh);
        }
        milestone
    }
}

struct Reached {
    session: SessionId,
    store: Arc<str>,
    token: PositionToken,
}

impl Watching for Reached {
    type Error = ReachedError;

    fn look(&mut self, node: &Node) -> Look<ReachedError> {
        let token = &self.token;
        let never = |error| Look::Answer(Err(error));
        if *self.store != *token.store_id() {
            return never(ReachedError::OtherStore { token: token.store_id().to_owned(), store: self.store.to_string() });
        }
        match (node.backend(), node.sync_state()) {
            (_, SyncState::NoBackend) => return never(ReachedError::NoBackend { backend: token.backend().to_owned() }),
            (Some(known), _) if **known != *token.backend() => {
                return never(ReachedError::OtherBackend { token: token.backend().to_owned(), store: known.to_string() });
            }
            (_, SyncState::BackendIdMismatch { expected, received, ignored: false }) => {
                return never(ReachedError::Stopped { expected: expected.to_string(), received: received.to_string() });
            }
            // Which backend it is comes with the first page.
            (None, _) => return Look::NotYet,
            (Some(_), _) => {}
        }
        match node.applied(self.session) {
            None => never(ReachedError::Closed),
            Some(applied) if applied >= token.position() => Look::Answer(Ok(())),
            Some(_) => Look::NotYet,
        }
    }

    fn closed(&self) -> ReachedError {
        ReachedError::Closed
    }
}
