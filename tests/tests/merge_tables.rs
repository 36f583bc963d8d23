//! The merge against LiveStore's table of vectors, `fixtures/livestore_merge.md`, row by row: places, parents, generations.

use std::collections::BTreeSet;

use countersign_core::{Pos, Seq};
use serde_json::{Value, json};
use tests::merge::run;

const TABLE: &str = include_str!("fixtures/livestore_merge.md");

// Verifies: L1, L4
#[test]
fn every_row_of_the_table() {
    let rows: Vec<Row<'_>> = TABLE.lines().filter_map(row).collect();
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!((rows.len(), names.len()), (31, 31), "rows went missing, or are named alike");

    let questions: String = rows.iter().map(|row| row.question().to_string() + "\n").collect();
    let mut answers = Vec::new();
    assert!(run(questions.as_bytes(), &mut answers).unwrap(), "a row is not a question");
    let answers: Vec<Value> = answers.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(answers.len(), rows.len());

    let mut wrong = Vec::new();
    for (row, mut answer) in rows.iter().zip(answers) {
        if answer["_tag"] == "die" {
            let message = answer.as_object_mut().unwrap().remove("message").unwrap();
            assert!(message.as_str().unwrap().contains("payload.newEvents"), "{message}");
        }
        let expected = row.answer();
        if answer != expected {
            wrong.push(format!("{}\n  expected {expected}\n  answered {answer}", row.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

struct Row<'a> {
    name: &'a str,
    ignores: bool,
    state: &'a str,
    payload: &'a str,
    answer: &'a str,
}

fn row(line: &str) -> Option<Row<'_>> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let [first, state, payload, answer] = cells[..] else { panic!("not four cells: {line}") };
    if first == "row" || first.starts_with('-') {
        return None;
    }
    let (name, ignores) = first.strip_suffix(" ign").map_or((first, false), |name| (name, true));
    Some(Row { name, ignores, state, payload, answer })
}

impl Row<'_> {
    fn question(&self) -> Value {
        let mut payload = json!({ "newEvents": events(self.payload, "new:") });
        payload["_tag"] = match self.payload.split(' ').next() {
            Some("advance") => json!("upstream-advance"),
            Some("local") => json!("local-push"),
            Some("rebase") => {
                payload["rollbackEvents"] = events(self.payload, "rb:");
                json!("upstream-rebase")
            }
            other => panic!("{}: {other:?} is no payload", self.name),
        };
        let mut question = json!({ "id": self.name, "syncState": state(self.state), "payload": payload });
        if self.ignores {
            question["ignoreClientOnlyEvents"] = json!(true);
        }
        question
    }

    fn answer(&self) -> Value {
        let (tag, rest) = self.answer.split_once(' ').unwrap_or((self.answer, ""));
        let mut answer = json!({ "id": self.name, "_tag": tag });
        match tag {
            "die" => {}
            "reject" => answer["expectedMinimumId"] = json!(rest),
            "advance" => answer["confirmedEvents"] = events(rest, "conf:"),
            "rebase" => answer["rollbackEvents"] = events(rest, "rb:"),
            _ => panic!("{}: {tag} is no answer", self.name),
        }
        if matches!(tag, "advance" | "rebase") {
            answer["newSyncState"] = state(rest);
            answer["newEvents"] = events(rest, "new:");
        }
        answer
    }
}

fn state(text: &str) -> Value {
    json!({ "pending": events(text, "P:"), "upstreamHead": field(text, "U:"), "localHead": field(text, "L:") })
}

fn field<'a>(text: &'a str, key: &str) -> &'a str {
    text.split(' ').find_map(|word| word.strip_prefix(key)).unwrap_or_else(|| panic!("no {key} in {text}"))
}

fn events(text: &str, key: &str) -> Value {
    let list = field(text, key).strip_prefix('[').and_then(|list| list.strip_suffix(']')).expect("a list in brackets");
    list.split(',').filter(|event| !event.is_empty()).map(event).collect()
}

/// Where the events stand whose place is left out.
const PLACES: [(&str, &str); 7] =
    [("c0", "e0.1*"), ("a1", "e1"), ("c1", "e1.1*"), ("c2", "e1.2*"), ("c3", "e1.3*"), ("a2", "e2"), ("d1", "e2.1*")];

fn event(text: &str) -> Value {
    let (text, parent) = text.split_once('←').map_or((text, None), |(text, parent)| (text, Some(parent)));
    let (name, place) = text.split_once('@').unwrap_or_else(|| {
        PLACES.into_iter().find(|(name, _)| *name == text).unwrap_or_else(|| panic!("where does {text} stand?"))
    });
    let seq: Seq = place.trim_end_matches('*').parse().unwrap_or_else(|error| panic!("{place}: {error}"));
    assert_eq!(place.ends_with('*'), seq.pos.is_client_only(), "the mark of {text}");
    let parent = parent.map_or_else(|| Seq::new(Pos::parent(seq.pos), 0).to_string(), str::to_owned);
    let args = match name {
        "x" => r#"{"payload": "x", "flag": [1, {"p": 2, "q": null}]}"#,
        "y" => r#"{"flag": [1.0, {"q": null, "p": 2}], "payload": "x"}"#,
        _ => &format!(r#"{{"payload": "{name}"}}"#),
    };
    let args: Value = serde_json::from_str(args).expect("JSON");
    let author = if name == "X" { "other" } else { "us" };
    json!({ "name": "a", "args": args, "seqNum": seq, "parentSeqNum": parent, "clientId": author, "sessionId": "s" })
}
