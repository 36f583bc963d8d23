//! Pulls.

use serde_json::json;

use super::*;

// Verifies: L2
#[test]
fn a_live_pull_never_overtakes_its_history() {
    let site = Site::new();
    let (mut writer, mut reader) = (site.client("a"), site.client("a"));
    assert_eq!(writer.push(&batch(1..=250)), success());
    let id = reader.pulls(true, None);
    let page = reader.hears();
    assert_eq!((seqs_of(&page), &page["values"][0]["pageInfo"]["remaining"]), ((1..=100).collect(), &json!(150)));
    // While it has not taken the first page, others write.
    assert_eq!(writer.push(&batch(251..=300)), success());
    assert!(reader.is_well(), "nothing comes before the acknowledgement");
    reader.acks(&id);
    assert_eq!(seqs_of(&reader.hears()), (101..=200).collect::<Vec<_>>());
    reader.acks(&id);
    // History goes to where the log ended when it began; what is beyond may come with it.
    let mut seqs = seqs_of(&reader.hears());
    while seqs.last() != Some(&300) {
        seqs.extend(seqs_of(&reader.hears()));
    }
    assert_eq!(seqs, (201..=300).collect::<Vec<_>>());
    // Live, without acknowledgements.
    for seq in 301..=310 {
        assert_eq!(writer.push(&batch(seq..=seq)), success());
        assert_eq!(seqs_of(&reader.hears()), [seq]);
    }
}

#[test]
fn an_acknowledgement_ahead_of_its_page_counts_for_nothing() {
    let site = Site::new();
    let mut client = site.client("a");
    assert_eq!(client.push(&batch(1..=300)), success());
    for n in 0..10 {
        client.acks(&(client.next + n).to_string());
    }
    let id = client.pulls(false, None);
    assert_eq!(seqs_of(&client.hears()), (1..=100).collect::<Vec<_>>());
    assert!(client.is_well());
    for first in [101, 201] {
        client.acks(&id);
        assert_eq!(seqs_of(&client.hears()), (first..first + 100).collect::<Vec<_>>());
    }
    assert!(client.is_well(), "the end, too, waits for the last acknowledgement");
    client.acks(&id);
    assert_eq!(client.hears()["exit"]["_tag"], "Success");
    assert_eq!(client.push(&batch(301..=301)), success());
    assert!(client.is_well(), "a pull that has ended gets nothing more");
}

#[test]
fn pages_are_cut_at_their_bytes_and_fit_again() {
    let site = Site::new();
    let mut client = site.client("a");
    let large: Vec<_> = (1..=9).map(|seq| event(seq, &"x".repeat(200_000))).collect();
    for events in large.chunks(4) {
        assert_eq!(client.push(events), success());
    }
    let id = client.pulls(false, None);
    let mut pages = Vec::new();
    while pages.iter().map(Vec::len).sum::<usize>() < 9 {
        let heard = client.hears();
        assert!(heard.to_string().len() < 910_000);
        pages.push(seqs_of(&heard));
        client.acks(&id);
    }
    assert_eq!(pages, [vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![9]]);
    assert_eq!(client.hears()["exit"]["_tag"], "Success");
}

#[test]
fn several_pulls_of_one_connection_do_not_mix() {
    let site = Site::new();
    let mut client = site.client("a");
    let whole = client.pulls(true, None);
    let backend = backend_of(&client.hears());
    let beyond = client.pulls(true, Some((&backend, 999)));
    assert_eq!(seqs_of(&client.hears()), [0; 0], "a cursor beyond the end is no error");
    client.pushes(&batch(1..=2));
    let chunks = [client.hears(), client.hears()];
    for (chunk, id) in chunks.iter().zip([&whole, &beyond]) {
        assert_eq!((chunk["requestId"].as_str(), seqs_of(chunk)), (Some(id.as_str()), vec![1, 2]));
    }
    assert_eq!(client.hears()["exit"], success(), "the answer comes last");
    client.says(json!({"_tag": "Interrupt", "requestId": whole}).to_string());
    let exit = client.hears();
    assert_eq!((exit["requestId"].as_str(), &exit["exit"]["cause"]["_tag"]), (Some(whole.as_str()), &json!("Interrupt")));
    client.says(json!({"_tag": "Interrupt", "requestId": whole}).to_string());
    client.says(json!({"_tag": "Ack", "requestId": "999"}).to_string());
    client.pushes(&batch(3..=3));
    assert_eq!(client.hears()["requestId"].as_str(), Some(beyond.as_str()));
    assert_eq!(client.hears()["exit"], success());
    client.says(r#"{"_tag":"Eof"}"#);
    assert_eq!(client.hears()["exit"]["cause"]["_tag"], "Interrupt");
    assert_eq!(client.hears_goodbye().0, 1000);
}

/// What is in memory of a log's end is bounded; who is further behind reads from the log.
#[test]
fn a_reader_that_falls_far_behind_misses_nothing() {
    let site = Site::new();
    let (mut writer, mut reader) = (site.client("a"), site.client("a"));
    let id = reader.pulls(true, None);
    assert_eq!(seqs_of(&reader.hears()), [0; 0]);
    reader.acks(&id);
    for first in (1..=5_000).step_by(250) {
        assert_eq!(writer.push(&batch(first..=first + 249)), success());
    }
    let mut seqs = Vec::new();
    while seqs.len() < 5_000 {
        let chunk = reader.hears();
        assert!(seqs_of(&chunk).len() <= 100);
        seqs.extend(seqs_of(&chunk));
    }
    assert_eq!(seqs, (1..=5_000).collect::<Vec<_>>());
    assert!(reader.is_well());
}

#[test]
fn a_log_that_nobody_uses_is_closed_and_opened_again() {
    let limits = Limits { store_idle: Duration::from_millis(50), ..Limits::default() };
    let site = Site::with(|server| server.no_auth().limits(limits).metrics(local()));
    let mut client = site.client("a");
    assert_eq!(client.push(&batch(1..=3)), success());
    let reads = client.history();
    assert_eq!(site.figure("countersign_stores_open"), 1.0);
    assert_eq!(files(&site.logs(), "-wal").len(), 1);
    drop(client);
    until("the log is closed", || site.figure("countersign_stores_open") == 0.0);
    until("with all that belongs to it", || files(&site.logs(), "-wal").is_empty());
    let mut client = site.client("a");
    assert_eq!(client.history(), reads);
    assert_eq!(client.push(&batch(4..=4)), success());
    client.socket.close(None).unwrap();
    assert_eq!(client.hears_goodbye().0, 0, "who goes is answered");
}

/// A backup that is put back is another log, or the same one with less in it: nobody may go on as if nothing had happened.
// Verifies: L8
#[test]
fn clients_of_a_log_that_was_replaced_are_cut_off() {
    let site = Site::new();
    let mut reader = site.client("a");
    let id = reader.pulls(true, None);
    let before = backend_of(&reader.hears());
    reader.acks(&id);
    assert_eq!(site.client("a").push(&batch(1..=3)), success());
    assert_eq!(seqs_of(&reader.hears()), [1, 2, 3]);
    let file = |name: &str| site.logs().join(name);
    for name in ["a.eventlog", "a.eventlog-wal", "a.eventlog-shm"] {
        std::fs::rename(file(name), site.dir.path().join(name)).unwrap();
    }
    drop(crate::backend::EmbeddedBackend::open(file("a.eventlog")).unwrap());
    // The next append notices.
    let exit = site.client("a").push(&batch(4..=4));
    assert_eq!(error(&exit)["minimumExpectedNum"], 0, "{exit}");
    let (code, reason) = reader.hears_goodbye();
    assert!(code == 1012 && reason.contains("another log"), "{code} {reason}");
    let mut again = site.client("a");
    again.pulls(true, None);
    assert_ne!(backend_of(&again.hears()), before);
}
