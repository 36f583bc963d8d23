//! A scene with real stores.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use countersign::backend::EmbeddedBackend;
use countersign::core::Pos;
use countersign::rusqlite::Connection;
use countersign::{CommitId, CommitReceipt, IdentityPolicy, News, Reader, Schema, Session, Settled, Store, SyncStage};
use countersign_core::{Batch, Status};

use super::Scene;
use super::player::Stage;
use super::told::{self, Seen, Told};
use crate::driver::Driver;
use crate::todos::{LONG, config};
use crate::world::Violation;
use crate::world::state::{FORBIDDEN, STUCK};

pub(super) struct Real {
    /// For looking at the log, and for what happens to it.
    backend: EmbeddedBackend,
    clients: Vec<Client>,
    _folder: tempfile::TempDir,
}

struct Client {
    path: PathBuf,
    driver: Driver,
    /// Its own handle, and with it its own line to the log.
    backend: Option<EmbeddedBackend>,
    online: bool,
    /// Nothing while it is restarted.
    store: Option<Store>,
    /// Those after the store's own.
    sessions: Vec<Session>,
    /// Of commits of this life; those of earlier ones are looked up.
    receipts: BTreeMap<CommitId, CommitReceipt>,
}

/// What the simulated world's materialiser does, in SQL.
fn schema() -> Schema {
    let put = |table: &str| format!("INSERT INTO {table} (k, v) VALUES (:k, :v) ON CONFLICT (k) DO UPDATE SET v = excluded.v");
    let schema = Schema::builder(1)
        .state_sql("CREATE TABLE synced (k INTEGER PRIMARY KEY, v INTEGER NOT NULL) STRICT")
        .state_sql("CREATE TABLE local (k INTEGER PRIMARY KEY, v INTEGER NOT NULL) STRICT")
        .state_sql("CREATE TABLE never (k INTEGER CHECK (k IS NULL)) STRICT")
        .event_sql(
            "v1.Append",
            false,
            ["INSERT INTO synced (k, v) VALUES (:k, :v + 1) ON CONFLICT (k) DO UPDATE SET v = v * 31 + excluded.v"],
        )
        .event_sql("v1.Put", false, [put("synced")])
        .event_sql("v1.Insert", false, ["INSERT INTO synced (k, v) VALUES (:k, :v)"])
        .event_sql(
            "v1.Delete",
            false,
            [
                // There has to be such a row.
                "INSERT INTO never (k) SELECT :k WHERE NOT EXISTS (SELECT 1 FROM synced WHERE k = :k)",
                "DELETE FROM synced WHERE k = :k",
            ],
        )
        .event_sql(FORBIDDEN, false, [put("synced")])
        .event_sql(STUCK, false, [put("synced")])
        .event_sql("ui.Set", true, [put("local")])
        .event_sql("ui.Insert", true, ["INSERT INTO local (k, v) VALUES (:k, :v)"])
        .guard_sql("v1.Free", "SELECT NOT EXISTS (SELECT 1 FROM synced WHERE k = :k)", Some("it is taken"))
        .guard_sql("v1.Taken", "SELECT EXISTS (SELECT 1 FROM synced WHERE k = :k)", Some("it is free"));
    schema.build().expect("the schema is good")
}

impl Client {
    fn open(path: PathBuf, backend: Option<EmbeddedBackend>, driver: Driver) -> Self {
        let mut client =
            Self { path, driver, backend, online: true, store: None, sessions: Vec::new(), receipts: BTreeMap::new() };
        client.start();
        client
    }

    fn start(&mut self) {
        let mut opener = Store::open(&self.path).schema(schema()).config(config());
        if let Some(backend) = &self.backend {
            opener = opener.backend(backend.clone());
        }
        self.store = Some(self.driver.open(opener).expect("the store opens"));
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("it is started as soon as it has ended")
    }

    fn end(&mut self) {
        self.sessions.clear();
        self.receipts.clear();
        if let Some(store) = self.store.take() {
            assert!(store.close(LONG).persisted, "{} is closed in order", self.path.display());
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // After a failure the rest does not matter.
        if !std::thread::panicking() {
            self.end();
        }
    }
}

impl Real {
    pub(super) fn new(scene: &Scene, driver: Driver) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let log = folder.path().join("backend.db");
        let clients = (0..scene.clients).map(|c| {
            let backend = scene.backend.then(|| line(&log));
            Client::open(folder.path().join(format!("{c}.db")), backend, driver)
        });
        let clients = clients.collect();
        Self { backend: EmbeddedBackend::open(&log).expect("the backend opens"), clients, _folder: folder }
    }

    fn backend(&self) -> (String, u64) {
        let identity = self.backend.identity().expect("the backend is read");
        (identity.to_string(), self.backend.head().expect("the backend is read"))
    }
}

/// One client's line to the log. Behind it what the simulated backend refuses is refused.
fn line(log: &Path) -> EmbeddedBackend {
    let line = EmbeddedBackend::open(log).expect("the backend opens");
    line.refuse(|own| *own.event.name == *FORBIDDEN, true, "forbidden");
    line.refuse(|own| *own.event.name == *STUCK, false, "internal error 7");
    line
}

impl Stage for Real {
    fn commit(&mut self, client: usize, session: usize, batch: Batch) -> Result<Option<CommitId>, Violation> {
        let client = &mut self.clients[client];
        let receipt = match session.checked_sub(1) {
            None => client.store().commit(batch),
            Some(other) => client.sessions[other].commit(batch),
        };
        let Ok(receipt) = receipt else { return Ok(None) };
        let id = receipt.id();
        client.receipts.insert(id, receipt);
        Ok(Some(id))
    }

    fn lose_next_reply(&mut self, client: usize) {
        if let Some(backend) = &self.clients[client].backend {
            backend.lose_next_replies(1);
        }
    }

    fn open_session(&mut self, client: usize) -> Result<(), Violation> {
        let session = self.clients[client].store().session().expect("the session opens");
        self.clients[client].sessions.push(session);
        Ok(())
    }

    fn withdraw(&mut self, client: usize, commit: CommitId) -> Result<(), Violation> {
        self.clients[client].store().withdraw(commit);
        Ok(())
    }

    fn go(&mut self, client: usize, online: bool) -> Result<(), Violation> {
        let client = &mut self.clients[client];
        client.online = online;
        let Some(backend) = &client.backend else { return Ok(()) };
        if online {
            backend.switch().on();
            client.store().tell(News::Online);
        } else {
            backend.switch().off();
        }
        Ok(())
    }

    fn restart(&mut self, client: usize) -> Result<(), Violation> {
        self.clients[client].end();
        self.clients[client].start();
        Ok(())
    }

    fn reset_backend(&mut self) -> Result<(), Violation> {
        self.backend.reset().expect("the backend is written");
        Ok(())
    }

    fn accept_backend(&mut self, client: usize) -> Result<(), Violation> {
        self.clients[client].store().tell(News::Decide(IdentityPolicy::Reset));
        Ok(())
    }

    /// Pushes make the log grow meanwhile, so it is looked at again until all have seen the same.
    fn rest(&mut self) -> Result<(), Violation> {
        let began = Instant::now();
        'again: loop {
            for client in &self.clients {
                let rests = |status: &Status| {
                    let (id, head) = self.backend();
                    told::is_at_rest(status, client.online, (&id, head))
                };
                if let Err(status) = client.store().wait_until(LONG, rests) {
                    return Err(Violation::new("V1", format!("{} does not come to rest: {status:#?}", client.path.display())));
                }
            }
            for client in &self.clients {
                let (id, head) = self.backend();
                if !told::is_at_rest(&client.store().status(), client.online, (&id, head)) {
                    if began.elapsed() > LONG {
                        return Err(Violation::new("V1", "no rest in a scene"));
                    }
                    continue 'again;
                }
            }
            return Ok(());
        }
    }

    fn receipt(&self, client: usize, id: CommitId) -> (Seen, Seen) {
        let held = self.clients[client].receipts.get(&id).cloned();
        let found = || self.clients[client].store().receipt(id).expect("the store is read");
        let Some(receipt) = held.or_else(found) else { return (Seen::Never, Seen::Never) };
        let seen = |stage: &SyncStage| match stage.peek() {
            None => Seen::Open,
            Some(Ok(Settled::Persisted)) => Seen::Persisted,
            Some(Ok(Settled::Confirmed(confirmation))) => Seen::Confirmed(confirmation.positions.to_vec()),
            Some(Ok(Settled::NotApplicable)) => Seen::NotApplicable,
            Some(Ok(other)) => panic!("a stage settles as {other:?}, which scenes do not know"),
            Some(Err(error)) => Seen::Failed(error),
        };
        (seen(&receipt.leader_sync), seen(&receipt.backend_sync))
    }

    fn status(&self, client: usize) -> Result<Status, Violation> {
        Ok(self.clients[client].store().status())
    }

    fn end(&self, client: usize) -> Told {
        let Client { path, .. } = &self.clients[client];
        let mut reader = Reader::open(path).expect("the store is read");
        let rows = reader.log(Pos::ROOT, usize::MAX >> 1).expect("the store is read");
        let mut told: Told = rows.iter().map(|row| told::entry(client, &row.entry, row.skip.is_none())).collect();
        let pairs = |table: &str| {
            let read = |db: &Connection| {
                let mut rows = db.prepare(&format!("SELECT k, v FROM {table} ORDER BY k"))?;
                let rows =
                    rows.query_map([], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned())))?;
                rows.collect::<Result<Vec<_>, _>>()
            };
            self.clients[client].store().query(read).expect("the state is read")
        };
        told.push(told::state(client, &[pairs("synced"), pairs("local")]));
        told
    }
}
