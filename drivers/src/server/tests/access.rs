//! Who may come in.

use serde_json::{Value, json};

use super::*;

const ALL: &str = "all-stores-all-rights";
const READER: &str = "reads-every-store-only";
const ONE: &str = "reads-and-writes-only-a";
const SINK: &str = "writes-and-reads-nothing";

fn tokens() -> String {
    let entry =
        |token: &str, read: &str, write: &str| format!("[[token]]\ntoken = \"{token}\"\nread = [{read}]\nwrite = [{write}]\n");
    [entry(ALL, "\"*\"", "\"*\""), entry(READER, "\"*\"", ""), entry(ONE, "\"a\"", "\"a\""), entry(SINK, "", "\"*\"")].concat()
}

struct Guarded {
    site: Site,
    file: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

fn guarded() -> Guarded {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokens.toml");
    std::fs::write(&file, tokens()).unwrap();
    let site = Site::with(|server| server.tokens(&file).metrics(local()));
    Guarded { site, file, _dir: dir }
}

fn payload(token: &str) -> Value {
    json!({"authToken": token, "more": 1})
}

#[test]
fn without_a_good_token_nobody_comes_in() {
    let guarded = guarded();
    let site = &guarded.site;
    let dial = |store: &str, payload: Option<Value>| Client::dial(site.addr(), store, payload.as_ref()).err();
    for (store, payload, status, part) in [
        ("a", None, 401, "wants a token"),
        ("a", Some(json!({"other": 1})), 401, "wants a token"),
        ("a", Some(json!({"authToken": 7})), 401, "wants a token"),
        ("a", Some(payload("no such token, not here")), 401, "not known"),
        ("a", Some(payload(&ALL[1..])), 401, "not known"),
        ("b", Some(payload(ONE)), 403, "not good for this store"),
    ] {
        let (got, text) = dial(store, payload.clone()).unwrap();
        assert!(got == status && text.contains(part), "{payload:?}: {got} {text}");
        let body = r#"{"_tag":"Ping"}"#;
        let query = payload.map(|payload| format!("&payload={}", encode_payload(&payload))).unwrap_or_default();
        let (got, text) = request(site.addr(), "POST", &format!("/?storeId={store}&transport=http{query}"), "", body);
        assert!(got == status && text.contains(part), "{got} {text}");
    }
    assert!(files(&site.logs(), ".eventlog").is_empty(), "who may not come in makes no store");
    for (store, token) in [("a", ALL), ("b", ALL), ("a", ONE)] {
        assert!(dial(store, Some(payload(token))).is_none(), "{store} {token}");
    }
}

#[test]
fn a_header_does_as_well_as_the_payload() {
    let guarded = guarded();
    let site = &guarded.site;
    let query = "storeId=a&transport=ws";
    let open = |header: &str| Client::open(site.addr(), query, "a", &[("authorization", header)]);
    assert!(open(&format!("Bearer {ALL}")).unwrap().is_well());
    assert!(open(&format!("bearer {ALL}")).unwrap().is_well());
    assert_eq!(open(&format!("Basic {ALL}")).err().unwrap().0, 401);
    let header = format!("authorization: Bearer {ALL}\r\n");
    let (status, body) = request(site.addr(), "POST", "/?storeId=a&transport=http", &header, r#"{"_tag":"Ping"}"#);
    assert_eq!((status, body.as_str()), (200, r#"[{"_tag":"Pong"}]"#));
}

#[test]
fn what_a_token_does_not_allow_is_said_to_need_another() {
    let guarded = guarded();
    let site = &guarded.site;
    let dial = |token: &str| Client::dial(site.addr(), "a", Some(&payload(token)));
    assert_eq!(dial(READER).err().unwrap().0, 404, "who may only read makes no store");
    let mut all = dial(ALL).unwrap();
    assert_eq!(all.push(&batch(1..=1)), success());
    let mut reader = dial(READER).unwrap();
    let exit = reader.push(&batch(2..=2));
    assert!(error(&exit)["countersign"]["needsAuth"].as_str().unwrap().contains("may not write"), "{exit}");
    assert_eq!(reader.history().len(), 1);
    let mut sink = dial(SINK).unwrap();
    assert_eq!(sink.push(&batch(2..=2)), success());
    sink.pulls(true, None);
    let exit = sink.hears()["exit"].clone();
    assert!(error(&exit)["countersign"]["needsAuth"].as_str().unwrap().contains("may not read"), "{exit}");
    for (token, call, part) in [(READER, "Push", "may not write"), (SINK, "Pull", "may not read")] {
        let payload = encode_payload(&payload(token));
        let asked = json!({"_tag": "Request", "id": 1, "tag": format!("SyncHttpRpc.{call}"), "payload": {"storeId": "a",
            "batch": batch(3..=3), "backendId": {"_tag": "None"}, "cursor": {"_tag": "None"}}});
        let target = format!("/?storeId=a&transport=http&payload={payload}");
        let (_, body) = request(site.addr(), "POST", &target, "", &asked.to_string());
        assert!(body.contains("needsAuth") && body.contains(part), "{body}");
    }
}

#[test]
fn a_token_that_is_taken_back_ends_its_connections() {
    let guarded = guarded();
    let (site, file) = (&guarded.site, &guarded.file);
    let mut all = Client::dial(site.addr(), "a", Some(&payload(ALL))).unwrap();
    let mut one = Client::dial(site.addr(), "a", Some(&payload(ONE))).unwrap();
    assert!(all.is_well() && one.is_well());
    std::fs::write(file, "[[token]\n").unwrap();
    assert!(site.running().reload_tokens().unwrap_err().to_string().contains("line 1"));
    assert!(one.is_well(), "a file that can't be used changes nothing");
    std::fs::write(file, tokens().replace(ONE, "a token that has replaced it")).unwrap();
    site.running().reload_tokens().unwrap();
    let (code, reason) = one.hears_goodbye();
    assert!(code == 1008 && reason.contains("not known"), "{code} {reason}");
    assert!(all.is_well());
    assert_eq!(Client::dial(site.addr(), "a", Some(&payload(ONE))).err().unwrap().0, 401);
    // It is looked at now and then without being asked.
    std::fs::write(file, tokens()).unwrap();
    until("the file is read", || Client::dial(site.addr(), "a", Some(&payload(ONE))).is_ok());
}
