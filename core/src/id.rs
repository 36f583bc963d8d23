//! Identities. An identity is never a position: it is drawn once, stored with the event, and survives rebase and restart.

use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::seq::serde_as_notation;

/// Who writes into a store file: one for as long as the file lives. Any text that the wire accepts.
pub type ClientId = Arc<str>;

/// Which log a sync backend holds. Another identity is another history.
pub type BackendId = Arc<str>;

/// One opening of a session: 128 random bits, drawn by the driver. Never used again after the session has closed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; 16]);

// As the bytes compare, and in fewer steps: sessions are looked up by this all the time.
impl Ord for SessionId {
    fn cmp(&self, other: &Self) -> Ordering {
        u128::from_be_bytes(self.0).cmp(&u128::from_be_bytes(other.0))
    }
}

impl PartialOrd for SessionId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Crockford's alphabet, in lower case: no letter that is easily taken for a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 128 bits in groups of five.
const SESSION_CHARS: usize = 26;

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        let mut text = [0_u8; SESSION_CHARS];
        for (i, char) in text.iter_mut().enumerate() {
            let shift = 5 * (SESSION_CHARS - 1 - i);
            *char = ALPHABET[((bits >> shift) & 31) as usize];
        }
        f.write_str(core::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an identity of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("not an identity: expected 26 letters and digits, then -1 for the session's first commit, and so on")]
pub struct ParseIdError;

impl FromStr for SessionId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != SESSION_CHARS {
            return Err(ParseIdError);
        }
        let mut bits: u128 = 0;
        for (i, byte) in text.bytes().enumerate() {
            let value = ALPHABET.iter().position(|&c| c == byte).ok_or(ParseIdError)?;
            // 26 groups of five are 130 bits: the first group has only three that count.
            if i == 0 && value > 7 {
                return Err(ParseIdError);
            }
            bits = (bits << 5) | value as u128;
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

/// One event of one session: survives every renumbering. Ordinals start at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId {
    /// The session that committed it.
    pub session: SessionId,
    /// Its number among the session's events.
    pub ordinal: u64,
}

/// One commit of one session. `Display` and `FromStr` round-trip; store it anywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId {
    /// The session that made it.
    pub session: SessionId,
    /// Its number among the session's commits, from 1.
    pub ordinal: u64,
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.session, self.ordinal)
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CommitId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (session, ordinal) = text.split_once('-').ok_or(ParseIdError)?;
        if ordinal.starts_with(['+', '0']) {
            return Err(ParseIdError);
        }
        Ok(Self { session: session.parse()?, ordinal: ordinal.parse().map_err(|_| ParseIdError)? })
    }
}

serde_as_notation!(SessionId);
serde_as_notation!(CommitId);

/// Names an order to the world, so that its answer can be told from a stale one. Never used twice by one machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EffectId(pub u64);

/// Written as a signed number, as nothing else is in a machine: a hasher can tell these names, which say nothing of how things stand.
impl Hash for EffectId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_i64(self.0.cast_signed());
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn ids_round_trip_through_text() {
        for bytes in [[0; 16], [0xff; 16], *b"0123456789abcdef"] {
            let commit = CommitId { session: SessionId(bytes), ordinal: 17 };
            assert_eq!(commit.to_string().parse(), Ok(commit));
        }
    }

    // Verifies: D1 (machines that differ in the order that they wait for have different hashes)
    #[test]
    fn the_name_of_an_order_is_hashed_as_a_signed_number() {
        struct Signed(Vec<i64>);
        impl Hasher for Signed {
            fn write(&mut self, bytes: &[u8]) {
                panic!("not a signed number: {bytes:?}");
            }
            fn write_i64(&mut self, number: i64) {
                self.0.push(number);
            }
            fn finish(&self) -> u64 {
                0
            }
        }
        let mut hasher = Signed(Vec::new());
        EffectId(7).hash(&mut hasher);
        assert_eq!(hasher.0, [7]);
    }

    #[test]
    fn other_text_is_refused() {
        let good = CommitId { session: SessionId([7; 16]), ordinal: 1 }.to_string();
        for bad in ["", "x-1", &good[1..], &good.replace('-', ""), &good.replace("-1", "-01"), &good.replace("-1", "-0")] {
            assert_eq!(bad.parse::<CommitId>(), Err(ParseIdError), "{bad}");
        }
        assert!("zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<SessionId>().is_err());
    }
}
