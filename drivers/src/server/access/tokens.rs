//! The file of tokens.
//!
//! ```toml
//! [[token]]
//! token = "at least sixteen characters"
//! read = ["*"]
//! write = ["shop-1", "shop-2"]
//! ```
//!
//! Promises that neither an error nor `Debug` shows a token, and that comparing one takes the same time whichever it is.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use serde::Deserialize;
use subtle::{Choice, ConstantTimeEq};

use super::Grant;
use crate::livestore::protocol::is_store_id;

/// Fewer could be tried out.
const TOKEN_CHARS: usize = 16;
const EVERY: &str = "*";

/// A file of tokens can't be used. No token is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// The file can't be read.
    #[error("can't read the token file {}: {message}; check the path, and let this user read it", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        message: Arc<str>,
    },
    /// The file is not what it has to be.
    #[error(
        "the token file {}, line {line}: {message}; each token is a [[token]] with token = \"...\", read = [\"*\"] or store ids, \
         and write = [\"*\"] or store ids",
        .path.display()
    )]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where, counted from 1.
        line: usize,
        /// What is wrong.
        message: Arc<str>,
    },
    /// One of the tokens is no good.
    #[error("the token file {}, [[token]] number {number}: {problem}", .path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// Nobody could come in.
    #[error("there is no [[token]] in the token file {}: nobody could come in", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// What a token is recognised by.
#[derive(Clone)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    pub(super) fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }

    fn is(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

/// The tokens of a file.
pub(super) struct Tokens(Vec<Token>);

struct Token {
    digest: Digest,
    read: Stores,
    write: Stores,
}

enum Stores {
    Every,
    These(BTreeSet<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    token: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    token: String,
    #[serde(default)]
    read: Vec<String>,
    #[serde(default)]
    write: Vec<String>,
}

impl Tokens {
    pub(super) fn read(path: &Path) -> Result<Self, TokensError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| TokensError::Unreadable { path: path.into(), message: error.to_string().into() })?;
        Self::parse(&text, path)
    }

    /// What the holder of a token may do; nothing if there is no such token.
    pub(super) fn grant(&self, digest: &Digest, store_id: &str) -> Option<Grant> {
        let mut found = None;
        // All of them are looked at, whichever it is.
        for token in &self.0 {
            if bool::from(token.digest.is(digest)) {
                found = Some(token);
            }
        }
        found.map(|token| Grant { read: token.read.has(store_id), write: token.write.has(store_id) })
    }

    fn parse(text: &str, path: &Path) -> Result<Self, TokensError> {
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
            TokensError::Syntax { path: path.into(), line, message: harmless(error.message()).into() }
        })?;
        if file.token.is_empty() {
            return Err(TokensError::Empty { path: path.into() });
        }
        let mut tokens: Vec<Token> = Vec::new();
        for (i, Line { token, read, write }) in file.token.into_iter().enumerate() {
            let wrong = |problem| TokensError::Token { path: path.into(), number: i + 1, problem };
            if token.chars().count() < TOKEN_CHARS {
                return Err(wrong("the token has to have 16 characters at least: a shorter one could be tried out"));
            }
            if token.trim() != token {
                return Err(wrong("the token begins or ends with white space, which a header can't carry"));
            }
            let digest = Digest::of(&token);
            if tokens.iter().any(|other| bool::from(other.digest.is(&digest))) {
                return Err(wrong("the same token stands in the file twice; put all its stores in one place"));
            }
            let store = "a store id may have letters, digits, `_` and `-` only; \"*\" stands for all stores";
            let read = Stores::of(read).ok_or_else(|| wrong(store))?;
            let write = Stores::of(write).ok_or_else(|| wrong(store))?;
            if read.is_none() && write.is_none() {
                return Err(wrong("it may neither read nor write; name stores in `read` or `write`"));
            }
            tokens.push(Token { digest, read, write });
        }
        Ok(Self(tokens))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

impl Stores {
    fn of(names: Vec<String>) -> Option<Self> {
        if names.iter().any(|name| name == EVERY) {
            return Some(Self::Every);
        }
        names.iter().all(|name| is_store_id(name)).then(|| Self::These(names.into_iter().collect()))
    }

    fn has(&self, store_id: &str) -> bool {
        match self {
            Self::Every => true,
            Self::These(names) => names.contains(store_id),
        }
    }

    fn is_none(&self) -> bool {
        matches!(self, Self::These(names) if names.is_empty())
    }
}

/// What the parser says, without what it quotes: that may be a token.
fn harmless(message: &str) -> String {
    let mut kept = String::new();
    for (i, part) in message.split('"').enumerate() {
        kept.push_str(if i % 2 == 0 { part } else { "…" });
    }
    kept.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "sixteen-chars-or-more";

    fn parse(text: &str) -> Result<Tokens, TokensError> {
        Tokens::parse(text, Path::new("tokens.toml"))
    }

    #[test]
    fn a_token_is_good_for_the_stores_that_it_names() {
        let text = format!(
            "[[token]]\ntoken = {SECRET:?}\nread = [\"*\"]\nwrite = [\"a\", \"b\"]\n[[token]]\ntoken = \"{SECRET}2\"\nwrite = [\"*\"]\n"
        );
        let tokens = parse(&text).unwrap();
        let grant = |token: &str, store: &str| tokens.grant(&Digest::of(token), store);
        assert_eq!(grant(SECRET, "a"), Some(Grant { read: true, write: true }));
        assert_eq!(grant(SECRET, "c"), Some(Grant { read: true, write: false }));
        assert_eq!(grant(&format!("{SECRET}2"), "c"), Some(Grant { read: false, write: true }));
        assert_eq!(grant("sixteen-chars-or-mor", "a"), None);
        assert_eq!(grant("", "a"), None);
        assert_eq!(format!("{tokens:?}"), "Tokens(2)");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_token() {
        let entry = |rest: &str| format!("[[token]]\ntoken = {SECRET:?}\n{rest}\n");
        for (text, parts) in [
            (String::new(), &["no [[token]]", "tokens.toml"][..]),
            ("[[token]]\ntoken = \"short\"\nread = [\"*\"]".to_owned(), &["number 1", "16 characters"]),
            (entry(""), &["neither read nor write"]),
            (entry("read = [\"a/b\"]"), &["store id"]),
            (entry("write = [\"a\"]").repeat(2), &["number 2", "twice"]),
            (entry("reed = [\"a\"]"), &["line 3", "reed"]),
            (entry("read = 7"), &["line 3"]),
            (format!("[[token]]\ntoken = {SECRET:?} x"), &["line 2"]),
            (format!("[[token]]\ntoken = [{SECRET:?}]"), &["line 2"]),
            (format!("[[token]]\ntoken = \"{SECRET}"), &["line 2"]),
            (format!("token = {SECRET:?}"), &["line 1"]),
            (format!("[[token]]\ntoken = \" {SECRET}\"\nread = [\"*\"]"), &["white space"]),
        ] {
            let error = parse(&text).unwrap_err();
            for part in parts {
                assert!(error.to_string().contains(part), "{error} does not say {part}");
            }
            assert!(!format!("{error} {error:?}").contains(SECRET), "{error:?}");
        }
        assert!(matches!(Tokens::read(Path::new("/no/such/file")), Err(TokensError::Unreadable { .. })));
    }
}
