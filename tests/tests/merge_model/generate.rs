//! Random questions. Few contents and low numbers, so that what matches and what collides is common.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::{At, Ev, Said, State, follow};

/// Each event that a case speaks of, by its label, and as it was written.
pub(crate) type Spoken = BTreeMap<u64, (Ev, Value)>;

pub(crate) struct Case {
    pub(crate) state: State,
    pub(crate) said: Said,
    pub(crate) ignores: bool,
    pub(crate) question: Value,
    pub(crate) spoken: Spoken,
}

pub(crate) fn case(rng: &mut Rng, id: usize) -> Case {
    let mut draw = Draw { by_name: rng.one_in(2), ignores: rng.one_in(2), labels: 0, spoken: Spoken::new(), rng };
    let state = draw.state();
    let said = draw.said(&state);
    let Draw { by_name, ignores, spoken, .. } = draw;

    let write = |events: &[Ev]| events.iter().map(|event| spoken[&event.label].1.clone()).collect::<Value>();
    let payload = match &said {
        Said::Advance(new) => json!({ "_tag": "upstream-advance", "newEvents": write(new) }),
        Said::Local(new) => json!({ "_tag": "local-push", "newEvents": write(new) }),
        Said::Rebase { new, rollback } => {
            json!({ "_tag": "upstream-rebase", "newEvents": write(new), "rollbackEvents": write(rollback) })
        }
    };
    let sync_state = json!({
        "pending": write(&state.pending), "upstreamHead": notation(state.upstream), "localHead": notation(state.local)
    });
    let mut question = json!({ "id": id, "syncState": sync_state, "payload": payload });
    if by_name {
        question["clientOnlyNames"] = json!([CLIENT_ONLY, "never committed"]);
    }
    if ignores || id.is_multiple_of(2) {
        question["ignoreClientOnlyEvents"] = json!(ignores);
    }
    Case { state, said, ignores, question, spoken }
}

const SYNCED: &str = "v1.Moved";
const CLIENT_ONLY: &str = "v1.Looked";

/// Contents of one kind of event: author, and spellings of the same arguments.
const CONTENTS: [(&str, [Option<&str>; 2]); 4] = [
    ("us", [None, Some("null")]),
    ("us", [Some(r#"{"a": 1, "b": [2, {"c": 0}]}"#), Some(r#"{"b": [2.0, {"c": -0.0}], "a": 1e0}"#)]),
    ("us", [Some(r#"{"a": null}"#), Some(r#"{ "a" : null }"#)]),
    ("other", [None, Some("null")]),
];

struct Draw<'a> {
    rng: &'a mut Rng,
    by_name: bool,
    ignores: bool,
    labels: u64,
    spoken: Spoken,
}

impl Draw<'_> {
    fn state(&mut self) -> State {
        let upstream = self.head();
        let mut pending = self.chain(upstream, 6, 3);
        self.disturb(&mut pending, 12);
        let mut local = pending.last().map_or(upstream, |last| last.at);
        if self.rng.one_in(10) {
            local = self.head();
        }
        State { pending, upstream, local }
    }

    fn said(&mut self, state: &State) -> Said {
        let mut said = match self.rng.below(6) {
            0 => {
                let base = if self.rng.one_in(4) { self.head() } else { state.local };
                Said::Local(self.chain(base, 4, 3))
            }
            1 => {
                let taken_back = self.chain(state.upstream, 3, 3);
                let base = if self.rng.one_in(4) { self.head() } else { state.local.max(state.upstream) };
                Said::Rebase { new: self.chain(base, 4, 3), rollback: taken_back }
            }
            _ => Said::Advance(self.upstream_says(state)),
        };
        let (Said::Advance(new) | Said::Rebase { new, .. } | Said::Local(new)) = &mut said;
        self.disturb(new, 12);
        said
    }

    /// Some of what is pending, as the upstream gives it back, and then what others did.
    fn upstream_says(&mut self, state: &State) -> Vec<Ev> {
        let ignores = self.ignores;
        let known: Vec<Ev> = state.pending.iter().filter(|event| !(ignores && event.client_only)).copied().collect();
        let known = &known[..self.rng.below(known.len() + 1)];
        let mut new: Vec<Ev> =
            known.iter().map(|event| self.speak(event.at, event.parent, event.client_only, event.content)).collect();
        // Now and then it begins again before its own head, or at it.
        let first = if self.rng.one_in(6) { self.head() } else { state.upstream };
        let base = new.last().map_or(first, |last| last.at);
        // A backend has no client-only events, but what it says must not matter.
        let client_only = if ignores && !self.rng.one_in(6) { usize::MAX } else { 3 };
        let more = self.chain(base, 3, client_only);
        new.extend(more);
        new
    }

    fn chain(&mut self, base: At, most: usize, client_only_one_in: usize) -> Vec<Ev> {
        let mut before = base;
        let mut events = Vec::new();
        for _ in 0..self.rng.below(most + 1) {
            let client_only = client_only_one_in < usize::MAX && self.rng.one_in(client_only_one_in);
            let (at, parent) = follow(before, client_only);
            let content = self.rng.below(CONTENTS.len());
            events.push(self.speak(at, parent, client_only, content));
            before = at;
        }
        events
    }

    /// Once in a while: a gap, an event too many, two in the wrong order, a parent that isn't, another place for its kind.
    fn disturb(&mut self, events: &mut Vec<Ev>, one_in: usize) {
        if events.is_empty() || !self.rng.one_in(one_in) {
            return;
        }
        let i = self.rng.below(events.len());
        let Ev { at, parent, client_only, content, .. } = events[i];
        match self.rng.below(5) {
            0 => drop(events.remove(i)),
            1 => events.insert(i, events[i]),
            2 => events.swap(0, i),
            3 => events[i] = self.speak(at, (parent.0 + 1, parent.1), client_only, content),
            _ => {
                let at = (at.0, at.1 + 1);
                // What its name says stays true; what its place says has changed.
                events[i] = self.speak(at, parent, if self.by_name { client_only } else { true }, content);
            }
        }
    }

    fn head(&mut self) -> At {
        (self.rng.below(4) as u64, if self.rng.one_in(4) { self.rng.below(3) as u64 } else { 0 })
    }

    /// Writes an event, in one of the spellings of its content.
    fn speak(&mut self, at: At, parent: At, client_only: bool, content: usize) -> Ev {
        self.labels += 1;
        let event = Ev { label: self.labels, at, parent, client_only, content };
        // Without names to tell, the place does, and any name will do.
        let name = if client_only && self.by_name { CLIENT_ONLY } else { SYNCED };
        let (author, spellings) = CONTENTS[content];
        let seq = format!("{}{}", notation(at), ["", "r1", "r3"][self.rng.below(3)]);
        let mut written = json!({
            "label": event.label, "name": name, "clientId": author, "sessionId": "s", "seqNum": seq, "parentSeqNum": notation(parent)
        });
        if let Some(args) = spellings[self.rng.below(2)] {
            written["args"] = serde_json::from_str(args).expect("JSON");
        }
        self.spoken.insert(event.label, (event, written));
        event
    }
}

fn notation((global, client): At) -> String {
    if client == 0 { format!("e{global}") } else { format!("e{global}.{client}") }
}

/// SplitMix64: all that is needed, and the same everywhere.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Evenly enough among `0..end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}
