//! A scene with real stores.

use std::path::PathBuf;

use countersign::backend::EmbeddedBackend;
use countersign::core::{Pos, SyncState};
use countersign::rusqlite::Connection;
use countersign::{CommitId, MaterialiseError, News, Reader, Schema, Settled, Store};
use serde::{Deserialize, Serialize};

use super::{Deed, Scene, Told, log_line, receipt_line, state_line};
use crate::driver::Driver;
use crate::todos::{LONG, config, settled};

/// The event that fails if there is nothing to delete.
#[derive(Serialize, Deserialize)]
struct Delete {
    k: u64,
    v: u64,
}

impl countersign::EventType for Delete {
    const NAME: &'static str = "v1.Delete";
}

/// What the simulated world's materialiser does, in SQL.
fn schema() -> Schema {
    let append = "INSERT INTO synced (k, v) VALUES (:k, :v + 1) ON CONFLICT (k) DO UPDATE SET v = v * 31 + excluded.v";
    let put = |table: &str| {
        format!("INSERT INTO {table} (k, v) VALUES (:k, :v) ON CONFLICT (k) DO UPDATE SET v = excluded.v")
    };
    Schema::builder(1)
        .state_sql("CREATE TABLE synced (k INTEGER PRIMARY KEY, v INTEGER NOT NULL) STRICT")
        .state_sql("CREATE TABLE local (k INTEGER PRIMARY KEY, v INTEGER NOT NULL) STRICT")
        .event_sql("v1.Append", false, [append])
        .event_sql("v1.Put", false, [put("synced")])
        .event_sql("v1.Insert", false, ["INSERT INTO synced (k, v) VALUES (:k, :v)"])
        .event::<Delete>(|db, delete| match db.execute("DELETE FROM synced WHERE k = ?1", [delete.k])? {
            0 => Err(MaterialiseError::from("there is no such row".to_owned())),
            _ => Ok(()),
        })
        .event_sql("ui.Set", true, [put("local")])
        .event_sql("ui.Insert", true, ["INSERT INTO local (k, v) VALUES (:k, :v)"])
        .build()
        .expect("the schema is good")
}

struct Client {
    path: PathBuf,
    backend: EmbeddedBackend,
    driver: Driver,
    store: Store,
    online: bool,
}

impl Client {
    fn open(path: PathBuf, backend: EmbeddedBackend, driver: Driver) -> Self {
        let store = Self::start(&path, &backend, driver);
        Self { path, backend, driver, store, online: true }
    }

    fn start(path: &PathBuf, backend: &EmbeddedBackend, driver: Driver) -> Store {
        let opener = Store::open(path).schema(schema()).config(config()).backend(backend.clone());
        driver.open(opener).expect("the store opens")
    }

    fn restart(&mut self) {
        assert!(self.store.close(LONG).persisted);
        self.store = Self::start(&self.path, &self.backend, self.driver);
    }

    fn go(&mut self, online: bool) {
        self.online = online;
        if online {
            self.backend.switch().on();
            self.store.tell(News::Online);
        } else {
            self.backend.switch().off();
        }
    }

    /// Synced if it is online, else all is stored.
    fn rest(&self, head: u64) {
        let rested = self.store.wait_until(LONG, |status| {
            let synced = status.sync == SyncState::Synced && status.pending_events == 0 && status.upstream_head.global == head;
            let lost = matches!(status.sync, SyncState::Offline { .. });
            status.drained && status.stored && status.sessions_behind == 0 && if self.online { synced } else { lost }
        });
        assert!(rested.is_ok(), "{} does not come to rest at e{head}: {rested:?}", self.path.display());
    }
}

/// Everybody is at rest. Pushes make the log grow meanwhile, so the head is looked at again.
fn rest(clients: &[Client]) {
    loop {
        let head = || clients[0].backend.head().expect("the backend is read");
        let before = head();
        clients.iter().filter(|client| client.online).for_each(|client| pushed(client));
        if head() == before {
            clients.iter().for_each(|client| client.rest(before));
            return;
        }
    }
}

/// Nothing of this client waits for the backend any more.
fn pushed(client: &Client) {
    let done = client.store.wait_until(LONG, |status| status.drained && status.pending_events == 0);
    assert!(done.is_ok(), "{} does not push: {done:?}", client.path.display());
}

pub(super) fn play(scene: &Scene, driver: Driver) -> Told {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let log = folder.path().join("backend.db");
    let open = |c: usize| {
        let backend = EmbeddedBackend::open(&log).expect("the backend opens");
        Client::open(folder.path().join(format!("{c}.db")), backend, driver)
    };
    let mut clients: Vec<Client> = (0..scene.clients).map(open).collect();
    let mut commits: Vec<(usize, Option<CommitId>)> = Vec::new();
    rest(&clients);
    for deed in &scene.deeds {
        match deed {
            Deed::Commit(c, events) => commits.push((*c, clients[*c].store.commit(events.clone()).ok().map(|receipt| receipt.id()))),
            Deed::ReplyLost(c, events) => {
                clients[*c].backend.lose_next_replies(1);
                commits.push((*c, clients[*c].store.commit(events.clone()).ok().map(|receipt| receipt.id())));
            }
            Deed::Offline(c) => clients[*c].go(false),
            Deed::Online(c) => clients[*c].go(true),
            Deed::Restart(c) => clients[*c].restart(),
        }
        rest(&clients);
    }
    clients.iter_mut().for_each(|client| client.go(true));
    rest(&clients);
    let told = told(&clients, &commits);
    for client in &clients {
        assert!(client.store.close(LONG).persisted);
    }
    told
}

fn told(clients: &[Client], commits: &[(usize, Option<CommitId>)]) -> Told {
    let mut told = Told::new();
    for &(c, id) in commits {
        let Some(id) = id else {
            told.push(receipt_line(c, "never", "never"));
            continue;
        };
        let receipt = clients[c].store.receipt(id).expect("the store is read").expect("the receipt is found");
        let say = |stage| match settled(stage) {
            Ok(Settled::Persisted) => "ok".to_owned(),
            Ok(Settled::Confirmed(confirmation)) => format!("at {:?}", confirmation.positions),
            Ok(Settled::NotApplicable) => "not applicable".to_owned(),
            Err(_) => "failed".to_owned(),
        };
        told.push(receipt_line(c, &say(&receipt.leader_sync), &say(&receipt.backend_sync)));
    }
    for (c, client) in clients.iter().enumerate() {
        let mut reader = Reader::open(&client.path).expect("the store is read");
        let rows = reader.log(Pos::ROOT, usize::MAX >> 1).expect("the store is read");
        told.extend(rows.iter().map(|row| log_line(c, &row.entry, row.skip.is_none())));
        let pairs = |table: &str| {
            let read = |db: &Connection| {
                let mut rows = db.prepare(&format!("SELECT k, v FROM {table} ORDER BY k"))?;
                let rows = rows.query_map([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)))?;
                rows.collect::<Result<Vec<_>, _>>()
            };
            client.store.query(read).expect("the state is read")
        };
        told.push(state_line(c, &pairs("synced"), &pairs("local")));
    }
    told
}
