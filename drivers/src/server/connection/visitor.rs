//! Who is connected, to which store, and what it may do there.

use std::sync::Arc;

use super::super::access::{Credentials, Denied, Grant};
use super::super::eventlogs::Eventlog;
use super::super::host::Host;

/// A client at one store.
pub(super) struct Visitor {
    pub(super) host: Arc<Host>,
    pub(super) store_id: Box<str>,
    pub(super) log: Arc<Eventlog>,
    pub(super) grant: Grant,
    credentials: Credentials,
    /// The tokens that the grant was made of.
    edition: u64,
}

impl Visitor {
    pub(super) fn new(
        host: Arc<Host>,
        store_id: &str,
        log: Arc<Eventlog>,
        grant: Grant,
        credentials: Credentials,
        edition: u64,
    ) -> Self {
        Self { host, store_id: store_id.into(), log, grant, credentials, edition }
    }

    /// Looks at the tokens again, if they have changed.
    pub(super) fn check(&mut self) -> Result<(), Denied> {
        let edition = self.host.access.edition();
        if edition != self.edition {
            self.grant = self.host.access.grant(&self.credentials, &self.store_id)?;
            self.edition = edition;
        }
        Ok(())
    }
}
