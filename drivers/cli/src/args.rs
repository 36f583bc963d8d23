//! The command line's shape.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use countersign::{CommitId, Durability, core::Pos};

const STATUS: &str = "\
Exit status:
  0  the awaited stage was reached, or does not apply
  1  the machine's fault: I/O, a damaged file, a store that is locked
  2  bad usage or bad input
  3  still pending when the time was over; the commit goes on
  4  a stage has failed

With --json, results are one object a line on standard output, and errors an object on standard error.";

/// An event-sourced, local-first SQLite store whose commits hand back a receipt.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, about, after_help = STATUS, max_term_width = 110, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Write one JSON object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a store
    Init(Init),
    /// Give a store another schema, and build its state anew
    Schema(Schema),
    /// Commit events, and wait for their receipts
    Commit(Commit),
    /// Read the state with SQL, also beside a running application
    Query(Query),
    /// Show the eventlog, also beside a running application
    Log(Log),
    /// Show where a store stands, also beside a running application
    Status(Store),
    /// Find a commit's receipt again
    Receipt(Receipt),
    /// Push and pull until everything is confirmed
    Sync(Sync),
    /// Follow the receipts that have not settled, also beside a running application
    Watch(Watch),
    /// List commits that have failed, commit them again, or let go of them
    Failures(Failures),
    /// Take a pending commit back
    Withdraw(Withdraw),
    /// Be a sync server, for Countersign's stores and LiveStore's apps
    Serve(Serve),
    /// See two stores and a backend at work
    Demo(Demo),
}

#[derive(Debug, Args)]
pub(crate) struct Store {
    /// The store's file
    pub(crate) store: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The file to make
    pub(crate) store: PathBuf,
    /// The schema file: tables, events, and the SQL that applies them (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) schema: PathBuf,
    /// The sync backend: embedded:FILE, or ws://, wss://, http:// or https:// and a server; without one the store stays local
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) backend: Option<String>,
    /// The file that holds the token for the backend; read whenever the token is needed
    #[arg(long, value_name = "FILE", requires = "backend", conflicts_with = "token_env")]
    pub(crate) token_file: Option<PathBuf>,
    /// The environment variable that holds the token for the backend
    #[arg(long, value_name = "VARIABLE", requires = "backend")]
    pub(crate) token_env: Option<String>,
    /// Refused, with help: other users of the machine can read a command line
    #[arg(long, hide = true, num_args = 0.., value_name = "TOKEN")]
    pub(crate) token: Option<Vec<String>>,
    /// Which of the backend's logs is meant
    #[arg(long, value_name = "ID", default_value = "main", value_parser = store_id)]
    pub(crate) store_id: String,
    /// Which crash an acknowledged commit survives: loss of power, or the death of the process
    #[arg(long, value_enum, default_value_t = DurabilityArg::Power)]
    pub(crate) durability: DurabilityArg,
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// The store's file
    pub(crate) store: PathBuf,
    /// The new schema file (TOML); its version has to differ if only the meaning of its SQL has changed
    #[arg(long, value_name = "FILE")]
    pub(crate) schema: PathBuf,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("input").required(true).args(["event", "stdin"]))]
pub(crate) struct Commit {
    /// The store's file
    pub(crate) store: PathBuf,
    /// The name of the one event to commit
    #[arg(long, value_name = "NAME")]
    pub(crate) event: Option<String>,
    /// Its arguments
    #[arg(long, value_name = "JSON", conflicts_with = "stdin", default_value = "null")]
    pub(crate) args: String,
    /// The name of a guard: the event is committed only if it holds, and stays only as long as it does
    #[arg(long, value_name = "NAME", conflicts_with = "stdin")]
    pub(crate) guard: Option<String>,
    /// The guard's arguments
    #[arg(long, value_name = "JSON", requires = "guard", default_value = "null")]
    pub(crate) guard_args: String,
    /// Read JSON lines: {"name", "args"} for a commit of one event, an array of them for a commit of several, {"events": [..], "guard": {"name",
    /// "args"}} for one under a guard
    #[arg(long)]
    pub(crate) stdin: bool,
    /// Which stage of each commit to wait for; even with `none` everything is stored before the end
    #[arg(long, value_enum, default_value_t = Wait::Leader)]
    pub(crate) wait: Wait,
    /// How long each commit is waited for, such as 500ms, 10s or 2m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Query {
    /// The store's file
    pub(crate) store: PathBuf,
    /// A query over the state tables
    pub(crate) sql: String,
}

#[derive(Debug, Args)]
pub(crate) struct Log {
    /// The store's file
    pub(crate) store: PathBuf,
    /// Only what comes after this place, such as e5 or e5.1
    #[arg(long, value_name = "SEQ")]
    pub(crate) since: Option<Pos>,
    /// Only what waits for the backend
    #[arg(long)]
    pub(crate) pending: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Receipt {
    /// The store's file
    pub(crate) store: PathBuf,
    /// The commit's identity, as `commit` prints it
    pub(crate) id: CommitId,
    /// Which stage to wait for; the store is synced meanwhile, unless another process does so [default: leader, without waiting]
    #[arg(long, value_enum)]
    pub(crate) wait: Option<Wait>,
    /// How long to wait, such as 500ms, 10s or 2m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// The store's file
    pub(crate) store: PathBuf,
    /// When to end: as soon as everything is confirmed, and everything that the backend has is here (the default)
    #[arg(long, value_enum, conflicts_with = "for_time")]
    pub(crate) until: Option<Until>,
    /// Go on for this long, such as 10s
    #[arg(long = "for", id = "for_time", value_name = "TIME", value_parser = duration)]
    pub(crate) for_time: Option<Duration>,
    /// How long `--until` is waited for
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, conflicts_with = "for_time")]
    pub(crate) timeout: Duration,
}

const SERVE: &str = "\
A token file (TOML) names who may come in, and is read again when it changes:

  [[token]]
  token = \"at least sixteen characters\"
  read = [\"*\"]
  write = [\"shop-1\", \"shop-2\"]

Clients send their token as `authToken` in the sync payload, or in a header `Authorization: Bearer`.

SIGTERM and SIGINT stop the server: it finishes what it has admitted, tells its clients, and exits with 0. A second one
stops it at once. SIGHUP reads the token file again.";

#[derive(Debug, Args)]
#[command(after_help = SERVE)]
#[command(group = ArgGroup::new("access").args(["tokens", "no_auth"]))]
pub(crate) struct Serve {
    /// The directory of the logs, one file a store; made if it is missing
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
    pub(crate) listen: SocketAddr,
    /// The file of tokens (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: Option<PathBuf>,
    /// Let everybody in who can reach the address
    #[arg(long)]
    pub(crate) no_auth: bool,
    /// The certificate chain (PEM), for wss:// and https://
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Where to serve /healthz and /metrics, to whoever asks
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<SocketAddr>,
    /// How long clients are given to go when the server stops
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) grace: Duration,
    /// What to log on standard error, such as `debug` or `countersign=debug,warn`
    #[arg(long, value_name = "LEVEL", env = "RUST_LOG", default_value = "info")]
    pub(crate) log: String,
    /// Connections in all
    #[arg(long, value_name = "N")]
    pub(crate) max_connections: Option<usize>,
    /// Connections from one address
    #[arg(long, value_name = "N")]
    pub(crate) max_connections_per_address: Option<usize>,
    /// Stores in the directory
    #[arg(long, value_name = "N")]
    pub(crate) max_stores: Option<usize>,
    /// Stores that are open at the same time
    #[arg(long, value_name = "N")]
    pub(crate) max_open_stores: Option<usize>,
    /// Bytes in one message of a client
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_message: Option<usize>,
    /// Bytes that arrive and are not dealt with, of all clients together
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_arriving: Option<usize>,
    /// Bytes that are held for a client that does not take them
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_unsent: Option<usize>,
}

#[derive(Debug, Args)]
#[command(after_help = WATCH)]
pub(crate) struct Watch {
    /// The store's file
    pub(crate) store: PathBuf,
    /// Go on for this long, such as 10s, though nothing is left to watch; without it, the end is when everything has settled
    #[arg(long = "for", id = "for_time", value_name = "TIME", value_parser = duration)]
    pub(crate) for_time: Option<Duration>,
    /// Open the store and sync it meanwhile: then attempts and reasons are known, and nobody else may have it open
    #[arg(long)]
    pub(crate) sync: bool,
}

const WATCH: &str = "\
Without --sync nothing but the file is looked at: it tells which commits wait, where they stand and for how long, and not how
often the process that has the store open has tried, or why it waits.";

#[derive(Debug, Args)]
pub(crate) struct Failures {
    /// The store's file
    pub(crate) store: PathBuf,
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
}

/// What to do about failures.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Action {
    /// List them, with their causes and events, also beside a running application (the default)
    List,
    /// Commit the events of one again, as a new commit
    Retry {
        /// The commit's identity
        id: CommitId,
        /// Also if the backend may have them all the same, so that they could end up in its log twice
        #[arg(long)]
        may_duplicate: bool,
        /// Without the commit's guard, which no longer holds
        #[arg(long)]
        unguarded: bool,
    },
    /// Let go of the events of one, for good
    Discard {
        /// The commit's identity
        id: CommitId,
    },
    /// Note that one has been seen; its events are kept
    Acknowledge {
        /// The commit's identity
        id: CommitId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Withdraw {
    /// The store's file
    pub(crate) store: PathBuf,
    /// The commit's identity
    pub(crate) id: CommitId,
    /// How long it is waited for
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Keep the files in this new folder, to look at them
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}

/// A stage of a receipt to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// Neither
    None,
    /// Stored by the leader
    Leader,
    /// Confirmed by the sync backend
    Backend,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    /// Nothing is pending, nothing is left to pull
    Synced,
}

/// What [`Durability`] says, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DurabilityArg {
    /// Loss of power
    Power,
    /// The death of the process
    Process,
}

impl From<DurabilityArg> for Durability {
    fn from(durability: DurabilityArg) -> Self {
        match durability {
            DurabilityArg::Power => Self::Power,
            DurabilityArg::Process => Self::Process,
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write a number and its unit, such as 500ms, 10s or 2m"))
}

fn store_id(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if text.is_empty() || !text.bytes().all(allowed) {
        return Err("only letters, digits, `_` and `-` are allowed, and at least one".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_shape_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn store_ids_are_plain() {
        assert!(store_id("Shop_1-a").is_ok());
        assert!(["", "a b", "ä", "a/b"].into_iter().all(|bad| store_id(bad).is_err()));
    }
}
