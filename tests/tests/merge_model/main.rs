//! The merge against a naive model of LiveStore's decisions, on random states and payloads: sound ones mostly, with gaps,
//! contradictory heads, broken chains and unsorted lists among them.

mod generate;
mod model;

use std::collections::BTreeMap;

use serde_json::Value;
use tests::merge::run;

use generate::{Rng, Spoken, case};
use model::{At, Ev, Outcome, Said, State};

const SEED: u64 = 0x5eed;
const CASES: usize = 5_000;

// Verifies: L1, L2, L4
#[test]
fn random_states_and_payloads() {
    let mut rng = Rng::new(SEED);
    let cases: Vec<_> = (0..CASES).map(|id| case(&mut rng, id)).collect();
    let questions: String = cases.iter().map(|case| case.question.to_string() + "\n").collect();
    let mut answers = Vec::new();
    assert!(run(questions.as_bytes(), &mut answers).unwrap(), "a case is not a question");
    let answers: Vec<&[u8]> = answers.trim_ascii_end().split(|b| *b == b'\n').collect();
    assert_eq!(answers.len(), CASES);

    let mut reached = BTreeMap::<_, usize>::new();
    for (case, answer) in cases.iter().zip(answers) {
        let answer: Value = serde_json::from_slice(answer).unwrap();
        let context = || format!("seed {SEED:#x}\n  asked    {}\n  answered {answer}", case.question);
        assert_eq!(answer["id"], case.question["id"], "{}", context());
        let expected = model::merge(&case.state, &case.said, case.ignores);
        let answered = outcome(&answer, &case.spoken);
        assert_eq!(answered, expected, "{}", context());
        promises(&case.state, &case.said, &answered).unwrap_or_else(|broken| panic!("{broken}\n  {}", context()));
        generations_grow(&case.question, &answer).unwrap_or_else(|broken| panic!("{broken}\n  {}", context()));
        *reached.entry(kind(&expected, &case.said)).or_default() += 1;
    }
    for kind in KINDS {
        assert!(reached.get(kind).is_some_and(|times| *times >= CASES / 200), "{kind} is hardly tried: {reached:?}");
    }
}

/// What has to be tried for the agreement to mean something.
const KINDS: [&str; 10] = [
    "advance, nothing",
    "advance, all new",
    "advance, all confirmed",
    "advance, some confirmed",
    "rebase of all",
    "rebase after a confirmed part",
    "rebase by the upstream",
    "push",
    "reject",
    "die",
];

fn kind(outcome: &Outcome, said: &Said) -> &'static str {
    match (outcome, said) {
        (Outcome::Die, _) => "die",
        (Outcome::Reject(_), _) => "reject",
        (_, Said::Local(_)) => "push",
        (Outcome::Advance { new, confirmed, .. }, _) if new.is_empty() && confirmed.is_empty() => "advance, nothing",
        (Outcome::Advance { confirmed, .. }, _) if confirmed.is_empty() => "advance, all new",
        (Outcome::Advance { state, .. }, _) if state.pending.is_empty() => "advance, all confirmed",
        (Outcome::Advance { .. }, _) => "advance, some confirmed",
        (_, Said::Rebase { .. }) => "rebase by the upstream",
        (Outcome::Rebase { new, .. }, Said::Advance(said)) if new.first() == said.first() => "rebase of all",
        (Outcome::Rebase { .. }, _) => "rebase after a confirmed part",
    }
}

/// What holds of any answer, whatever the model says.
fn promises(before: &State, said: &Said, answered: &Outcome) -> Result<(), String> {
    let labels = |events: &[Ev]| events.iter().map(|event| event.label).collect::<Vec<_>>();
    let (Outcome::Advance { state, .. } | Outcome::Rebase { state, .. }) = answered else {
        return Ok(());
    };
    if model::breaks_chain(&state.pending) {
        return Err("L1: what is pending is no chain any more".into());
    }
    // An upstream that takes back may end before where it was.
    if !matches!(said, Said::Rebase { .. }) && state.upstream < before.upstream {
        return Err("L2: the upstream head goes back".into());
    }
    let kept = labels(&state.pending);
    let old = labels(&before.pending);
    match answered {
        // A push, or what the upstream confirms: either way nothing leaves except from the front.
        Outcome::Advance { confirmed, .. } => {
            let all = [labels(confirmed), kept].concat();
            if !all.starts_with(&old) {
                return Err(format!("L4: of {old:?} there are {all:?}"));
            }
        }
        Outcome::Rebase { new, rollback, .. } => {
            let (new, rollback) = (labels(new), labels(rollback));
            if !(old.ends_with(&kept) && new.ends_with(&kept) && rollback.ends_with(&kept)) {
                return Err(format!("L4: of {old:?} there are {kept:?}, undone {rollback:?}, applied {new:?}"));
            }
        }
        Outcome::Reject(_) | Outcome::Die => {}
    }
    Ok(())
}

/// Generations are not the model's business.
fn generations_grow(question: &Value, answer: &Value) -> Result<(), String> {
    if answer["_tag"] != "rebase" {
        return Ok(());
    }
    let generation = |seq: &Value| -> u64 {
        let text = seq.as_str().expect("a number in notation");
        text.split_once('r').map_or(0, |(_, generation)| generation.parse().expect("digits"))
    };
    let after = &answer["newSyncState"];
    for event in after["pending"].as_array().expect("a list") {
        let now = generation(&event["seqNum"]);
        let old = question["syncState"]["pending"].as_array().expect("a list");
        let own = old.iter().find(|own| own["label"] == event["label"]).expect("pending before");
        if now <= generation(&own["seqNum"]) || now <= generation(&after["upstreamHead"]) {
            return Err(format!("L2: the generation of {} goes back", event["seqNum"]));
        }
    }
    Ok(())
}

fn outcome(answer: &Value, spoken: &Spoken) -> Outcome {
    let state = || State {
        pending: events(&answer["newSyncState"]["pending"], spoken),
        upstream: at(&answer["newSyncState"]["upstreamHead"]),
        local: at(&answer["newSyncState"]["localHead"]),
    };
    let list = |key| events(&answer[key], spoken);
    match answer["_tag"].as_str() {
        Some("advance") => Outcome::Advance { state: state(), new: list("newEvents"), confirmed: list("confirmedEvents") },
        Some("rebase") => Outcome::Rebase { state: state(), new: list("newEvents"), rollback: list("rollbackEvents") },
        Some("reject") => Outcome::Reject(at(&answer["expectedMinimumId"])),
        Some("die") => Outcome::Die,
        _ => panic!("no outcome: {answer}"),
    }
}

/// Reads events back, and finds that nothing of them but their places has changed.
fn events(list: &Value, spoken: &Spoken) -> Vec<Ev> {
    let read = |event: &Value| {
        let label = event["label"].as_u64().expect("the label that it was given");
        let (original, said) = &spoken[&label];
        let mut unmoved = event.clone();
        unmoved["seqNum"] = said["seqNum"].clone();
        unmoved["parentSeqNum"] = said["parentSeqNum"].clone();
        assert_eq!(unmoved, *said, "an event has changed");
        Ev { at: at(&event["seqNum"]), parent: at(&event["parentSeqNum"]), ..*original }
    };
    list.as_array().unwrap_or_else(|| panic!("no list: {list}")).iter().map(read).collect()
}

fn at(seq: &Value) -> At {
    let text = seq.as_str().and_then(|text| text.strip_prefix('e')).expect("a number in notation");
    let place = text.split_once('r').map_or(text, |(place, _)| place);
    let (global, client) = place.split_once('.').unwrap_or((place, "0"));
    (global.parse().expect("digits"), client.parse().expect("digits"))
}
