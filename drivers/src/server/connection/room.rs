//! Room in memory for what clients have sent and nobody has dealt with yet: unfinished messages, and calls under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What each connection has for itself: a message of the usual size is taken however crowded it is.
const OWN: usize = 16 << 10;

/// The room of a server.
#[derive(Clone)]
pub(in crate::server) struct Room(Arc<Taken>);

struct Taken {
    bytes: AtomicUsize,
    limit: usize,
}

/// What one connection takes of it. Given back when dropped.
pub(super) struct Share {
    room: Room,
    bytes: AtomicUsize,
}

impl Room {
    pub(in crate::server) fn of(limit: usize) -> Self {
        Self(Arc::new(Taken { bytes: AtomicUsize::new(0), limit }))
    }

    pub(super) fn share(&self) -> Share {
        Share { room: self.clone(), bytes: AtomicUsize::new(0) }
    }
}

impl Share {
    /// Takes so much more. Answers whether there was room.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let own = self.bytes.fetch_add(bytes, Ordering::SeqCst) + bytes;
        let all = self.room.0.bytes.fetch_add(bytes, Ordering::SeqCst) + bytes;
        own <= OWN || all <= self.room.0.limit
    }

    /// All that was sent has been dealt with.
    pub(super) fn give_back(&self) {
        let bytes = self.bytes.swap(0, Ordering::SeqCst);
        self.room.0.bytes.fetch_sub(bytes, Ordering::SeqCst);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_there_for_others() {
        let room = Room::of(100_000);
        let (one, other) = (room.share(), room.share());
        assert!(one.take(90_000) && other.take(OWN), "everybody has some room");
        assert!(!other.take(1));
        one.give_back();
        assert!(other.take(50_000));
        drop((one, other));
        assert_eq!(room.0.bytes.load(Ordering::SeqCst), 0);
    }
}
