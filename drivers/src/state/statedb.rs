//! What a materialiser may use.

use std::marker::PhantomData;

/// The state, as a materialiser sees it.
pub struct StateDb<'a> {
    _conn: PhantomData<&'a ()>,
}

/// Why a materialiser refuses an event.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct MaterialiseError(String);
