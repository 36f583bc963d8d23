//! Waits that end.

use std::time::Duration;

use async_io::Timer;
use futures_lite::future::or;

/// What comes of it, unless it takes longer than this; then it is dropped.
pub(super) async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::after(time).await;
        None
    };
    or(async { Some(work.await) }, late).await
}
