//! What happened, as lines in event notation.

use std::collections::{BTreeMap, VecDeque};

use countersign_core::{
    Effect, Entry, Input, Materialised, Output, OwnEvent, PulledEvent, Resolution, SessionId, Standing, Time,
};

const LINES: usize = 2_000;

/// The last lines of a run, if anybody wants them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    pub(crate) on: bool,
    lines: VecDeque<String>,
    names: BTreeMap<SessionId, String>,
}

impl Transcript {
    pub(crate) fn name(&mut self, session: SessionId, name: String) {
        if self.on {
            self.names.insert(session, name);
        }
    }

    pub(crate) fn line(&mut self, now: Time, who: &str, what: impl FnOnce() -> String) {
        if self.on {
            let mut line = format!("{now:>14} {who:<3} {}", what());
            for (session, name) in &self.names {
                let id = session.to_string();
                if line.contains(&id) {
                    line = line.replace(&id, name);
                }
            }
            if line.chars().count() > 400 {
                line = line.chars().take(400).chain(" ..".chars()).collect();
            }
            if self.lines.len() == LINES {
                self.lines.pop_front();
            }
            self.lines.push_back(line);
        }
    }

    pub(crate) fn last(&self, lines: usize) -> Vec<String> {
        self.lines.iter().skip(self.lines.len().saturating_sub(lines)).cloned().collect()
    }
}

fn own(events: &[OwnEvent]) -> String {
    let one = |own: &OwnEvent| format!("{}/{}:{}{}", own.id.session, own.id.ordinal, own.event.name, own.event.args);
    events.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn pulled(events: &[PulledEvent]) -> String {
    let one = |e: &PulledEvent| {
        let ordinal = e.ids.map_or("?".to_owned(), |ids| ids.ordinal.to_string());
        format!("e{}={}/{ordinal}:{}{}", e.seq, e.session, e.event.name, e.event.args)
    };
    events.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn entries(entries: &[Entry]) -> String {
    let one = |entry: &Entry| {
        let standing = match entry.standing {
            Standing::Confirmed => "!",
            Standing::Pending => "",
            Standing::Local => "~",
        };
        let who = entry.own_id().map_or("foreign".to_owned(), |id| format!("{}/{}", id.session, id.ordinal));
        format!("{}{standing}={who}:{}", entry.seq, entry.event.name)
    };
    entries.iter().map(one).collect::<Vec<_>>().join(" ")
}

pub(crate) fn input(input: &Input) -> String {
    match input {
        Input::Prepare { session, events, guard } => {
            let one = |e: &countersign_core::Event| format!("{}{}", e.name, e.args);
            let guard = guard.as_ref().map_or_else(String::new, |guard| format!("if {}{} ", guard.name, guard.args));
            format!("< prepare {session}: {guard}{}", events.iter().map(one).collect::<Vec<_>>().join(" "))
        }
        Input::Pulled { id, page } => {
            format!("< #{} pulled {} [{}]{}", id.0, page.backend, pulled(&page.events), if page.more { " more" } else { "" })
        }
        Input::Materialised { id, outcome: Materialised::Committed { skipped } } => {
            format!("< #{} committed{}", id.0, if skipped.is_empty() { String::new() } else { format!(", skipped {skipped:?}") })
        }
        Input::Seeded { id, seed } => match seed {
            Some(seed) => format!("< #{} seeded at {} txn {}: {}", id.0, seed.head, seed.number, entries(&seed.pending)),
            None => format!("< #{} snapshot failed", id.0),
        },
        other => format!("< {other:?}"),
    }
}

pub(crate) fn output(output: &Output) -> String {
    match output {
        Output::Effect { id, effect } => match effect {
            Effect::Materialise(txn) => {
                let undo = txn.undo_to.map_or(String::new(), |to| format!(" undo to {to}"));
                let failed: Vec<String> = txn.failed.iter().map(|q| format!("{} ({:?})", q.commit, q.error)).collect();
                let failed = if failed.is_empty() { String::new() } else { format!(" failed {}", failed.join(", ")) };
                let release = if txn.release.is_empty() { String::new() } else { format!(" release {:?}", txn.release) };
                let heads = format!("up e{} settled {} r{}", txn.heads.upstream, txn.heads.settled, txn.heads.generation);
                let wipe = if txn.wipe { " WIPE" } else { "" };
                let hold = txn.hold_to.map_or(String::new(), |to| format!(" hold to {to}"));
                let append = entries(&txn.append);
                format!(
                    "> #{} txn {}{wipe}{undo}{hold}{failed}{release} [{append}] {heads} marks {:?}",
                    id.0, txn.number, txn.marks
                )
            }
            Effect::Push(push) => format!("> #{} push after e{}: {}", id.0, push.parent, own(&push.events)),
            Effect::Session { session, txn } => {
                let one = |unit: &countersign_core::Unit| {
                    format!("{}{}{}", unit.event.name, unit.event.args, if unit.undoable { "" } else { "!" })
                };
                let apply = txn.apply.iter().map(one).collect::<Vec<_>>().join(" ");
                format!("> #{} session {session}: undo {} forget {} apply [{apply}]", id.0, txn.undo, txn.forget)
            }
            other => format!("> #{} {other:?}", id.0),
        },
        Output::Resolve(Resolution::Persisted { session, through }) => format!("> LEADER OK {session} through {through}"),
        Output::Resolve(Resolution::Confirmed { session, commits }) => {
            let one =
                |c: &countersign_core::Confirmed| format!("{}@{:?} rebases {}", c.commit, c.positions.as_slice(), c.rebases);
            format!("> BACKEND OK {session}: {}", commits.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        Output::Resolve(other) => format!("> {other:?}"),
        Output::Notify(notice) => format!("> notice {notice:?}"),
        other => format!("> {other:?}"),
    }
}
