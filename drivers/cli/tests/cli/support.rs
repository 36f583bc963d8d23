//! A folder to run the program in, and what it said.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

pub(crate) const TODO: &str = include_str!("../../examples/todo.toml");
pub(crate) const HISTORY: &str = include_str!("../../examples/history.toml");

/// A folder with schema files in it.
pub(crate) struct Folder {
    dir: tempfile::TempDir,
}

/// What became of a run.
pub(crate) struct Done {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::write(folder.path("todo.toml"), TODO).unwrap();
        std::fs::write(folder.path("history.toml"), HISTORY).unwrap();
        folder
    }

    /// With a local store in it.
    pub(crate) fn local() -> Self {
        let folder = Self::new();
        folder.ok(&["init", "s.db", "--schema", "todo.toml"]);
        folder
    }

    /// With a store and a backend in it.
    pub(crate) fn synced() -> Self {
        let folder = Self::new();
        folder.ok(&["init", "s.db", "--schema", "todo.toml", "--backend", "embedded:b.db"]);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.current_dir(self.dir.path()).args(args).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        Done::of(self.command(args).output().unwrap())
    }

    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.status, 0, "{args:?}: {}{}", done.out, done.err);
        done.out
    }

    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Done {
        let mut child = self.spawn(args);
        // A program that has seen enough closes its input.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Done::of(child.wait_with_output().unwrap())
    }

    /// A run that is under way, with pipes.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs commands in turn, as one would at a prompt: what was typed, what came back, how it ended.
    pub(crate) fn transcript(&self, commands: &[&str]) -> String {
        let mut text = String::new();
        for command in commands {
            let args = split(command);
            let done = self.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
            text.push_str(&format!("$ countersign {command}\n{}{}=> {}\n\n", done.out, done.err, done.status));
        }
        text.replace(&*self.dir.path().canonicalize().unwrap().to_string_lossy(), "[folder]")
    }

    pub(crate) fn count(&self, table: &str) -> i64 {
        let rows = objects(&self.ok(&["query", "s.db", &format!("SELECT count(*) AS n FROM {table}"), "--json"]));
        rows[0]["n"].as_i64().unwrap()
    }
}

impl Done {
    pub(crate) fn of(output: std::process::Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The error that `--json` gives.
    pub(crate) fn error(&self) -> Value {
        let lines = objects(&self.err);
        assert_eq!(lines.len(), 1, "{}", self.err);
        assert_eq!(lines[0]["error"]["status"], self.status);
        lines[0]["error"].clone()
    }
}

pub(crate) fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn created(id: usize) -> String {
    format!("{{\"name\":\"v1.TodoCreated\",\"args\":{{\"id\":\"{id}\",\"text\":\"todo {id}\"}}}}\n")
}

/// What differs from run to run.
pub(crate) fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    for (what, name) in [
        (r"\b[0-7][0-9a-hjkmnp-tv-z]{25}-", "[session]-"),
        (r#"("client":")[0-9a-z]{10}"#, "${1}[client]"),
        (r"(?m)^(client +)[0-9a-z]{10}", "${1}[client]"),
        (r"[0-9A-Za-z_-]{21}(\)|\x22)", "[backend]$1"),
        (r"\d+(\.\d+)? (ms|s)\b", "[time]"),
    ] {
        settings.add_filter(what, name);
    }
    settings
}

/// Words, with single quotes around what has spaces.
fn split(command: &str) -> Vec<String> {
    let parts = command.split('\'').enumerate();
    parts
        .flat_map(
            |(i, part)| if i % 2 == 1 { vec![part.to_owned()] } else { part.split_whitespace().map(str::to_owned).collect() },
        )
        .collect()
}
