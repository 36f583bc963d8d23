//! Who may read and write which store.

mod tokens;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

pub use tokens::TokensError;

use tokens::{Digest, Tokens};

/// What a connection may do with its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) read: bool,
    pub(super) write: bool,
}

/// Why somebody may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    #[error("this server wants a token: send it as `authToken` in the sync payload, or in a header `Authorization: Bearer`")]
    NoToken,
    #[error("the token is not known here, or no longer; ask who runs this server for another one")]
    UnknownToken,
    #[error("the token is not good for this store; ask who runs this server to add the store to it")]
    NotThisStore,
}

/// What somebody has shown at the door. Holds no token, only what it can be recognised by.
#[derive(Clone)]
pub(super) struct Credentials(Option<Digest>);

impl Credentials {
    pub(super) fn of(token: Option<&str>) -> Self {
        Self(token.map(Digest::of))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The door: open to all, or by a file of tokens, which is read again when it changes.
#[derive(Debug)]
pub(super) enum Access {
    Open,
    Tokens(TokenFile),
}

/// A file of tokens, and what it said when it was last in order.
pub(super) struct TokenFile {
    path: PathBuf,
    tokens: Mutex<(Arc<Tokens>, Stamp)>,
    /// Raised whenever the tokens change.
    edition: AtomicU64,
}

/// What tells one state of a file from another, as far as that can be told without reading it.
type Stamp = Option<(SystemTime, u64)>;

impl Access {
    pub(super) fn from_file(path: PathBuf) -> Result<Self, TokensError> {
        let stamp = stamp(&path);
        let tokens = Arc::new(Tokens::read(&path)?);
        Ok(Self::Tokens(TokenFile { path, tokens: Mutex::new((tokens, stamp)), edition: AtomicU64::new(0) }))
    }

    /// What these credentials are good for now.
    pub(super) fn grant(&self, credentials: &Credentials, store_id: &str) -> Result<Grant, Denied> {
        let Self::Tokens(file) = self else { return Ok(Grant { read: true, write: true }) };
        let digest = credentials.0.as_ref().ok_or(Denied::NoToken)?;
        let tokens = file.lock().0.clone();
        let grant = tokens.grant(digest, store_id).ok_or(Denied::UnknownToken)?;
        if grant.read || grant.write { Ok(grant) } else { Err(Denied::NotThisStore) }
    }

    /// Changes when grants may have changed.
    pub(super) fn edition(&self) -> u64 {
        match self {
            Self::Open => 0,
            Self::Tokens(file) => file.edition.load(Ordering::SeqCst),
        }
    }

    /// Reads the file again, if it has changed or `anyway`. Blocks. Answers whether there are other tokens now.
    ///
    /// # Errors
    ///
    /// If it can't be used; then the tokens stay what they were.
    pub(super) fn reload(&self, anyway: bool) -> Result<bool, TokensError> {
        let Self::Tokens(file) = self else { return Ok(false) };
        let stamp = stamp(&file.path);
        if !anyway && file.lock().1 == stamp {
            return Ok(false);
        }
        // Also if it can't be used: it is complained of once.
        file.lock().1 = stamp;
        let tokens = Arc::new(Tokens::read(&file.path)?);
        file.lock().0 = tokens;
        file.edition.fetch_add(1, Ordering::SeqCst);
        tracing::info!(path = %file.path.display(), "read the token file again");
        Ok(true)
    }
}

impl TokenFile {
    fn lock(&self) -> std::sync::MutexGuard<'_, (Arc<Tokens>, Stamp)> {
        // Each part is replaced in one step.
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFile").field("path", &self.path).finish_non_exhaustive()
    }
}

fn stamp(path: &std::path::Path) -> Stamp {
    let file = std::fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
}
