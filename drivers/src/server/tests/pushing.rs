//! Admission.

use serde_json::{Value, json};

use super::*;

// Verifies: L6
#[test]
fn a_push_that_is_repeated_is_acknowledged_and_not_stored_twice() {
    let site = Site::new();
    let (mut first, mut second) = (site.client("a"), site.client("a"));
    let watched = second.pulls(true, None);
    assert_eq!(seqs_of(&second.hears()), [0; 0]);
    second.acks(&watched);
    assert_eq!(first.push(&batch(1..=3)), success());
    // As if the answer had not arrived: on another connection, and when others have written since.
    assert_eq!(second.push(&batch(1..=3)), success());
    assert_eq!(first.push(&[event(4, "other")]), success());
    assert_eq!(site.client("a").push(&batch(1..=3)), success());
    assert_eq!(site.client("a").history().len(), 4);
    // Another content under the same ids is not the same batch.
    assert_eq!(error(&first.push(&[event(1, "changed")]))["_tag"], "ServerAheadError");
    // Nor is an event of somebody who has no ids.
    assert_eq!(first.push(&[plain(5, "x")]), success());
    let ahead = first.push(&[plain(5, "x")]);
    assert_eq!(*error(&ahead), json!({"_tag": "ServerAheadError", "minimumExpectedNum": 5, "providedNum": 4}));
}

// Verifies: R8
#[test]
fn our_ids_are_kept_and_other_keys_are_not() {
    let site = Site::new();
    let mut said = event(1, "x");
    said["other"] = json!(1);
    assert_eq!(site.client("a").push(&[said]), success());
    assert_eq!(site.client("a").history(), [event(1, "x")]);
}

// Verifies: L1
#[test]
fn only_a_chain_on_the_head_is_taken() {
    let site = Site::new();
    let mut client = site.client("a");
    assert_eq!(client.push(&batch(1..=2)), success());
    let link = |seq: u64, parent: u64| {
        let mut event = event(seq, "x");
        event["parentSeqNum"] = json!(parent);
        event
    };
    for (events, index) in [
        (vec![link(3, 2), link(5, 3)], 1),
        (vec![link(3, 2), link(4, 77)], 1),
        (vec![link(4, 2)], 0),
        (vec![link(3, 2), link(3, 2)], 1),
        (vec![link(2, 2)], 0),
    ] {
        let exit = client.push(&events);
        let refused = &error(&exit)["countersign"]["refused"];
        assert_eq!(refused[0]["index"], index, "{events:?}: {exit}");
        assert!(refused[0]["message"].as_str().unwrap().contains("no link of a chain"), "{exit}");
    }
    for events in [vec![plain(1, "x")], batch(4..=4), batch(2..=3)] {
        let exit = client.push(&events);
        assert_eq!(error(&exit)["minimumExpectedNum"], 2, "{exit}");
    }
    let mut negative = event(3, "x");
    negative["seqNum"] = json!(-5);
    assert_eq!(error(&client.push(&[negative]))["_tag"], "Die");
    assert_eq!(client.push(&[]), success());
    assert_eq!(client.push(&batch(3..=3)), success());
    assert_eq!(client.history().len(), 3);
}

// Verifies: L7
#[test]
fn an_event_that_fits_no_page_is_refused_by_name() {
    let site = Site::new();
    let mut client = site.client("a");
    let exit = client.push(&[event(1, "x"), event(2, &"x".repeat(900_000))]);
    let refused = &error(&exit)["countersign"]["refused"];
    assert_eq!((refused.as_array().unwrap().len(), &refused[0]["index"]), (1, &json!(1)), "{exit}");
    assert!(refused[0]["message"].as_str().unwrap().contains("890000"), "{exit}");
    assert_eq!(client.push(&batch(1..=1)), success(), "nothing of the batch was taken");
    let large = event(2, &"x".repeat(880_000));
    assert_eq!(client.push(std::slice::from_ref(&large)), success());
    assert_eq!(client.history()[1], large);
}

// Verifies: L8
#[test]
fn another_backend_is_told_apart() {
    let site = Site::new();
    let mut client = site.client("a");
    let exit = {
        let id = client
            .asks("Push", json!({"storeId": "a", "batch": batch(1..=1), "backendId": {"_tag": "Some", "value": "another"}}));
        let heard = client.hears();
        assert_eq!(heard["requestId"], id.as_str());
        heard["exit"].clone()
    };
    assert_eq!(error(&exit)["_tag"], "BackendIdMismatchError");
    assert_eq!(error(&exit)["received"], "another");
    let ours = error(&exit)["expected"].as_str().unwrap().to_owned();
    client.pulls(true, Some(("another", 0)));
    assert_eq!(error(&client.hears()["exit"])["expected"], ours.as_str());
    client.pulls(true, Some((&ours, 0)));
    assert_eq!(backend_of(&client.hears()), ours);
    let mut other = site.client("b");
    other.pulls(false, None);
    assert_ne!(backend_of(&other.hears()), ours, "each store is a backend of its own");
}

/// Trouble with the disk is no answer to a push: its client has to try again, and not to give its events up.
// Verifies: R5, L4
#[test]
fn a_log_that_can_t_be_used_is_no_refusal() {
    let site = Site::new();
    let (mut first, mut second) = (site.client("a"), site.client("a"));
    assert_eq!(first.push(&batch(1..=2)), success());
    let (here, away) = (site.logs().join("a.eventlog"), site.dir.path().join("away"));
    std::fs::rename(&here, &away).unwrap();
    first.pushes(&batch(3..=3));
    let (code, reason) = first.hears_goodbye();
    assert!(code == 1013 && reason.contains("try again later") && !reason.contains("a.eventlog"), "{code} {reason}");
    let push = json!({"_tag": "Request", "id": "1", "tag": "SyncHttpRpc.Push", "payload": {"storeId": "a", "batch": batch(3..=3),
        "backendId": {"_tag": "None"}}});
    let (status, text) = post(site.addr(), "a", &push.to_string());
    assert!(status == 503 && text.contains("try again later"), "{status} {text}");
    assert!(second.is_well() && site.client("b").is_well(), "nobody else is touched");
    std::fs::rename(&away, &here).unwrap();
    assert_eq!(second.push(&batch(3..=3)), success());
    assert_eq!(site.client("a").history().len(), 3);
}

/// What has come into the log without being published is found by who is told of it: else nobody could push there any more.
// Verifies: V1, L4
#[test]
fn a_client_that_is_told_of_events_that_were_not_published_can_pull_them() {
    let site = Site::new();
    let mut client = site.client("a");
    assert_eq!(client.push(&batch(1..=2)), success());
    let id = client.pulls(true, None);
    assert_eq!(seqs_of(&client.hears()), [1, 2]);
    client.acks(&id);
    let insert = "INSERT INTO eventlog VALUES (3, 2, 'c', 's', 'v1.Noted', 'null', NULL, NULL, NULL, NULL, 0)";
    rusqlite::Connection::open(site.logs().join("a.eventlog")).unwrap().execute(insert, []).unwrap();
    let push = client.pushes(&[plain(3, "x")]);
    let (mut pulled, mut ahead) = (false, false);
    while !(pulled && ahead) {
        let heard = client.hears();
        match heard["_tag"].as_str() {
            Some("Chunk") => {
                assert_eq!(seqs_of(&heard), [3]);
                pulled = true;
            }
            _ => {
                assert_eq!((&heard["requestId"], &error(&heard["exit"])["minimumExpectedNum"]), (&json!(push), &json!(3)));
                ahead = true;
            }
        }
    }
    assert_eq!(client.push(&[plain(4, "x")]), success());
}

/// The events' positions come from their clients: whoever is told that the log has moved on tries again behind it.
// Verifies: L1, L4
#[test]
fn clients_that_push_at_once_get_their_places_one_after_another() {
    const CLIENTS: u64 = 8;
    const EACH: u64 = 25;
    let site = Site::new();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let site = &site;
            scope.spawn(move || {
                let mut socket = site.client("a");
                let (mut head, mut done) = (0, 0);
                while done < EACH {
                    let mut next = plain(head + 1, &format!("{client}-{done}"));
                    next["clientId"] = json!(format!("client-{client}"));
                    let exit = socket.push(&[next]);
                    if exit["_tag"] == "Success" {
                        (head, done) = (head + 1, done + 1);
                    } else {
                        head = error(&exit)["minimumExpectedNum"].as_u64().unwrap();
                    }
                }
            });
        }
    });
    let history = site.client("a").history();
    let seqs: Vec<u64> = history.iter().map(|event| event["seqNum"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=CLIENTS * EACH).collect::<Vec<_>>());
    for client in 0..CLIENTS {
        let own = history.iter().filter(|event| event["clientId"] == format!("client-{client}").as_str());
        let texts: Vec<_> = own.map(|event| event["args"]["text"].as_str().unwrap().to_owned()).collect();
        assert_eq!(texts, (0..EACH).map(|n| format!("{client}-{n}")).collect::<Vec<_>>());
    }
}

#[test]
fn calls_over_http_and_websocket_meet_in_one_log() {
    let site = Site::new();
    let mut socket = site.client("a");
    let live = socket.pulls(true, None);
    let backend = backend_of(&socket.hears());
    socket.acks(&live);
    let push = json!({"_tag": "Request", "id": "1", "tag": "SyncHttpRpc.Push", "payload": {"storeId": "a", "batch": batch(1..=2),
        "backendId": {"_tag": "Some", "value": backend}}});
    let exit = json!([{"_tag": "Exit", "requestId": "1", "exit": success()}]);
    for _ in 0..2 {
        let (status, body) = post(site.addr(), "a", &push.to_string());
        assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, exit.clone()), "also when it is repeated");
    }
    assert_eq!(seqs_of(&socket.hears()), [1, 2]);
    assert_eq!(socket.push(&batch(3..=250)), success());
    let pull = json!({"_tag": "Request", "id": 2, "tag": "SyncHttpRpc.Pull", "payload": {"storeId": "a", "cursor": {"_tag": "Some",
        "value": {"backendId": backend, "eventSequenceNumber": 1}}}});
    let (status, body) = post(site.addr(), "a", &pull.to_string());
    let messages: Vec<Value> = serde_json::from_str(&body).unwrap();
    let (end, pages) = messages.split_last().unwrap();
    assert_eq!((status, end["exit"].clone()), (200, json!({"_tag": "Success", "value": null})));
    assert_eq!(pages.iter().flat_map(seqs_of).collect::<Vec<_>>(), (2..=250).collect::<Vec<_>>());
    let remaining: Vec<_> = pages.iter().map(|page| page["values"][0]["pageInfo"]["remaining"].as_u64()).collect();
    assert_eq!(remaining, [Some(149), Some(49), None]);
}
