//! Canonical JSON (RFC 8785).

use std::sync::Arc;

use serde::Serialize;

use super::EncodeError;

/// The canonical text of what this client says.
pub(crate) fn canonical(value: &(impl Serialize + ?Sized)) -> Result<Arc<str>, EncodeError> {
    let _ = value;
    todo!()
}

/// The canonical text of what a peer has said: never refused, numbers are what JavaScript reads.
pub(crate) fn canonical_of_peer(value: &serde_json::Value) -> Arc<str> {
    let _ = value;
    todo!()
}
