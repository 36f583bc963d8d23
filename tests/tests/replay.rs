//! A recorded run is a list of inputs: it survives its text form, and a replay gives the same outputs and the same machine.

use std::collections::BTreeMap;

use countersign_core::{Effect, Input, Node, Output, Resolution, StorageClass, Time};
use tests::script::{Script, events};

/// One process that goes through much: rebases, poison, lost replies, a full disk, refusals, withdrawals, another backend.
fn eventful() -> Script {
    let mut s = Script::ready("Much happens.");
    s.poison("P", None);
    s.open(2);
    let a = s.commit(1, "A c");
    s.begin(2, "B");
    s.others("X");
    s.finish(2, true);
    s.commit(1, "P");
    s.commit_events(1, Vec::new());
    s.run();
    s.commit(2, "D1 D2 D3");
    s.store_fails(StorageClass::Full);
    s.wake();
    s.store_unknown(true);
    s.wake();
    s.store();
    s.push_reply_lost();
    s.run_awake();
    s.hold_sessions();
    let e = s.commit(1, "E");
    s.others("Y");
    s.run();
    let refused = s.try_commit(1, events("F"));
    assert!(refused.is_err());
    s.session_breaks();
    s.let_sessions_go();
    s.tell(Input::Offline);
    let g = s.commit(2, "G h");
    s.withdraw(g);
    s.store_all();
    s.tell(Input::Online);
    s.run_awake();
    s.commit(1, "I");
    s.store();
    s.push_rejected(&[0]);
    s.run();
    s.commit(1, "J");
    s.store();
    s.exchange_backend("hub2");
    s.push_unsent();
    s.page();
    s.store_all();
    s.decide(countersign_core::IdentityPolicy::Reset);
    s.run_awake();
    s.close(2);
    s.tell(Input::Shutdown);
    assert!(!s.positions(a).is_empty() && !s.positions(e).is_empty());
    s
}

fn said(outputs: impl IntoIterator<Item = Output>) -> Vec<Output> {
    outputs.into_iter().filter(|output| !matches!(output, Output::Idle { .. })).collect()
}

fn drain(node: &mut Node, into: &mut Vec<Output>) {
    loop {
        match node.poll() {
            Output::Idle { .. } => break,
            output => into.push(output),
        }
    }
}

/// Replays, draining the outputs after every `k` inputs.
fn replay(mut node: Node, recording: &[(Time, Input)], k: usize) -> (Node, Vec<Output>) {
    let mut outputs = Vec::new();
    for (i, (now, input)) in recording.iter().enumerate() {
        if i % k == 0 {
            drain(&mut node, &mut outputs);
        }
        node.handle(*now, input.clone());
    }
    drain(&mut node, &mut outputs);
    (node, outputs)
}

fn lane(output: &Output) -> String {
    match output {
        Output::Effect { effect: Effect::Materialise(_) | Effect::Snapshot { .. }, .. } => "storage".to_owned(),
        Output::Effect { effect: Effect::Session { session, .. }, .. } => format!("session {session}"),
        Output::Effect { effect: Effect::Push(_), .. } => "push".to_owned(),
        Output::Effect { effect: Effect::Pull(_) | Effect::Abandon { .. }, .. } => "pull".to_owned(),
        Output::Resolve(Resolution::Persisted { session, .. } | Resolution::Confirmed { session, .. }) => {
            format!("receipts of {session}")
        }
        Output::Resolve(Resolution::NotApplicable { commit } | Resolution::Failed { commit, .. }) => {
            format!("receipts of {}", commit.session)
        }
        other => format!("other {:?}", std::mem::discriminant(other)),
    }
}

fn lanes(outputs: Vec<Output>) -> BTreeMap<String, Vec<Output>> {
    let mut lanes: BTreeMap<String, Vec<Output>> = BTreeMap::new();
    for output in outputs {
        lanes.entry(lane(&output)).or_default().push(output);
    }
    lanes
}

// Verifies: D1
#[test]
fn a_replay_gives_the_same_outputs_and_the_same_machine() {
    let s = eventful();
    assert!(s.recording().len() > 60);
    let (node, outputs) = replay(s.fresh_node(), s.recording(), 1);
    assert_eq!(outputs, said(s.outputs().to_vec()));
    assert!(node == *s.node(), "the machines differ");
    insta::assert_snapshot!(s.end());
}

// Verifies: D2
#[test]
fn how_often_outputs_are_drained_changes_nothing() {
    let s = eventful();
    let expected = lanes(said(s.outputs().to_vec()));
    assert!(expected.len() >= 7, "{:?}", expected.keys());
    for k in [2, 3, 5, 8, usize::MAX] {
        let (node, outputs) = replay(s.fresh_node(), s.recording(), k);
        assert_eq!(lanes(outputs), expected, "drained every {k} inputs");
        assert!(node == *s.node(), "the machines differ when drained every {k} inputs");
    }
}

// Verifies: D1
#[test]
fn inputs_and_outputs_survive_their_text_form() {
    let s = eventful();
    let trace: Vec<String> = s.recording().iter().map(|step| serde_json::to_string(step).unwrap()).collect();
    let read: Vec<(Time, Input)> = trace.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, s.recording());
    for output in s.outputs() {
        let text = serde_json::to_string(output).unwrap();
        assert_eq!(&serde_json::from_str::<Output>(&text).unwrap(), output, "{text}");
    }
    let (_, outputs) = replay(s.fresh_node(), &read, 1);
    assert_eq!(outputs, said(s.outputs().to_vec()));
}

// Verifies: D1
#[test]
fn a_now_that_goes_backwards_is_ignored() {
    let s = eventful();
    let mut latest = Time::ZERO;
    let backwards: Vec<(Time, Input)> = s
        .recording()
        .iter()
        .map(|(now, input)| {
            let at = if *now == latest { Time::ZERO } else { *now };
            latest = *now;
            (at, input.clone())
        })
        .collect();
    assert!(backwards.iter().zip(s.recording()).any(|(a, b)| a.0 != b.0));
    let (node, outputs) = replay(s.fresh_node(), &backwards, 1);
    assert_eq!(outputs, said(s.outputs().to_vec()));
    assert!(node == *s.node(), "the machines differ");
}
