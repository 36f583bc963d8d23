//! A backend's address, as it is given, as it is remembered, and what it leads to.

use std::fmt;
use std::path::{Path, PathBuf};

use countersign::backend::EmbeddedBackend;

use crate::failure::{Failure, Result};

/// Where a backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A file on this machine.
    Embedded(PathBuf),
}

const EMBEDDED: &str = "embedded:";

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text.strip_prefix(EMBEDDED) {
            Some("") => Err(Failure::input("address", "the backend's address `embedded:` names no file: write embedded:FILE")),
            Some(path) => Ok(Self::Embedded(PathBuf::from(path))),
            None => {
                let message = format!("`{text}` is no backend's address: write embedded:FILE for a file on this machine");
                Err(Failure::input("address", message))
            }
        }
    }

    /// As it is remembered: relative to the store's folder for what lies in it, so that the folder can be moved as a whole; else absolute.
    pub(crate) fn remembered(&self, store: &Path) -> Result<Self> {
        let Self::Embedded(path) = self;
        let (path, store) = (absolute(path)?, absolute(store)?);
        let relative = store.parent().and_then(|folder| path.strip_prefix(folder).ok());
        Ok(Self::Embedded(relative.map_or_else(|| path.clone(), Path::to_owned)))
    }

    /// The file that a remembered address means.
    pub(crate) fn file(&self, store: &Path) -> PathBuf {
        let Self::Embedded(path) = self;
        let store = std::fs::canonicalize(store).unwrap_or_else(|_| store.to_owned());
        store.parent().map_or_else(|| path.clone(), |folder| folder.join(path))
    }

    /// The backend that a remembered address leads to, within reach or not. Only `init` makes one.
    pub(crate) fn backend(&self, store: &Path) -> EmbeddedBackend {
        EmbeddedBackend::at(self.file(store))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Embedded(path) = self;
        write!(f, "{EMBEDDED}{}", path.display())
    }
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
        assert_eq!(address.file(Path::new("/nowhere/a.db")), Path::new("/nowhere/b.db"));
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in ["", "embedded:", "http://example.org", "b.db"] {
            assert!(matches!(Address::parse(text), Err(Failure::Said(said)) if said.code == "address"), "{text}");
        }
    }
}
