//! What goes wrong on a network, between stores on each driver and a real server, over each transport: when it is over, every receipt
//! settles, every event is in the log once, and a new commit is confirmed.

use std::time::Duration;

use countersign::{LogState, Reader, core::Pos};
use tests::driver::Driver;
use tests::proxy::Fault;
use tests::todos::{assert_sound, note, settled, until};

use super::place::{Line, Network, Place};

const FAULTS: [Fault; 7] = [
    Fault::Refuse,
    Fault::CutRequest,
    Fault::CutReply,
    Fault::Delay(Duration::from_millis(40)),
    Fault::Garbage,
    Fault::Silent,
    Fault::Drip(7),
];

fn all_faults(driver: Driver, network: Network) {
    let place = Place::new(driver, network);
    let (anna, ben) = (place.client("anna"), place.client("ben"));
    let Line::Proxied(proxy) = &anna.line else { panic!("a real network") };
    let mut written = Vec::new();
    let mut receipts = Vec::new();
    for (round, fault) in FAULTS.into_iter().enumerate() {
        proxy.break_with(fault);
        for n in 0..5 {
            let text = format!("anna {round}.{n}");
            receipts.push((fault, anna.store.commit(note(&text)).unwrap()));
            written.push(text);
        }
        for n in 0..3 {
            let text = format!("ben {round}.{n}");
            settled(&ben.store.commit(note(&text)).unwrap().backend_sync).unwrap();
            written.push(text);
        }
        // The echo of a push that the server has carried out settles it: nothing is pushed again, or lost again.
        let harm = if fault == Fault::CutReply { 1 } else { 2 };
        until(&format!("{fault:?} has done harm"), || proxy.hits() >= harm);
        proxy.heal();
        // As soon as it is tried again: nobody says that the network is back.
        for (fault, receipt) in receipts.drain(..) {
            assert!(settled(&receipt.backend_sync).unwrap().position().is_some(), "{fault:?}");
        }
        let fresh = anna.store.commit(note(format!("fresh {round}"))).unwrap();
        settled(&fresh.backend_sync).unwrap();
        written.push(format!("fresh {round}"));
    }
    let end = written.len() as u64;
    [&anna, &ben].into_iter().for_each(|client| client.is_synced_to(end));
    assert_eq!(anna.log(), ben.log());
    assert_eq!(anna.store.dump(), ben.store.dump());

    // Each once, and those of one author in his order.
    let rows = Reader::open(&anna.path).unwrap().log(Pos::ROOT, usize::MAX >> 1).unwrap();
    assert!(rows.iter().all(|row| row.state == LogState::Confirmed));
    let text = |args: &str| serde_json::from_str::<serde_json::Value>(args).unwrap()["text"].as_str().unwrap().to_owned();
    let log: Vec<String> = rows.iter().map(|row| text(&row.entry.event.args)).collect();
    let of = |texts: &[String], author: &str| -> Vec<String> {
        texts.iter().filter(|text| text.starts_with("ben") == (author == "ben")).cloned().collect()
    };
    for author in ["anna", "ben"] {
        assert_eq!(of(&log, author), of(&written, author));
    }
    let paths = [anna.path.clone(), ben.path.clone()];
    drop((anna, ben));
    paths.iter().for_each(|path| assert_sound(path));
}

/// Verifies: L4, L6, V3, R4, R5
#[test]
fn threads_over_websockets() {
    all_faults(Driver::Blocking, Network::Ws);
}

/// Verifies: L4, L6, V3, R4, R5
#[test]
fn threads_over_http() {
    all_faults(Driver::Blocking, Network::Http);
}

/// Verifies: L4, L6, V3, R4, R5
#[test]
fn tasks_over_websockets() {
    all_faults(Driver::Smol, Network::Ws);
}

/// Verifies: L4, L6, V3, R4, R5
#[test]
fn tasks_over_http() {
    all_faults(Driver::Smol, Network::Http);
}
