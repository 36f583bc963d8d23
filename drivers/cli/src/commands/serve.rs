//! `serve`: a sync server, until a signal ends it.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use countersign::server::{Limits, Running, Server, Stopper};
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::Output;

/// Files that are open beside connections and logs.
const OTHER_FILES: usize = 64;
/// Files of an open log: two connections to it, and their side files.
const FILES_A_STORE: usize = 8;

#[derive(Serialize)]
struct Serving<'a> {
    addr: SocketAddr,
    url: &'a str,
    metrics: Option<SocketAddr>,
    dir: &'a Path,
    auth: bool,
    pid: u32,
}

#[derive(Serialize)]
struct Ended {
    stopped: bool,
    cut: usize,
}

pub(crate) fn run(args: args::Serve, output: &mut Output) -> Result<Exit> {
    begin_log(&args.log)?;
    let mut limits = limits(&args);
    fit_open_files(&mut limits);
    // Before there is a server: a signal from here on is for it.
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP])
        .map_err(|error| Failure::machine("signals", format!("can't listen for signals: {error}")))?;
    let running = server(&args, limits).start()?;
    say(&args, &running, output)?;
    let handle = signals.handle();
    let listening = listen(signals, running.stopper(), args.grace);
    let ended = running.wait().map_err(|error| Failure::machine("serve", error.to_string()))?;
    handle.close();
    // It has nothing else to wait for.
    let _ = listening.join();
    if output.json {
        output.object(&Ended { stopped: true, cut: ended.cut })?;
    } else if ended.cut > 0 {
        output.line(format_args!("stopped; {} connections were cut off", ended.cut))?;
    } else {
        output.line("stopped")?;
    }
    Ok(Exit::Reached)
}

fn server(args: &args::Serve, limits: Limits) -> Server {
    let mut server = Server::new(&args.dir).listen(args.listen).limits(limits);
    if let Some(file) = &args.tokens {
        server = server.tokens(file);
    }
    if args.no_auth {
        server = server.no_auth();
    }
    if let (Some(certificates), Some(key)) = (&args.tls_cert, &args.tls_key) {
        server = server.tls(certificates, key);
    }
    if let Some(addr) = args.metrics {
        server = server.metrics(addr);
    }
    server
}

fn limits(args: &args::Serve) -> Limits {
    let mut limits = Limits::default();
    for (limit, given) in [
        (&mut limits.connections, args.max_connections),
        (&mut limits.connections_per_address, args.max_connections_per_address),
        (&mut limits.stores, args.max_stores),
        (&mut limits.open_stores, args.max_open_stores),
        (&mut limits.message_bytes, args.max_message),
        (&mut limits.arriving_bytes, args.max_arriving),
        (&mut limits.unsent_bytes, args.max_unsent),
    ] {
        *limit = given.unwrap_or(*limit);
    }
    limits
}

/// The system's default is fewer files than the connections and stores that are allowed here. If it allows no more, they are: who comes
/// when there is no file left could not even be told so.
fn fit_open_files(limits: &mut Limits) {
    let files = |limits: &Limits| {
        limits.connections.saturating_add(limits.open_stores.saturating_mul(FILES_A_STORE)).saturating_add(OTHER_FILES)
    };
    let wanted = files(limits);
    let granted = match rlimit::increase_nofile_limit(wanted as u64) {
        Ok(granted) => usize::try_from(granted).unwrap_or(usize::MAX),
        Err(error) => return tracing::warn!(%error, wanted, "the limit on open files could not be raised"),
    };
    if granted >= wanted {
        return;
    }
    // Half of them for each.
    let room = granted.saturating_sub(OTHER_FILES) / 2;
    limits.open_stores = limits.open_stores.min(room / FILES_A_STORE).max(1);
    limits.connections = limits.connections.min(granted.saturating_sub(OTHER_FILES + limits.open_stores * FILES_A_STORE)).max(1);
    tracing::warn!(
        granted,
        wanted,
        connections = limits.connections,
        open_stores = limits.open_stores,
        "fewer files may be open than wanted, so fewer connections and stores are taken; raise `ulimit -n`"
    );
}

fn begin_log(filter: &str) -> Result<()> {
    let targets: Targets = filter.parse().map_err(|error| {
        let message = format!(
            "`--log {filter}` is not understood ({error}): write a level (error, warn, info, debug, trace), or target=level,.."
        );
        Failure::input("log", message)
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // There is one already in a program that runs several commands: then it hears of this too.
    let _ = tracing_subscriber::registry().with(lines).with(targets).try_init();
    Ok(())
}

fn say(args: &args::Serve, running: &Running, output: &mut Output) -> Result<()> {
    let addr = running.addr();
    let url = format!("{}://{addr}", if args.tls_cert.is_some() { "wss" } else { "ws" });
    if output.json {
        let auth = args.tokens.is_some();
        let metrics = running.metrics_addr();
        output.object(&Serving { addr, url: &url, metrics, dir: &args.dir, auth, pid: std::process::id() })?;
        return output.flush();
    }
    let paint = output.paint;
    output.line(format_args!("{} {} from {}", paint.good("serving"), paint.bold(&url), args.dir.display()))?;
    match &args.tokens {
        Some(file) => output.line(format_args!("  access   by the tokens in {}", file.display()))?,
        None => output
            .line(format_args!("  access   {}", paint.waiting("everybody who can reach it may read and write every store")))?,
    }
    if let Some(addr) = running.metrics_addr() {
        output.line(format_args!("  metrics  http://{addr}/metrics and /healthz"))?;
    }
    output.line(format_args!("  next     countersign init todos.db --schema todo.toml --backend {url} --store-id todos"))?;
    output.line(format_args!("  stop     Ctrl-C, or kill {}", std::process::id()))?;
    output.flush()
}

fn listen(mut signals: Signals, stopper: Stopper, grace: Duration) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut stopping = false;
        for signal in signals.forever() {
            if signal == SIGHUP {
                if let Err(error) = stopper.reload_tokens() {
                    tracing::error!(%error, "the token file can't be used: the former tokens hold");
                }
                continue;
            }
            stopper.stop(if stopping { Duration::ZERO } else { grace });
            stopping = true;
        }
    })
}
