//! Why a server does not start, or has ended.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::access::TokensError;

/// A server can't be started. Nothing was changed but the directory, which may have been made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The directory can't be used.
    #[error("can't use the directory {}: {message}; it has to be a directory that this user may write", .path.display())]
    Dir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        message: Arc<str>,
    },
    /// Another server serves this directory.
    #[error(
        "another server{} serves {}; stop it first, or serve another directory",
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        .path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other server's process, if it could be read.
        pid: Option<u32>,
    },
    /// The address can't be listened on.
    #[error("can't listen on {addr}: {message}; choose another address, or port 0 for any free port")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        message: Arc<str>,
    },
    /// Nothing was said of who may come in.
    #[error("nothing says who may read and write: give a token file, or say that nobody is asked for a token")]
    NoAccess,
    /// The token file can't be used.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The certificate or the key can't be used.
    #[error("can't use the TLS file {}: {message}", .path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: Arc<str>,
    },
    /// A limit that nothing fits in.
    #[error("the limit `{name}` is {value}, and has to be at least {least}")]
    Limit {
        /// The field of [`Limits`](super::Limits).
        name: &'static str,
        /// Its value.
        value: usize,
        /// The least that makes sense.
        least: usize,
    },
    /// The system gave no thread.
    #[error("can't start the server's thread: {message}; free some memory, or allow more processes")]
    Thread {
        /// What the system said.
        message: Arc<str>,
    },
}

/// A server has ended without being stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// A fault of its own. What it had acknowledged is on disk.
    #[error("the server's thread has panicked, which is a fault in it; what it had acknowledged is on disk, start it again")]
    Panicked,
}
