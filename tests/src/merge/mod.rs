//! The merge of the machines, line by line, in LiveStore's terms: what lets another implementation be compared with it.
//!
//! [`run`] reads one JSON object a line ([`Request`]) and answers each with one ([`Answer`]). The comparison itself is
//! [`countersign_core::merge`]; here are only the form, LiveStore's notion of the same event ([`LiveStore`]), and the
//! conversion of a delta of indices into lists of events ([`answer`]).
//!
//! It agrees with LiveStore wherever positions are concerned, with these differences, all of them meant:
//! - client-only events before a confirmed synced one are confirmed with it, also where the rest is rebased;
//! - a rebase numbers in the generation after the highest of the new upstream head and of what is rebased, so that
//!   generations never go back; nothing is ever decided by a generation, the first event after the head included;
//! - heads that contradict the pending events, or each other, are taken as they come, before and after.

mod convert;
mod form;
mod livestore;
mod run;

pub use convert::{NoRoom, answer};
pub use form::{Answer, Event, Outcome, Payload, PayloadTag, Request, SyncState};
pub use livestore::{ClientOnly, LiveStore};
pub use run::run;
