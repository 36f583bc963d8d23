//! LiveStore's sync protocol, as its servers and clients of both generations speak it.
//!
//! [`LiveStoreBackend`] syncs a store with a server that speaks it. Below it are `protocol`, what is said, and `client`, who says
//! it when: both are pure, without IO or a clock, and never panic, whatever bytes come in. `lanes` is what reads and writes the
//! sockets.

mod backend;
pub(crate) mod client;
mod lanes;
pub(crate) mod protocol;
mod token;

pub use backend::LiveStoreBackend;
pub use protocol::AddressError;
pub use token::Token;

/// What fuzz targets ask of the codec: nothing panics on any bytes, and what was read and is written again reads the same.
///
/// # Errors
///
/// Says what does not.
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub fn round_trip(bytes: &[u8]) -> Result<(), String> {
    protocol::round_trip(bytes)
}
