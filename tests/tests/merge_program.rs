//! The program `merge` itself: bad input, its exit status, and its behaviour in a pipe.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

fn program() -> Child {
    let mut program = Command::new(env!("CARGO_BIN_EXE_merge"));
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// The answers to this input, and the exit status.
fn answers(input: &[u8]) -> (Vec<Value>, Option<i32>) {
    let mut program = program();
    program.stdin.take().expect("piped").write_all(input).expect("it reads all");
    let output = program.wait_with_output().expect("it ends");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    (lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect(), output.status.code())
}

fn event(seq: &str, parent: &str) -> Value {
    json!({
        "name": "v1.Said", "args": {"x": 0.1}, "seqNum": seq, "parentSeqNum": parent, "clientId": "c", "sessionId": "s",
        "meta": {"of": ["no", "concern"]}
    })
}

fn question(tag: &str, pending: Value, heads: [&str; 2], new: Value) -> Value {
    json!({
        "id": {"any": ["json"]},
        "syncState": {"pending": pending, "upstreamHead": heads[0], "localHead": heads[1]},
        "payload": {"_tag": tag, "newEvents": new}
    })
}

fn only_answer(question: &Value) -> Value {
    let (mut answers, status) = answers(format!("{question}\n").as_bytes());
    assert_eq!((answers.len(), status), (1, Some(0)), "{answers:?}");
    answers.remove(0)
}

#[test]
fn an_answer_keeps_every_field() {
    let own = event("e1", "e0");
    let mut foreign = event("e1", "e0");
    foreign["clientId"] = json!("d");
    let mut moved = own.clone();
    moved["seqNum"] = json!("e2r1");
    moved["parentSeqNum"] = json!("e1");
    let expected = json!({
        "id": {"any": ["json"]},
        "_tag": "rebase",
        "newSyncState": {"pending": [moved], "upstreamHead": "e1", "localHead": "e2r1"},
        "newEvents": [foreign, moved],
        "rollbackEvents": [own]
    });
    assert_eq!(only_answer(&question("upstream-advance", json!([own]), ["e0", "e1"], json!([foreign]))), expected);
}

#[test]
fn names_decide_what_is_client_only() {
    let mut ask = question("upstream-rebase", json!([event("e1", "e0")]), ["e0", "e1"], json!([event("e1", "e0")]));
    ask["clientOnlyNames"] = json!(["v1.Said"]);
    assert_eq!(only_answer(&ask)["newSyncState"]["localHead"], "e1.1r1");
    ask["clientOnlyNames"] = json!([]);
    assert_eq!(only_answer(&ask)["newSyncState"]["localHead"], "e2r1");
}

#[test]
fn gaps_and_heads_that_contradict_are_answered() {
    let far =
        question("upstream-advance", json!([event("e4", "e3"), event("e9", "e8")]), ["e7", "e2"], json!([event("e20", "e19")]));
    let answer = only_answer(&far);
    assert_eq!((&answer["_tag"], &answer["newSyncState"]["localHead"]), (&json!("rebase"), &json!("e22r1")));
    let back = question("upstream-rebase", json!([]), ["e7", "e7"], json!([event("e2", "e1")]));
    assert_eq!(only_answer(&back)["newSyncState"]["upstreamHead"], "e2");
}

#[test]
fn a_broken_contract_is_named() {
    let dies = |question: Value| {
        let answer = only_answer(&question);
        assert_eq!(answer["_tag"], "die", "{answer}");
        answer["message"].as_str().expect("text").to_owned()
    };
    let broken = json!([event("e1", "e0"), event("e1.2", "e1.1")]);
    let message = dies(question("local-push", broken.clone(), ["e0", "e1.2"], json!([])));
    assert!(message.starts_with("syncState.pending: ") && message.contains("its parent is e1.1"), "{message}");
    let message = dies(question("local-push", json!([]), ["e0", "e0"], broken));
    assert!(message.contains("newEvents appended"), "{message}");
    let message = dies(question("upstream-advance", json!([]), ["e3", "e3"], json!([event("e3r1", "e2")])));
    assert!(message.starts_with("payload.newEvents: ") && message.contains("upstream head e3"), "{message}");
}

#[test]
fn a_bad_line_is_named_and_the_rest_is_answered() {
    let good = question("local-push", json!([]), ["e0", "e0"], json!([event("e1", "e0")]));
    let with = |pointer: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).expect("a field") = value;
        bad.to_string()
    };
    let without_id = json!({"syncState": good["syncState"], "payload": good["payload"]}).to_string();
    let last = format!("e{}", countersign_core::GLOBAL_MAX);
    let full = question("upstream-rebase", json!([event("e1", "e0")]), ["e0", "e1"], json!([event(&last, "e0")]));
    let bad_lines: [(&str, Value, &str); 10] = [
        ("{\"id\": 1,", Value::Null, "not JSON: EOF"),
        ("[]", Value::Null, "expected an object"),
        ("7", Value::Null, "expected an object"),
        ("{\"id\": \"\u{1}\"}", Value::Null, "at column"),
        (&without_id, Value::Null, "missing field `id`"),
        (
            &with("/payload/_tag", json!("upstream-retreat")),
            good["id"].clone(),
            "payload._tag: unknown variant `upstream-retreat`",
        ),
        (
            &with("/payload/newEvents/0/seqNum", json!("5")),
            good["id"].clone(),
            "payload.newEvents[0].seqNum: not a sequence number: expected e5",
        ),
        (&with("/syncState/localHead", json!("e1.4294967296")), good["id"].clone(), "syncState.localHead: not a sequence"),
        (&with("/syncState/localHead", json!("e1.4294967295")), good["id"].clone(), "the numbers end at e1.4294967295"),
        (&full.to_string(), full["id"].clone(), "the numbers end at e9007199254740991"),
    ];
    let mut input = format!("{good}\n\n").into_bytes();
    for (line, ..) in &bad_lines {
        input.extend(format!("{line}\r\n").bytes());
    }
    input.extend(b"\"\xff\"\n");
    // The last line need not end.
    input.extend(good.to_string().bytes());

    let (answers, status) = answers(&input);
    assert_eq!((answers.len(), status), (bad_lines.len() + 3, Some(2)));
    assert_eq!((&answers[0]["_tag"], &answers[answers.len() - 1]["_tag"]), (&json!("advance"), &json!("advance")));
    for (i, (_, id, what)) in bad_lines.iter().enumerate() {
        let answer = &answers[i + 1];
        let message = answer["message"].as_str().expect("a message");
        assert_eq!((&answer["_tag"], &answer["id"]), (&json!("error"), id), "{answer}");
        assert!(message.starts_with(&format!("input line {}: ", i + 3)) && message.contains(what), "{what}: {message}");
    }
    assert_eq!(answers[answers.len() - 2]["_tag"], "error");
}

#[test]
fn each_question_is_answered_before_the_next() {
    let mut program = program();
    let (mut ask, mut answers) = (program.stdin.take().unwrap(), BufReader::new(program.stdout.take().unwrap()));
    let question = question("local-push", json!([]), ["e0", "e0"], json!([]));
    for _ in 0..3 {
        writeln!(ask, "{question}").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n') && answer.contains("advance"), "{answer}");
    }
    drop(ask);
    assert_eq!(program.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut program = program();
    drop(program.stdout.take());
    let mut ask = program.stdin.take().unwrap();
    let question = question("local-push", json!([]), ["e0", "e0"], json!([]));
    // It ends at its first answer, so that at some point there is no one to ask.
    while writeln!(ask, "{question}").is_ok() {}
    assert_eq!(program.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    program.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}
