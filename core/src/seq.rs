//! Sequence numbers: where an event stands ([`Pos`]) and in which rewriting of the log ([`Seq`]).
//!
//! The notation is LiveStore's: `e5` is the fifth synced event, `e5.1` the first client-only event after it, `e5r2` the
//! fifth event after two rebases. Position and generation are apart on purpose: positions are ordered, generations say
//! nothing about order, and a type that mixes them invites comparing them.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest global number, `2^53 - 1`: the last integer that a JavaScript peer reads back exactly.
pub const GLOBAL_MAX: u64 = (1 << 53) - 1;

/// A place in the log: the number of synced events up to here, then of client-only events after the last of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pos {
    /// Place in the global order; 0 is before the first event.
    pub global: u64,
    /// 0 for a synced event; 1, 2, .. for client-only events after it.
    pub client: u32,
}

impl Pos {
    /// Before the first event.
    pub const ROOT: Self = Self { global: 0, client: 0 };

    /// The place of the synced event with this global number.
    #[must_use]
    pub const fn synced(global: u64) -> Self {
        Self { global, client: 0 }
    }

    /// The place of the next event after this one.
    #[must_use]
    pub const fn next(self, client_only: bool) -> Self {
        debug_assert!(self.global <= GLOBAL_MAX, "a peer could not read the number back");
        if client_only {
            Self { global: self.global, client: self.client + 1 }
        } else {
            Self { global: self.global + 1, client: 0 }
        }
    }

    /// The parent of an event that stands here: the synced event before a synced one, the neighbour of a client-only one.
    #[must_use]
    pub const fn parent(self) -> Self {
        if self.client > 0 {
            Self { global: self.global, client: self.client - 1 }
        } else {
            Self { global: self.global.saturating_sub(1), client: 0 }
        }
    }

    /// Whether only a client-only event can stand here.
    #[must_use]
    pub const fn is_client_only(self) -> bool {
        self.client > 0
    }
}

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.global)?;
        if self.client > 0 {
            write!(f, ".{}", self.client)?;
        }
        Ok(())
    }
}

impl FromStr for Pos {
    type Err = ParseSeqError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seq: Seq = text.parse()?;
        if seq.generation == 0 { Ok(seq.pos) } else { Err(ParseSeqError) }
    }
}

/// A sequence number: a place, and the generation of local history it was given in.
///
/// Deliberately not ordered; compare [`Seq::pos`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seq {
    /// The place.
    pub pos: Pos,
    /// How often the unconfirmed part of the log had been rewritten when the number was given. Never goes back.
    pub generation: u32,
}

impl Seq {
    /// Before the first event.
    pub const ROOT: Self = Self { pos: Pos::ROOT, generation: 0 };

    /// A sequence number of this place and generation.
    #[must_use]
    pub const fn new(pos: Pos, generation: u32) -> Self {
        Self { pos, generation }
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pos)?;
        if self.generation > 0 {
            write!(f, "r{}", self.generation)?;
        }
        Ok(())
    }
}

/// The text is not a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("not a sequence number: expected e5, e5.1 or e5r2")]
pub struct ParseSeqError;

impl FromStr for Seq {
    type Err = ParseSeqError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_prefix('e').ok_or(ParseSeqError)?;
        let (place, generation) = match text.split_once('r') {
            Some((place, generation)) => (place, number(generation)?),
            None => (text, 0),
        };
        let (global, client) = match place.split_once('.') {
            Some((global, client)) => (number(global)?, number(client)?),
            None => (number(place)?, 0),
        };
        if global > GLOBAL_MAX {
            return Err(ParseSeqError);
        }
        let small = |n: u64| u32::try_from(n).map_err(|_| ParseSeqError);
        Ok(Self { pos: Pos { global, client: small(client)? }, generation: small(generation)? })
    }
}

/// Digits only: `str::parse` would also take a sign.
fn number(text: &str) -> Result<u64, ParseSeqError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseSeqError);
    }
    text.parse().map_err(|_| ParseSeqError)
}

macro_rules! serde_as_notation {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = alloc::string::String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_notation;

serde_as_notation!(Pos);
serde_as_notation!(Seq);

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn notation_round_trips() {
        for text in ["e0", "e0r1", "e0.1", "e0.1r1", "e5.3r2", "e9007199254740991"] {
            assert_eq!(text.parse::<Seq>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_notation_is_refused() {
        for text in ["", "5", "e", "eabc", "e0.abc", "e0rabc", "e-1", "e+1", "e1.", "e1r", "e1.2.3", "e9007199254740992"] {
            assert_eq!(text.parse::<Seq>(), Err(ParseSeqError), "{text}");
        }
        assert_eq!("e1r1".parse::<Pos>(), Err(ParseSeqError));
    }

    #[test]
    fn positions_are_ordered_and_chained() {
        let at = |global, client| Pos { global, client };
        assert!(at(0, 0) < at(0, 1) && at(0, 1) < at(1, 0));
        assert_eq!(at(5, 2).next(true), at(5, 3));
        assert_eq!(at(5, 2).next(false), at(6, 0));
        assert_eq!(at(6, 0).parent(), at(5, 0));
        assert_eq!(at(5, 2).parent(), at(5, 1));
    }
}
