//! Lanes over sockets: WebSocket, and HTTP as a fallback. All they decide is when to dial and when to hang up; what is said is the
//! business of [`super::client`], and how they wait, on a thread or as a task, that of `net`.
//!
//! Promises that every wait ends: by an answer, a deadline, or, for a pull, an interruption; and that nothing secret is in an
//! error, a log line or a `Debug` text.

mod dial;
mod http_pull;
mod http_push;
mod interrupt;
mod link;
mod net;
mod request;
mod secrets;
mod settings;
mod socket;
mod stream;
#[cfg(feature = "smol")]
mod tasks;
#[cfg(test)]
mod tests;
mod threads;
mod tls;
mod ws_pull;
mod ws_push;

use http_pull::HttpPull;
use http_push::HttpPush;
pub(super) use settings::{Settings, Timeouts, TokenSource, header};
use threads::Blocking;
pub(super) use tls::{client_config, read_certificates};
use ws_pull::WsPull;
use ws_push::WsPush;

use super::protocol::Transport;
use crate::backend::Lanes;

/// Lanes that block.
pub(super) fn blocking(settings: Settings) -> Lanes {
    let on_push = settings.clone();
    match settings.address.transport {
        Transport::Ws => Lanes {
            push: Box::new(Blocking::new(|net| WsPush::new(net, on_push))),
            pull: Box::new(Blocking::new(|net| WsPull::new(net, settings))),
        },
        Transport::Http => Lanes {
            push: Box::new(Blocking::new(|net| HttpPush::new(net, on_push))),
            pull: Box::new(Blocking::new(|net| HttpPull::new(net, settings))),
        },
    }
}

/// Lanes that are tasks.
#[cfg(feature = "smol")]
pub(super) fn tasks(settings: Settings) -> crate::backend::AsyncLanes {
    use tasks::{Spawned, Tasks};
    let on_push = settings.clone();
    match settings.address.transport {
        Transport::Ws => crate::backend::AsyncLanes {
            push: Box::new(Spawned(WsPush::new(Tasks, on_push))),
            pull: Box::new(Spawned(WsPull::new(Tasks, settings))),
        },
        Transport::Http => crate::backend::AsyncLanes {
            push: Box::new(Spawned(HttpPush::new(Tasks, on_push))),
            pull: Box::new(Spawned(HttpPull::new(Tasks, settings))),
        },
    }
}
