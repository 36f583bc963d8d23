//! A place in a log, to be handed to another client of that log.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which log a place is in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LogName {
    pub(crate) store_id: Arc<str>,
    pub(crate) backend: Arc<str>,
}

/// A place in the one global order of a backend's log: small opaque text that a server hands to its client, whose `Store::reached` waits
/// until its own store has everything up to there.
///
/// Says which log it means, so that it can't be taken for the same number of another one. No secret: it lets nobody read anything.
/// `Display` and `FromStr` round-trip, and a form that a later version writes is refused by name.
#[derive(Clone, PartialEq, Eq)]
pub struct PositionToken {
    log: Arc<LogName>,
    position: u64,
}

/// What every token of this form starts with.
const FORM: &str = "cs1.";

impl PositionToken {
    pub(crate) fn new(log: Arc<LogName>, position: u64) -> Self {
        Self { log, position }
    }

    /// Which of the backend's logs it is about.
    #[must_use]
    pub fn store_id(&self) -> &str {
        &self.log.store_id
    }

    /// The identity of that log.
    #[must_use]
    pub fn backend(&self) -> &str {
        &self.log.backend
    }

    /// Another place in the same log, such as the last one that a server has seen.
    #[must_use]
    pub fn at(&self, position: u64) -> Self {
        Self { log: Arc::clone(&self.log), position }
    }

    /// The global number.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }
}

/// The text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseTokenError {
    /// It is of a newer form.
    #[error("the position token is of a newer form than this version reads (`cs1.`): update this program")]
    Newer,
    /// It is something else, or a part of it is missing.
    #[error("not a position token, or not all of one: expected `cs1.` and the text behind it, as `Confirmation::token` gives it")]
    Malformed,
}

impl fmt::Display for PositionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::new();
        put(&mut bytes, self.position);
        for text in [&self.log.store_id, &self.log.backend] {
            put(&mut bytes, text.len() as u64);
            bytes.extend(text.as_bytes());
        }
        write!(f, "{FORM}{}", BASE64URL_NOPAD.encode(&bytes))
    }
}

impl fmt::Debug for PositionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PositionToken(e{} of {} at {})", self.position, self.log.store_id, self.log.backend)
    }
}

impl FromStr for PositionToken {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, ParseTokenError> {
        let Some(rest) = text.strip_prefix(FORM) else {
            let version =
                text.strip_prefix("cs").and_then(|rest| rest.split_once('.')).map(|(version, _)| version.parse::<u32>());
            return Err(if matches!(version, Some(Ok(2..))) { ParseTokenError::Newer } else { ParseTokenError::Malformed });
        };
        let bytes = BASE64URL_NOPAD.decode(rest.as_bytes()).map_err(|_| ParseTokenError::Malformed)?;
        read(&bytes).ok_or(ParseTokenError::Malformed)
    }
}

impl Serialize for PositionToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PositionToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn read(bytes: &[u8]) -> Option<PositionToken> {
    let mut rest = bytes;
    let position = take(&mut rest)?;
    let mut text = || {
        let length = usize::try_from(take(&mut rest)?).ok()?;
        let (text, behind) = rest.split_at_checked(length)?;
        rest = behind;
        Some(Arc::from(std::str::from_utf8(text).ok()?))
    };
    let log = LogName { store_id: text()?, backend: text()? };
    (rest.is_empty() && position <= countersign_core::GLOBAL_MAX).then(|| PositionToken { log: Arc::new(log), position })
}

/// A number, seven bits a byte, the lowest first.
fn put(bytes: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        bytes.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0_u64;
    for shift in (0..63).step_by(7) {
        let (&byte, behind) = bytes.split_first()?;
        *bytes = behind;
        n |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(store_id: &str, backend: &str, position: u64) -> PositionToken {
        PositionToken::new(Arc::new(LogName { store_id: store_id.into(), backend: backend.into() }), position)
    }

    #[test]
    fn tokens_round_trip_through_text_and_json() {
        let long = "x".repeat(500);
        for (store_id, backend, position) in
            [("main", "V1StGXR8_Z5jdHi6B-myT", 1), ("", "", 0), ("größe", &long, countersign_core::GLOBAL_MAX)]
        {
            let token = token(store_id, backend, position);
            let text = token.to_string();
            assert_eq!(text.parse(), Ok(token.clone()), "{text}");
            assert_eq!(serde_json::from_str::<PositionToken>(&serde_json::to_string(&token).unwrap()).unwrap(), token);
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{text}");
        }
        assert!(token("main", "V1StGXR8_Z5jdHi6B-myT", 1_000_000).to_string().len() < 48);
    }

    #[test]
    fn parts_of_tokens_and_other_text_are_refused() {
        let good = token("main", "backend", 300).to_string();
        for end in 0..good.len() {
            assert_eq!(good[..end].parse::<PositionToken>(), Err(ParseTokenError::Malformed), "{}", &good[..end]);
        }
        let overlong = format!("{FORM}{}", BASE64URL_NOPAD.encode(&[0xff; 40]));
        for bad in [&format!("{good}AA"), "cs1", "cs0.AAAA", "e17", "cs1.\u{e9}", &overlong] {
            assert_eq!(bad.parse::<PositionToken>(), Err(ParseTokenError::Malformed), "{bad}");
        }
        assert_eq!(good.replace("cs1", "cs2").parse::<PositionToken>(), Err(ParseTokenError::Newer));
    }
}
