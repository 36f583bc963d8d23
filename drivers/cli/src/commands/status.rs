//! `status`: where a store stands, beside whoever writes it.

use std::path::Path;

use countersign::core::{Pos, Seq};
use countersign::{Durability, Reader, Syncing};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Result;
use crate::output::Output;
use crate::progress::{count, counted};

#[derive(Serialize)]
struct View {
    store: String,
    /// The version of what `--json` writes, of all commands.
    json: u32,
    format: i32,
    client: String,
    /// The last place in the log.
    head: Seq,
    /// The last event that is confirmed by a pull.
    upstream: Pos,
    entries: u64,
    pending: u64,
    skipped: u64,
    quarantined: u64,
    unacknowledged: u64,
    schema_version: Option<u32>,
    store_id: Option<String>,
    durability: Option<Durability>,
    /// The address of the backend.
    backend: Option<String>,
    /// Its identity, once known.
    backend_id: Option<String>,
    /// Whether a process has the store open for work.
    open: bool,
    /// Which one, if it can be said.
    pid: Option<u32>,
    /// How its syncing stands, if it has said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    sync: Option<SyncView>,
    #[serde(skip)]
    syncing: Option<Syncing>,
}

#[derive(Serialize)]
struct SyncView {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Failed tries since one last worked.
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_in_ms: Option<u64>,
}

impl SyncView {
    fn of(syncing: &Syncing) -> Self {
        let retry_in_ms = syncing.retry_in().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        Self { state: syncing.name(), reason: syncing.reason(), attempt: syncing.attempt, retry_in_ms }
    }
}

pub(crate) fn run(path: &Path, output: &mut Output) -> Result<Exit> {
    let mut reader = Reader::open(path)?;
    let settings = reader.settings()?;
    let writer = reader.writer();
    let syncing = reader.syncing();
    let status = reader.status()?;
    let view = View {
        store: path.display().to_string(),
        json: 1,
        format: status.format,
        client: status.client.to_string(),
        head: status.head,
        upstream: Pos::synced(status.heads.upstream),
        entries: status.entries,
        pending: status.pending,
        skipped: status.skipped,
        quarantined: status.quarantined,
        unacknowledged: status.unacknowledged,
        schema_version: status.schema_version,
        store_id: settings.as_ref().map(|settings| settings.store_id.clone()),
        durability: settings.as_ref().map(|settings| settings.durability),
        backend: settings.and_then(|settings| settings.backend),
        backend_id: status.heads.backend.as_deref().map(str::to_owned),
        open: writer.is_some(),
        pid: writer.and_then(|writer| writer.pid),
        sync: syncing.as_ref().map(SyncView::of),
        syncing,
    };
    if output.json {
        output.object(&view)?
    } else {
        write(&view, output)?
    }
    Ok(Exit::Reached)
}

fn write(view: &View, output: &mut Output) -> Result<()> {
    let paint = output.paint;
    let pending = match view.pending {
        0 => paint.good("nothing pending".to_owned()),
        n => paint.waiting(format!("{} pending", count(n))),
    };
    let backend = match (&view.backend, &view.backend_id) {
        (None, None) => "none: the store is local".to_owned(),
        (Some(address), None) => format!("{address}, not reached yet"),
        (None, Some(id)) => format!("{id}, by a program that knows its address"),
        (Some(address), Some(id)) => format!("{address} ({id})"),
    };
    let schema = view.schema_version.map_or_else(|| "none yet".to_owned(), |version| format!("version {version}"));
    let open = match (view.open, view.pid) {
        (false, _) => "by nobody".to_owned(),
        (true, Some(pid)) => format!("by process {pid}"),
        (true, None) => "by another process".to_owned(),
    };
    let mut line = |name: &str, text: &dyn std::fmt::Display| output.line(format_args!("{:<10}  {text}", paint.dim(name)));
    line("store", &paint.bold(&view.store))?;
    let confirmed = match view.backend_id {
        None => String::new(),
        Some(_) => format!(", confirmed up to {}", view.upstream),
    };
    line("log", &format_args!("{}, up to {}{confirmed}; {pending}", counted(view.entries, "event"), view.head))?;
    line("backend", &backend)?;
    if let Some(syncing) = &view.syncing {
        let text = syncing.to_string();
        line("sync", &if syncing.name() == "connected" { paint.good(text) } else { paint.waiting(text) })?;
    }
    line("client", &view.client)?;
    line("schema", &schema)?;
    if let Some(durability) = view.durability {
        line("durability", &durability.name())?;
    }
    if view.skipped > 0 {
        line("skipped", &paint.bad(format!("{} without effect on the state", counted(view.skipped, "event"))))?;
    }
    if view.quarantined > 0 {
        let text = format!("{}, {} of them not acknowledged", counted(view.quarantined, "commit"), count(view.unacknowledged));
        line("quarantine", &paint.bad(text))?;
    }
    line("open", &open)
}
