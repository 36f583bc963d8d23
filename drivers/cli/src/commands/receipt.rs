//! `receipt`: finds a commit's receipt again, and waits for its stages.

use std::thread;
use std::time::{Duration, Instant};

use countersign::{CommitId, Found, Reader, Store};

use crate::args::{self, Wait};
use crate::exit::Exit;
use crate::failure::{Failure, Result, Said};
use crate::output::Output;
use crate::stage::{ReceiptView, StageView};
use crate::work;

/// How often to look whether another process has got the commit confirmed: a file tells nobody that it has changed.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) fn run(args: &args::Receipt, output: &mut Output) -> Result<Exit> {
    let deadline = Instant::now().checked_add(args.timeout);
    let awaited = args.wait.unwrap_or(Wait::Leader);
    let mut reader = Reader::open(&args.store)?;
    loop {
        let view = look(&mut reader, args)?;
        let is_enough = args.wait.is_none() || view.as_ref().is_some_and(|view| view.exit(awaited) != Exit::Pending);
        if is_enough {
            let view = view.ok_or_else(|| unknown(args.id))?;
            return say(&view, awaited, output);
        }
        match work::open(&args.store, output) {
            Ok(store) => {
                let view = wait(&store, args, awaited, deadline);
                let closed = work::close(store, Duration::ZERO, output)?;
                return say(&view?, awaited, output).map(|exit| exit.max(closed));
            }
            // Whoever has it open syncs it.
            Err(Failure::Said(said)) if said.code == "locked" => {}
            Err(failure) => return Err(failure),
        }
        let left = deadline.map_or(LOOK, |deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return say(&view.ok_or_else(|| unknown(args.id))?, awaited, output);
        }
        // The file tells nobody that it has changed: it is looked at every so often.
        thread::sleep(left.min(LOOK));
    }
}

/// The receipt as the file has it; nothing if the file does not know the commit.
fn look(reader: &mut Reader, args: &args::Receipt) -> Result<Option<ReceiptView>> {
    let found = reader.find(args.id)?;
    if found == Found::Forgotten {
        let message = format!("commit {}: what became of it was forgotten when the backend was replaced", args.id);
        return Err(Said { commit: Some(args.id), ..Said::new(Exit::Failed, "forgotten", message) }.into());
    }
    let Some(stages) = found.stages() else { return Ok(None) };
    let (path, writer) = (args.store.display(), reader.writer());
    let reason = || match writer.map(|writer| writer.pid) {
        None => format!("nobody has the store open: run `countersign sync {path}`"),
        Some(None) => "waiting for the process that has the store open".to_owned(),
        Some(Some(pid)) => format!("waiting for process {pid}, which has the store open"),
    };
    let leader_sync = StageView::found(stages.leader, reason);
    Ok(Some(ReceiptView { id: args.id, leader_sync, backend_sync: StageView::found(stages.backend, reason) }))
}

fn wait(store: &Store, args: &args::Receipt, awaited: Wait, deadline: Option<Instant>) -> Result<ReceiptView> {
    let receipt = store.receipt(args.id)?.ok_or_else(|| unknown(args.id))?;
    let deadline = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(u32::MAX.into()));
    let (leader, backend) = (&receipt.leader_sync, &receipt.backend_sync);
    let until = |wait| if awaited == wait { deadline } else { Instant::now() };
    let backend_sync = StageView::at(backend, until(Wait::Backend));
    Ok(ReceiptView { id: args.id, leader_sync: StageView::at(leader, until(Wait::Leader)), backend_sync })
}

fn unknown(id: CommitId) -> Failure {
    let message = format!("this store knows no commit {id}: check the id and the store, `countersign log` lists the commits");
    Said { commit: Some(id), ..Said::new(Exit::Input, "unknown_commit", message) }.into()
}

fn say(view: &ReceiptView, awaited: Wait, output: &mut Output) -> Result<Exit> {
    if output.json {
        output.object(view)?;
    } else {
        output.line(view.text(output.paint))?;
    }
    Ok(view.exit(awaited))
}
