//! Keeps a connection for a while, and hangs it up when nobody has come back for it: the push lane has no clock of its own.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::link::Link;

/// At most one connection, and, while there is one, one thread that waits to hang it up.
#[derive(Default)]
pub(super) struct Keeper(Arc<Shared>);

#[derive(Default)]
struct Shared {
    kept: Mutex<Kept>,
    news: Condvar,
}

#[derive(Default)]
struct Kept {
    link: Option<(Link, Instant)>,
    watched: bool,
    closed: bool,
}

impl Keeper {
    /// Keeps a connection this long.
    pub(super) fn keep(&self, link: Link, this_long: Duration) {
        let mut kept = self.0.lock();
        kept.link = Some((link, Instant::now() + this_long));
        if !kept.watched {
            let shared = self.0.clone();
            let watch = move || shared.watch();
            kept.watched = thread::Builder::new().name("countersign-idle".to_owned()).spawn(watch).is_ok();
            if !kept.watched {
                // No thread to be had: nobody would hang up.
                kept.link = None;
            }
        }
        self.0.news.notify_all();
    }

    /// The connection, if it is still there.
    pub(super) fn take(&self) -> Option<Link> {
        self.0.lock().link.take().map(|(link, _)| link)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.news.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        // What is kept is put in and taken out in one step each.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) {
        let mut kept = self.lock();
        // While a push has the connection, it is waited for: it comes back soon, or another one does.
        let mut gone_since = None;
        loop {
            let now = Instant::now();
            let until = match &kept.link {
                Some((_, until)) => {
                    gone_since = None;
                    *until
                }
                None => *gone_since.get_or_insert(now) + Duration::from_secs(60),
            };
            let left = until.saturating_duration_since(now);
            if kept.closed || left.is_zero() {
                kept.watched = false;
                let link = kept.link.take();
                drop(kept);
                if let Some((link, _)) = link {
                    link.hang_up();
                }
                return;
            }
            kept = self.news.wait_timeout(kept, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
