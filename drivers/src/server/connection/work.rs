//! What takes too long for the one thread that all connections share.

use blocking::unblock;
use hyper::body::Bytes;

use crate::livestore::protocol::{ClientMessage, DecodeError, decode_client};

/// Reading fewer bytes takes less time than handing them to another thread and back.
const SHORT: usize = 32 << 10;

/// The messages in a frame or a body: others are served while a long one is read.
pub(super) async fn decoded(bytes: Bytes) -> Result<Vec<ClientMessage>, DecodeError> {
    if bytes.len() <= SHORT {
        return decode_client(&bytes);
    }
    unblock(move || decode_client(&bytes)).await
}
