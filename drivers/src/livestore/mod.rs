//! LiveStore's sync protocol, as its servers and clients of both generations speak it.
//!
//! [`protocol`] is what is said: messages, addresses and limits, without IO; it is shared by both sides and never panics,
//! whatever bytes come in.

pub(crate) mod protocol;

pub use protocol::AddressError;
