//! A server in a process of its own, and stores that sync with it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use countersign::backend::EmbeddedBackend;
use countersign::livestore::LiveStoreBackend;
use countersign::{Config, EventType, Schema, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// A server.
pub(crate) struct Server {
    child: Child,
    out: BufReader<ChildStdout>,
    pub(crate) addr: SocketAddr,
    pub(crate) pid: u32,
}

pub(crate) fn command(dir: &Path, listen: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(["--json", "serve", "--dir"]).arg(dir).args(["--listen", listen, "--log", "warn"]).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("RUST_LOG");
    command
}

impl Server {
    pub(crate) fn start(dir: &Path, listen: &str, more: &[&str]) -> Self {
        Self::spawn(command(dir, listen, more))
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut err = String::new();
            child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
            panic!("it did not start: {err}");
        }
        let serving: Value = serde_json::from_str(&line).unwrap();
        let addr = serving["addr"].as_str().unwrap().parse().unwrap();
        assert_eq!(serving["pid"], child.id());
        Self { pid: child.id(), child, out, addr }
    }

    pub(crate) fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.pid.to_string()]).status().unwrap().success());
    }

    /// Its last line, and how it ended.
    pub(crate) fn ended(mut self) -> (Value, ExitStatus) {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        let status = self.child.wait().unwrap();
        (serde_json::from_str(&line).unwrap_or(Value::Null), status)
    }

    /// As loss of its process is.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    /// A test that fails leaves no server behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Noted {
    pub(crate) text: String,
}

impl EventType for Noted {
    const NAME: &'static str = "v1.Noted";
}

/// A store that syncs with this server.
pub(crate) fn store(path: &Path, addr: SocketAddr) -> Store {
    store_over("ws", path, addr)
}

pub(crate) fn store_over(scheme: &str, path: &Path, addr: SocketAddr) -> Store {
    let schema = Schema::builder(1)
        .state_sql("CREATE TABLE notes (text TEXT PRIMARY KEY) STRICT")
        .event::<Noted>(|db, note| db.execute("INSERT INTO notes (text) VALUES (?1)", [note.text]).map(drop))
        .build()
        .unwrap();
    // Retries soon: outages here are short.
    let config = Config { backoff_min: Duration::from_millis(20), backoff_max: Duration::from_millis(100), ..Config::default() };
    let backend = LiveStoreBackend::new(&format!("{scheme}://{addr}")).unwrap().poll_interval(Duration::from_millis(50));
    Store::open(path).schema(schema).config(config).store_id("notes").backend(backend).blocking().unwrap()
}

/// The texts of the notes in the server's log, in order. The server must have ended.
pub(crate) fn log(dir: &Path) -> Vec<String> {
    let log = EmbeddedBackend::open(dir.join("notes.eventlog")).unwrap().log().unwrap();
    for (event, seq) in log.iter().zip(1..) {
        assert_eq!((event.seq, event.parent), (seq, seq - 1));
    }
    log.iter().map(|event| serde_json::from_str::<Noted>(&event.event.args).unwrap().text).collect()
}

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "still not so: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
