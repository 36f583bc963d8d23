//! What happens, told so that it reads the same wherever it happens.

use countersign::{CommitReceipt, Settled};
use tests::todos::{LONG, filter, note, settled, todo};

use super::place::{Client, Place};

/// A scenario by its name.
pub(crate) type Scenario = (&'static str, fn(&Place) -> Vec<String>);

pub(crate) const ALL: [Scenario; 6] = [
    ("online", online),
    ("an outage, and others who write meanwhile", outage),
    ("a reply that gets lost", lost_reply),
    ("restarted offline", restarted),
    ("closed offline", closed),
    ("a commit that takes two pushes", large),
];

/// How a stage has settled: nothing that depends on time.
fn outcome(receipt: &CommitReceipt) -> String {
    let stage = |stage| match settled(stage) {
        Ok(Settled::Confirmed(confirmation)) => format!("at {:?}", confirmation.positions),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("failed: {error}"),
    };
    format!("leader {}, backend {}", stage(&receipt.leader_sync), stage(&receipt.backend_sync))
}

/// The logs of all, and whether their states are the same.
fn ending(clients: &[&Client], position: u64) -> Vec<String> {
    clients.iter().for_each(|client| client.is_synced_to(position));
    let logs: Vec<_> = clients.iter().map(|client| client.log()).collect();
    let states: Vec<_> = clients.iter().map(|client| client.store.dump().unwrap()).collect();
    let same = |all: &[String]| all.windows(2).all(|pair| pair[0] == pair[1]);
    let mut told = logs[0].clone();
    told.push(format!("same logs {}, same states {}", logs.windows(2).all(|pair| pair[0] == pair[1]), same(&states)));
    told
}

fn online(place: &Place) -> Vec<String> {
    let (anna, ben) = (place.client("anna"), place.client("ben"));
    let none: Vec<tests::todos::Noted> = Vec::new();
    let mut told = vec![
        outcome(&anna.store.commit(todo(1)).unwrap()),
        outcome(&anna.store.commit((todo(2), note("two"), note("three"))).unwrap()),
        outcome(&anna.store.commit(none).unwrap()),
    ];
    ben.is_synced_to(4);
    told.push(outcome(&ben.store.commit(todo(3)).unwrap()));
    told.push(format!("{:?}", ben.store.try_commit(todo(3)).is_err()));
    anna.is_synced_to(5);
    told.extend(ending(&[&anna, &ben], 5));
    // Of no concern to anybody else.
    told.push(outcome(&anna.store.commit(filter("done")).unwrap()));
    told
}

fn outage(place: &Place) -> Vec<String> {
    let (anna, ben) = (place.client("anna"), place.client("ben"));
    let mut told = vec![outcome(&anna.store.commit(note("a")).unwrap())];
    anna.go_offline();
    let pending = anna.store.commit((note("b"), note("c"))).unwrap();
    told.push(format!("{:?} {:?}", settled(&pending.leader_sync), pending.backend_sync.peek()));
    ben.is_synced_to(1);
    told.extend((0..3).map(|n| outcome(&ben.store.commit(note(n)).unwrap())));
    anna.go_online();
    told.push(outcome(&pending));
    told.extend(ending(&[&anna, &ben], 6));
    told
}

fn lost_reply(place: &Place) -> Vec<String> {
    let (anna, ben) = (place.client("anna"), place.client("ben"));
    let mut told = Vec::new();
    for n in 0..5 {
        anna.lose_replies();
        told.push(outcome(&anna.store.commit(note(n)).unwrap()));
        anna.go_online();
    }
    ben.is_synced_to(5);
    told.push(outcome(&ben.store.commit(note("last")).unwrap()));
    told.extend(ending(&[&anna, &ben], 6));
    told
}

fn restarted(place: &Place) -> Vec<String> {
    let (mut anna, ben) = (place.client("anna"), place.client("ben"));
    let mut told = vec![outcome(&anna.store.commit(note("a")).unwrap())];
    anna.go_offline();
    let id = anna.store.commit(note("b")).unwrap().id();
    anna = anna.restart();
    ben.is_synced_to(1);
    told.push(outcome(&ben.store.commit(note("c")).unwrap()));
    let found = anna.store.receipt(id).unwrap().unwrap();
    told.push(format!("{:?} {:?}", settled(&found.leader_sync), found.backend_sync.peek()));
    anna.go_online();
    told.push(outcome(&found));
    told.extend(ending(&[&anna, &ben], 3));
    told
}

fn closed(place: &Place) -> Vec<String> {
    let anna = place.client("anna");
    anna.go_offline();
    let receipt = anna.store.commit(note("a")).unwrap();
    let id = receipt.id();
    settled(&receipt.leader_sync).unwrap();
    let store = anna.store.clone();
    let report = store.close(LONG);
    let unresolved = report.unresolved == [id];
    let mut told = vec![format!("persisted {}, confirmed {}, unresolved {unresolved}", report.persisted, report.confirmed)];
    told.push(outcome(&receipt));
    let anna = anna.restart();
    anna.go_online();
    told.push(outcome(&anna.store.receipt(id).unwrap().unwrap()));
    told.extend(ending(&[&anna], 1));
    told
}

fn large(place: &Place) -> Vec<String> {
    let (anna, ben) = (place.client("anna"), place.client("ben"));
    let receipt = anna.store.commit((0..250).map(note).collect::<Vec<_>>()).unwrap();
    let mut told = vec![outcome(&receipt)];
    told.extend(ending(&[&anna, &ben], 250));
    told
}
