//! On threads.

#[path = "http.rs"]
mod http;
#[path = "store.rs"]
mod store;
#[path = "tls.rs"]
mod tls;
#[path = "trouble.rs"]
mod trouble;
#[path = "ws.rs"]
mod ws;

use super::*;
use crate::{Opener, Store};

fn lanes(backend: &LiveStoreBackend) -> Lanes {
    backend.lanes(&who()).unwrap()
}

fn open(opener: Opener) -> Store {
    opener.blocking().unwrap()
}
