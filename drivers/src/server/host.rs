//! What all connections of a server share, and the life of its one thread.

use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_executor::LocalExecutor;
use async_io::{Async, Timer, block_on};
use blocking::unblock;
use futures_lite::future::or;
use futures_rustls::TlsAcceptor;

use super::access::Access;
use super::connection::{Gate, Room, accept};
use super::eventlogs::Eventlogs;
use super::limits::Limits;
use super::metrics::Metrics;
use super::observe::observe;
use super::patience::within;
use super::stopping::Stopping;

/// How often the token file is looked at.
const TOKENS: Duration = Duration::from_secs(2);
/// How often what is still under way is looked at when the server stops: nothing announces the last of it.
const LAST_LOOK: Duration = Duration::from_millis(5);
/// How long an append that has begun is waited for beyond the deadline. SQLite itself gives up on a busy file before that.
const APPEND: Duration = Duration::from_secs(10);

/// What all connections share.
pub(super) struct Host {
    pub(super) limits: Limits,
    pub(super) access: Arc<Access>,
    pub(super) eventlogs: Eventlogs,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stopping: Arc<Stopping>,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) gate: Gate,
    pub(super) room: Room,
}

/// The sockets that are listened on.
pub(super) struct Listeners {
    pub(super) sync: Async<TcpListener>,
    pub(super) metrics: Option<Async<TcpListener>>,
}

/// Serves until it is stopped; answers how many connections were cut off by the deadline.
pub(super) fn run(host: Arc<Host>, listeners: Listeners) -> usize {
    let executor = Rc::new(LocalExecutor::new());
    let cut = block_on(executor.run(serve(&executor, &host, listeners)));
    // With it go the connections that were cut off.
    drop(executor);
    block_on(settle(&host));
    cut
}

async fn serve(executor: &Rc<LocalExecutor<'static>>, host: &Arc<Host>, listeners: Listeners) -> usize {
    let listening = executor.spawn(accept(host.clone(), Rc::downgrade(executor), listeners.sync));
    let observing = listeners.metrics.map(|listener| executor.spawn(observe(host.clone(), Rc::downgrade(executor), listener)));
    let caring = executor.spawn(care(host.clone()));
    host.stopping.heard().await;
    tracing::info!(connections = host.metrics.connections.get(), "the server stops");
    // The port is free from here on.
    listening.cancel().await;
    host.eventlogs.nudge();
    or(all_gone(host), deadline(host)).await;
    if let Some(observing) = observing {
        observing.cancel().await;
    }
    caring.cancel().await;
    usize::try_from(host.metrics.connections.get()).unwrap_or(0)
}

async fn all_gone(host: &Host) {
    while host.metrics.connections.get() > 0 {
        Timer::after(LAST_LOOK).await;
    }
}

async fn deadline(host: &Host) {
    loop {
        let end = async {
            match host.stopping.deadline() {
                Some(at) => {
                    Timer::at(at).await;
                    true
                }
                None => std::future::pending().await,
            }
        };
        let earlier = async {
            host.stopping.said_more().await;
            false
        };
        if or(end, earlier).await {
            return;
        }
    }
}

/// What was admitted is finished, and every log closed.
async fn settle(host: &Host) {
    let finished = async {
        while host.metrics.admitting.get() > 0 {
            Timer::after(LAST_LOOK).await;
        }
    };
    within(APPEND, finished).await;
    let logs = host.eventlogs.take_all();
    unblock(move || drop(logs)).await;
}

/// Closes logs that nobody uses, and reads the tokens again when they have changed.
async fn care(host: Arc<Host>) {
    let sweep = (host.limits.store_idle / 2).max(Duration::from_millis(10));
    or(
        async {
            loop {
                Timer::after(sweep).await;
                let idle = host.eventlogs.take_idle(host.limits.store_idle);
                unblock(move || drop(idle)).await;
            }
        },
        async {
            loop {
                Timer::after(TOKENS).await;
                let access = host.access.clone();
                match unblock(move || access.reload(false)).await {
                    Ok(true) => host.eventlogs.nudge(),
                    Ok(false) => {}
                    Err(error) => tracing::error!(%error, "the token file has changed and can't be used: the former tokens hold"),
                }
            }
        },
    )
    .await;
}
