//! The scenarios.

use std::sync::Arc;

use countersign::backend::EmbeddedBackend;
use countersign::core::Config;
use countersign::rusqlite::Connection;
use countersign::{Durability, Event, IdentityPolicy, LookupError, OpenError, Settings, Store};
use serde_json::json;

use super::rig::{Rig, STORE, is_passing, wrong};
use super::scenario::{Run, Scenario};
use crate::todos::LONG;

/// All of them.
pub static ALL: [Scenario; 20] = [
    Scenario::new("creation", creation),
    Scenario { has_backend: false, setup: made, ..Scenario::new("commits", commits) },
    Scenario { durability: Durability::Process, setup: made, ..Scenario::new("process", process) },
    Scenario { setup: made, ..Scenario::new("groups", groups) },
    Scenario { setup: made, ..Scenario::new("pushing", pushing) },
    Scenario { setup: made, ..Scenario::new("lost replies", lost_replies) },
    Scenario { setup: made, ..Scenario::new("offline", offline) },
    Scenario { setup: overtaken, ..Scenario::new("rebase", rebase) },
    Scenario { setup: overtaken, durability: Durability::Process, ..Scenario::new("rebase, process", rebase) },
    Scenario { setup: contradicted, ..Scenario::new("poison", rebase) },
    Scenario { setup: made, ..Scenario::new("refused", refused) },
    Scenario { setup: made, ..Scenario::new("withdrawn", withdrawn) },
    Scenario {
        forgets: true,
        configure: |_, config| Config { identity: IdentityPolicy::Reset, ..config },
        setup: used,
        ..Scenario::new("reset", reset)
    },
    Scenario { schemas: &[1, 2], setup: used, ..Scenario::new("rebuild", opened) },
    Scenario { has_backend: false, setup: made, ..Scenario::new("checkpoint", checkpoint) },
    Scenario { has_backend: false, is_large: true, setup: made, ..Scenario::new("large commit", large) },
    Scenario { attaches: true, setup: local, ..Scenario::new("attaching a backend", opened) },
    Scenario { setup: running, ..Scenario::new("recovery", opened) },
    Scenario { setup: running, ..Scenario::new("closing", closing) },
    Scenario::new("settings", settings),
];

/// A line in the journal.
pub(super) fn noted(text: &str) -> Event {
    event("v1.Noted", json!({ "text": text }), false)
}

pub(super) fn todo(id: u32) -> Event {
    event("v1.TodoCreated", json!({ "id": id.to_string(), "text": "to be done" }), false)
}

pub(super) fn filter(filter: &str) -> Event {
    event("v1.FilterSet", json!({ "filter": filter }), true)
}

fn event(name: &str, args: serde_json::Value, client_only: bool) -> Event {
    Event { name: name.into(), args: args.to_string().into(), client_only }
}

pub(super) fn notes(what: &str, count: usize) -> Vec<Event> {
    (0..count).map(|n| noted(&format!("{what} {n}"))).collect()
}

// What there is before.

/// A store, and its backend, with nothing in them.
pub(super) fn made(rig: &Rig) -> Run<Vec<Store>> {
    let store = rig.open()?;
    rig.sync(&store)?;
    rig.close(store)?;
    Ok(Vec::new())
}

/// A store with a history under the first schema, all of it confirmed but the end.
pub(super) fn used(rig: &Rig) -> Run<Vec<Store>> {
    let backend = rig.backend()?;
    let schema = super::rig::schema(1)?;
    let store = rig.open_with(STORE, |opener| opener.schema(schema.clone()).backend(backend.clone()))?;
    for n in 0..4 {
        rig.commit(&store, notes(&format!("confirmed {n}"), 8))?;
        rig.commit(&store, vec![todo(n), filter("all")])?;
    }
    rig.sync(&store)?;
    backend.switch().off();
    rig.commit(&store, notes("pending", 3))?;
    rig.store_all(&store)?;
    rig.close(store)?;
    Ok(Vec::new())
}

/// A store that never had a backend.
pub(super) fn local(rig: &Rig) -> Run<Vec<Store>> {
    let store = rig.open_with(STORE, |opener| opener)?;
    for n in 0..5 {
        rig.commit(&store, vec![noted("local"), todo(n), filter("done")])?;
    }
    rig.commit(&store, notes("a local lot", 120))?;
    rig.store_all(&store)?;
    rig.close(store)?;
    Ok(Vec::new())
}

/// A store in the middle of its work, with a log that SQLite has not moved into the database.
pub(super) fn running(rig: &Rig) -> Run<Vec<Store>> {
    let backend = rig.backend()?;
    let store = rig.open_with(STORE, |opener| opener.backend(backend.clone()))?;
    rig.commit(&store, notes("confirmed", 5))?;
    rig.sync(&store)?;
    backend.switch().off();
    rig.commit(&store, vec![noted("pending"), todo(1), filter("all")])?;
    rig.store_all(&store)?;
    Ok(vec![store])
}

/// A store with pending commits, and a backend in which others were faster.
pub(super) fn overtaken(rig: &Rig) -> Run<Vec<Store>> {
    made(rig)?;
    behind(rig, &[vec![noted("ours"), todo(1)], vec![filter("ours")], notes("ours, several", 4)])?;
    ahead(rig, &[notes("theirs", 5), vec![todo(2)]])
}

/// As [`overtaken`], and one of the pending commits can't be applied behind the others.
pub(super) fn contradicted(rig: &Rig) -> Run<Vec<Store>> {
    made(rig)?;
    behind(rig, &[vec![noted("before it")], vec![noted("with it"), todo(1)], vec![noted("after it")]])?;
    ahead(rig, &[vec![todo(1)]])
}

fn behind(rig: &Rig, commits: &[Vec<Event>]) -> Run {
    let backend = rig.backend()?;
    backend.switch().off();
    let store = rig.open_with(STORE, |opener| opener.backend(backend.clone()))?;
    for events in commits {
        rig.commit(&store, events.clone())?;
    }
    rig.store_all(&store)?;
    rig.close(store)
}

fn ahead(rig: &Rig, commits: &[Vec<Event>]) -> Run<Vec<Store>> {
    let backend = rig.backend()?;
    let others = rig.open_with("others.db", |opener| opener.backend(backend.clone()))?;
    for events in commits {
        others.commit(events.clone()).map_err(wrong)?;
    }
    rig.sync(&others)?;
    rig.close(others)?;
    Ok(Vec::new())
}

// What is done.

fn creation(rig: &Rig) -> Run {
    let store = rig.open()?;
    rig.commit(&store, vec![noted("first"), todo(1)])?;
    rig.sync(&store)
}

fn commits(rig: &Rig) -> Run {
    let store = rig.open()?;
    for n in 0..4 {
        rig.commit(&store, vec![noted("one"), todo(n)])?;
        rig.store_all(&store)?;
    }
    rig.commit(&store, notes("many", 40))?;
    rig.commit(&store, vec![filter("all")])?;
    rig.commit(&store, Vec::new())?;
    rig.store_all(&store)
}

fn process(rig: &Rig) -> Run {
    let store = rig.open()?;
    for n in 0..5 {
        rig.commit(&store, vec![noted("one"), todo(n)])?;
        rig.store_all(&store)?;
    }
    rig.sync(&store)?;
    rig.commit(&store, notes("more", 10))?;
    rig.sync(&store)
}

/// While the disk is slow, commits of two sessions gather.
fn groups(rig: &Rig) -> Run {
    let store = rig.open()?;
    let other = store.session().map_err(wrong);
    rig.disk.hold();
    rig.commit(&store, vec![noted("the one that is being written")])?;
    let _ = rig.disk.wait_held(LONG);
    for n in 0..6 {
        rig.commit(&store, vec![noted("gathered"), filter(&n.to_string())])?;
        if let Ok(other) = &other {
            let events = vec![noted("of the other session"), todo(n)];
            let count = events.len();
            let receipt = other.commit(events).map_err(wrong)?;
            rig.ledger.lock().commit(receipt, count);
        }
    }
    rig.disk.release();
    rig.sync(&store)
}

fn pushing(rig: &Rig) -> Run {
    let store = rig.open()?;
    rig.commit(&store, vec![noted("one")])?;
    rig.sync(&store)?;
    // Larger than a push.
    rig.commit(&store, notes("split", 150))?;
    rig.commit(&store, vec![filter("none of theirs"), noted("behind it")])?;
    rig.sync(&store)?;
    rig.commit(&store, vec![todo(1)])?;
    rig.sync(&store)
}

fn lost_replies(rig: &Rig) -> Run {
    let (backend, store) = open_beside(rig)?;
    backend.lose_next_replies(2);
    rig.commit(&store, notes("taken, and nobody says so", 3))?;
    rig.sync(&store)?;
    backend.fail_next_pushes(1);
    backend.lose_next_replies(1);
    rig.commit(&store, vec![noted("again"), todo(1)])?;
    rig.commit(&store, vec![noted("behind it")])?;
    rig.sync(&store)
}

fn offline(rig: &Rig) -> Run {
    let (backend, store) = open_beside(rig)?;
    backend.switch().off();
    for n in 0..5 {
        rig.commit(&store, vec![noted("meanwhile"), todo(n)])?;
    }
    rig.store_all(&store)?;
    backend.switch().on();
    rig.sync(&store)
}

fn rebase(rig: &Rig) -> Run {
    let store = rig.open()?;
    find_again(rig, &store)?;
    rig.commit(&store, vec![noted("on top")])?;
    rig.sync(&store)
}

fn refused(rig: &Rig) -> Run {
    let (backend, store) = open_beside(rig)?;
    backend.refuse(|own| own.event.args.contains("\"2\""), true, "not here");
    for n in 1..4 {
        rig.commit(&store, vec![noted("with it"), todo(n)])?;
    }
    rig.sync(&store)
}

fn withdrawn(rig: &Rig) -> Run {
    let (backend, store) = open_beside(rig)?;
    backend.switch().off();
    rig.commit(&store, vec![todo(1)])?;
    let regretted = rig.commit(&store, vec![noted("regretted"), todo(2)])?;
    rig.commit(&store, vec![todo(3)])?;
    rig.store_all(&store)?;
    store.withdraw(regretted);
    // A push that is on its way could still arrive.
    rig.settle(regretted)?;
    rig.store_all(&store)?;
    backend.switch().on();
    rig.sync(&store)
}

fn reset(rig: &Rig) -> Run {
    let (backend, store) = open_beside(rig)?;
    find_again(rig, &store)?;
    rig.sync(&store)?;
    backend.switch().off();
    rig.commit(&store, vec![noted("pending when it happens")])?;
    rig.store_all(&store)?;
    rig.again("the backend is reset", |_| true, || backend.reset())?;
    backend.switch().on();
    rig.sync(&store)?;
    rig.commit(&store, vec![noted("of the new history"), todo(1)])?;
    rig.sync(&store)
}

fn opened(rig: &Rig) -> Run {
    let store = rig.open()?;
    find_again(rig, &store)?;
    rig.commit(&store, vec![noted("after opening")])?;
    rig.sync(&store)
}

/// SQLite moves its log into the database, in each of its ways, and begins it anew.
fn checkpoint(rig: &Rig) -> Run {
    let store = rig.open()?;
    for how in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] {
        rig.commit(&store, notes(&"x".repeat(2_000), 6))?;
        rig.store_all(&store)?;
        // As a tool does that somebody runs beside. It may fail as anything may.
        if let Ok(tool) = Connection::open(rig.path(STORE)) {
            let _ = tool.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(()));
        }
        rig.commit(&store, vec![noted("behind it")])?;
        rig.store_all(&store)?;
    }
    Ok(())
}

/// Larger than what SQLite's log takes before it is moved by itself.
fn large(rig: &Rig) -> Run {
    let store = rig.open()?;
    rig.commit(&store, notes(&"x".repeat(700_000), 6))?;
    rig.store_all(&store)?;
    rig.commit(&store, vec![noted("behind it")])?;
    rig.store_all(&store)
}

fn closing(rig: &Rig) -> Run {
    for n in 0..2 {
        let store = rig.open()?;
        find_again(rig, &store)?;
        rig.commit(&store, vec![noted("before the end"), todo(10 + n)])?;
        rig.close(store)?;
    }
    Ok(())
}

fn settings(rig: &Rig) -> Run {
    let schema = "version = 1\n[state]\nsql = \"CREATE TABLE t (id INTEGER PRIMARY KEY)\"\n[events.\"v1.Noted\"]\n";
    let mut settings = Settings::new(schema);
    rig.again("init", is_passing, || match Store::init(rig.path(STORE), &settings) {
        // A first try that was not heard of has made it.
        Err(OpenError::Exists { .. }) if rig.disk.failed() > 0 => Ok(()),
        made => made,
    })?;
    settings.backend = Some("embedded:backend.db".to_owned());
    rig.again("set settings", is_passing, || Store::set_settings(rig.path(STORE), &settings))?;
    let store = rig.open()?;
    rig.commit(&store, vec![noted("first")])?;
    rig.sync(&store)
}

/// The store, and a handle on its backend that can make trouble.
fn open_beside(rig: &Rig) -> Run<(EmbeddedBackend, Store)> {
    let backend = rig.backend()?;
    let store = rig.open_with(STORE, |opener| opener.backend(backend.clone()))?;
    Ok((backend, store))
}

/// Follows the receipts of earlier sessions too.
pub(super) fn find_again(rig: &Rig, store: &Store) -> Run {
    let known: Arc<[_]> = rig.ledger.lock().commits.keys().copied().collect();
    for &id in known.iter() {
        let is_passing = |error: &LookupError| matches!(error, LookupError::Storage(_));
        let found = rig.again("a receipt", is_passing, || store.receipt(id))?;
        if let Some(receipt) = found {
            rig.ledger.lock().found(receipt);
        }
    }
    Ok(())
}
