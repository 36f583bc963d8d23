//! How the demonstration is told: for people, or an object a line.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use countersign::core::{Pos, Seq};
use countersign::{CommitId, CommitReceipt, Confirmation};
use serde::Serialize;

use super::actor::{Actor, Stages};
use super::check::Check;
use crate::failure::Result;
use crate::output::Output;
use crate::progress::took;
use crate::stage::{ReceiptView, StageView};

/// The teller.
pub(super) struct Tale<'a> {
    output: &'a mut Output,
    step: u32,
}

#[derive(Serialize)]
struct Told<'a> {
    step: u32,
    store: &'a str,
    #[serde(flatten)]
    receipt: ReceiptView,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_ms: Option<f64>,
}

#[derive(Serialize)]
struct Ending<'a> {
    step: u32,
    same: bool,
    events: usize,
    differences: &'a [String],
}

impl<'a> Tale<'a> {
    pub(super) fn new(output: &'a mut Output) -> Self {
        Self { output, step: 0 }
    }

    pub(super) fn title(&mut self, folder: &Path, server: SocketAddr) -> Result<()> {
        let paint = self.output.paint;
        let title = paint.bold("Two stores, one sync server, and a receipt for every commit");
        self.say(title)?;
        self.say(paint.dim("state: visible to queries · leader: durable on disk · backend: in the one global order"))?;
        self.say(paint.dim(format_args!("three SQLite files in {}, a server at {server}", folder.display())))
    }

    pub(super) fn step(&mut self, what: &str) -> Result<()> {
        self.step += 1;
        let title = self.output.paint.bold(format!("{}  {what}", self.step));
        self.say(format_args!("\n{title}"))?;
        self.output.flush()
    }

    /// A commit, and when each of its stages was reached.
    pub(super) fn committed(&mut self, actor: &Actor, what: &str, stages: &Stages) -> Result<()> {
        let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let Stages { receipt, applied, leader, backend } = stages;
        if self.output.json {
            let (applied_ms, leader_ms) = (Some(ms(*applied)), Some(ms(*leader)));
            let backend_ms = backend.as_ref().map(|(_, time)| ms(*time));
            let receipt = view(receipt);
            return self.output.object(&Told { step: self.step, store: actor.name, receipt, applied_ms, leader_ms, backend_ms });
        }
        let paint = self.output.paint;
        let ok = |name: &str, time: &Duration| format!("{name} {} {:<8}", paint.good("ok"), paint.dim(took(*time)));
        let (state, leader) = (paint.dim(took(*applied)), ok("leader", leader));
        let (backend, reason) = match (backend, StageView::peek(&receipt.backend_sync)) {
            (Some((confirmation, time)), _) => (format!("{} at {}", ok("backend", time), places(confirmation)), None),
            (None, StageView::Pending { reason }) => (format!("backend {}", paint.waiting("pending")), Some(reason)),
            (None, stage) => (stage.text(paint), None),
        };
        self.say(format_args!("   {:<5} {what:<31} state {state:<8}  {leader}  {backend}", actor.name))?;
        reason.map_or(Ok(()), |reason| self.say(format_args!("         {}", paint.dim(reason))))
    }

    /// Where a commit stands that nobody has confirmed.
    pub(super) fn stands(&mut self, places: &[Seq], (todos, done): &(u64, u64)) -> Result<()> {
        let places: Vec<_> = places.iter().map(|seq| seq.pos.to_string()).collect();
        self.say(format_args!("         at {} in her log, and in her state: {todos} todos, {done} done", places.join(", ")))
    }

    pub(super) fn found(&mut self, id: CommitId, receipt: &CommitReceipt) -> Result<()> {
        if self.output.json {
            let (step, receipt) = (self.step, view(receipt));
            let told = Told { step, store: "anna", receipt, applied_ms: None, leader_ms: None, backend_ms: None };
            return self.output.object(&told);
        }
        let paint = self.output.paint;
        let ReceiptView { leader_sync, backend_sync, .. } = view(receipt);
        self.say(format_args!("   the receipt is found again by its id, {id}"))?;
        self.say(format_args!("         leader        {}", leader_sync.text(paint)))?;
        self.say(format_args!("         backend       {}", backend_sync.text(paint)))
    }

    pub(super) fn renumbered(
        &mut self,
        before: &[Seq],
        confirmation: &Confirmation,
        time: Duration,
        receipt: &CommitReceipt,
    ) -> Result<()> {
        if self.output.json {
            let (step, receipt) = (self.step, view(receipt));
            let backend_ms = Some((time.as_secs_f64() * 1e6).round() / 1e3);
            return self.output.object(&Told { step, store: "anna", receipt, applied_ms: None, leader_ms: None, backend_ms });
        }
        let paint = self.output.paint;
        let moves = before.iter().zip(&confirmation.positions).map(|(from, to)| format!("{} -> e{to}", from.pos));
        let moves = moves.collect::<Vec<_>>().join(", ");
        self.say(format_args!("   anna's events go behind ben's: {}", paint.bold(moves)))?;
        self.say(format_args!("   the receipt that was found has held through it"))?;
        let ReceiptView { leader_sync, .. } = view(receipt);
        self.say(format_args!("         leader        {}", leader_sync.text(paint)))?;
        let backend = StageView::peek(&receipt.backend_sync).text(paint);
        self.say(format_args!("         backend       {backend}  {}", paint.dim(format_args!("{} after", took(time)))))
    }

    pub(super) fn checked(&mut self, check: &Check) -> Result<()> {
        let Check { log, names, compared, differences } = check;
        if self.output.json {
            let same = differences.is_empty();
            return self.output.object(&Ending { step: self.step, same, events: log.len(), differences });
        }
        let paint = self.output.paint;
        for event in log {
            let author = names.get(&event.client).copied().unwrap_or(&event.client);
            let seq = Pos::synced(event.seq).to_string();
            self.say(format_args!("   {seq:<3} {author:<5} {:<15} {}", event.name, paint.dim(&event.args)))?;
        }
        for difference in differences {
            self.say(format_args!("   {} {difference}", paint.bad("differs:")))?;
        }
        if differences.is_empty() {
            let who: Vec<String> = compared.iter().map(|(name, events)| format!("{name} {events}")).collect();
            let text = format!("yes: the same log in all three ({}), the same state in both stores", who.join(", "));
            self.say(format_args!("   {}", paint.good(text)))?;
        }
        Ok(())
    }

    pub(super) fn kept(&mut self, folder: &Path) -> Result<()> {
        self.say(format_args!("\nkept in {0}: try `countersign log {0}/anna.db`", folder.display()))
    }

    fn say(&mut self, text: impl std::fmt::Display) -> Result<()> {
        if self.output.json { Ok(()) } else { self.output.line(text) }
    }
}

fn view(receipt: &CommitReceipt) -> ReceiptView {
    let (leader, backend) = (StageView::peek(&receipt.leader_sync), StageView::peek(&receipt.backend_sync));
    ReceiptView { id: receipt.id(), leader_sync: leader, backend_sync: backend }
}

fn places(confirmation: &Confirmation) -> String {
    let places: Vec<String> = confirmation.positions.iter().map(|global| format!("e{global}")).collect();
    places.join(", ")
}
