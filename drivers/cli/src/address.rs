//! A backend's address, as it is given, as it is remembered, and what it leads to.

use std::fmt;
use std::path::{Path, PathBuf};

use countersign::backend::EmbeddedBackend;
use countersign::livestore::{AddressError, LiveStoreBackend};
use countersign::{Opener, TokenPlace};

use crate::failure::{Failure, Result};

/// Where a backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A file on this machine.
    Embedded(PathBuf),
    /// A server that speaks LiveStore's protocol.
    Server(String),
}

const EMBEDDED: &str = "embedded:";
/// Names a file of root certificates that are trusted instead of Mozilla's.
const ROOTS: &str = "SSL_CERT_FILE";

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text.strip_prefix(EMBEDDED) {
            Some("") => Err(Failure::input("address", "the backend's address `embedded:` names no file: write embedded:FILE")),
            Some(path) => Ok(Self::Embedded(PathBuf::from(path))),
            None => server(text).map(|_| Self::Server(text.to_owned())),
        }
    }

    /// As it is remembered: a file as [`remembered`] has it.
    pub(crate) fn remembered(&self, store: &Path) -> Result<Self> {
        match self {
            Self::Embedded(path) => remembered(path, store).map(Self::Embedded),
            Self::Server(url) => Ok(Self::Server(url.clone())),
        }
    }

    /// The file that a remembered address means, if it is one.
    pub(crate) fn file(&self, store: &Path) -> Option<PathBuf> {
        match self {
            Self::Embedded(path) => Some(beside(path, store)),
            Self::Server(_) => None,
        }
    }

    /// Gives a store the backend that a remembered address leads to, within reach or not. Only `init` makes one.
    pub(crate) fn attach(&self, opener: Opener, store: &Path, token: Option<&TokenPlace>) -> Result<Opener> {
        Ok(match self {
            Self::Embedded(path) => opener.backend(EmbeddedBackend::at(beside(path, store))),
            Self::Server(url) => {
                let backend = trusting(server(url)?)?;
                opener.backend(match token {
                    Some(TokenPlace::File(path)) => backend.token_file(beside(path, store)),
                    Some(TokenPlace::Env(variable)) => backend.token_env(variable),
                    Some(_) | None => backend,
                })
            }
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(path) => write!(f, "{EMBEDDED}{}", path.display()),
            Self::Server(url) => f.write_str(url),
        }
    }
}

/// The address is not said back: it may hold a secret.
fn server(url: &str) -> Result<LiveStoreBackend> {
    LiveStoreBackend::new(url).map_err(|error| {
        let advice = match &error {
            AddressError::Credentials | AddressError::Query => {
                "a token belongs where other users of the machine can't read it, in a file (--token-file) or in the environment \
                 (--token-env); a store's id belongs in --store-id"
            }
            _ => "write embedded:FILE for a file on this machine, or the address of a server, such as ws://127.0.0.1:4000",
        };
        Failure::input("address", format!("no backend can be there: {error}; {advice}"))
    })
}

/// Trusts the certificates that this variable names, as other programs do.
fn trusting(backend: LiveStoreBackend) -> Result<LiveStoreBackend> {
    let Some(file) = std::env::var_os(ROOTS).filter(|file| !file.is_empty()) else { return Ok(backend) };
    let file = Path::new(&file);
    let pem = std::fs::read(file).map_err(|error| Failure::unreadable(file, &error))?;
    let wrong = |error: AddressError| {
        let advice = "the variable has to name a file of certificates in PEM, or not to be set";
        Failure::input("certificates", format!("{ROOTS}={}: {error}; {advice}", file.display()))
    };
    backend.root_certificates(&pem).map_err(wrong)
}

/// As a path is remembered: relative to the store's folder for what lies in it, so that the folder can be moved as a whole; else
/// absolute.
pub(crate) fn remembered(path: &Path, store: &Path) -> Result<PathBuf> {
    let (path, store) = (absolute(path)?, absolute(store)?);
    let relative = store.parent().and_then(|folder| path.strip_prefix(folder).ok());
    Ok(relative.map_or_else(|| path.clone(), Path::to_owned))
}

/// The file that a remembered path means.
fn beside(path: &Path, store: &Path) -> PathBuf {
    let store = std::fs::canonicalize(store).unwrap_or_else(|_| store.to_owned());
    store.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
}

/// With the folder's links resolved, so that two ways to say a path are one. The file need not be there.
fn absolute(path: &Path) -> Result<PathBuf> {
    let unusable = |error: std::io::Error| Failure::input("path", format!("{}: no usable path: {error}", path.display()));
    let path = std::path::absolute(path).map_err(unusable)?;
    Ok(match (path.parent().map(std::fs::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_the_store_moves_with_it() {
        let remembered = |backend: &str, store: &str| {
            Address::parse(backend).and_then(|address| address.remembered(Path::new(store))).map(|address| address.to_string())
        };
        assert_eq!(remembered("embedded:/nowhere/b.db", "/nowhere/a.db").ok().as_deref(), Some("embedded:b.db"));
        assert_eq!(remembered("embedded:/nowhere/x/b.db", "/nowhere/a.db").ok().as_deref(), Some("embedded:x/b.db"));
        assert_eq!(remembered("embedded:/else/b.db", "/nowhere/a.db").ok().as_deref(), Some("embedded:/else/b.db"));
        let address = Address::Embedded(PathBuf::from("b.db"));
        assert_eq!(address.file(Path::new("/nowhere/a.db")).as_deref(), Some(Path::new("/nowhere/b.db")));
        assert_eq!(remembered("wss://sync.example/a", "/nowhere/a.db").ok().as_deref(), Some("wss://sync.example/a"));
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in ["", "embedded:", "ftp://example.org", "b.db", "ws://user:sesame@h", "ws://h?payload=sesame"] {
            let Err(Failure::Said(said)) = Address::parse(text) else { panic!("{text}") };
            assert!(said.code == "address" && !said.message.contains("sesame"), "{said}");
        }
    }
}
