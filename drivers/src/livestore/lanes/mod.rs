//! Blocking lanes over sockets: WebSocket, and HTTP as a fallback. All they decide is when to dial and when to hang up; what is
//! said is the business of [`super::client`].
//!
//! Promises that every wait ends: by an answer, a deadline, or, for a pull, an interruption; and that nothing secret is in an
//! error, a log line or a `Debug` text.

mod dial;
mod http_pull;
mod http_push;
mod interrupt;
mod keeper;
mod link;
mod request;
mod secrets;
mod settings;
mod socket;
#[cfg(test)]
mod tests;
mod tls;
mod ws_pull;
mod ws_push;

pub(super) use http_pull::HttpPull;
pub(super) use http_push::HttpPush;
pub(super) use settings::{Settings, Timeouts, TokenSource, header};
pub(super) use tls::{client_config, read_certificates};
pub(super) use ws_pull::WsPull;
pub(super) use ws_push::WsPush;
