//! Plays a scene wherever it can be played.

use countersign_core::{Batch, CommitId, Status};

use super::told::{self, NAMES, Seen, Told};
use super::{Deed, Scene};
use crate::world::Violation;

/// Where a scene can be played.
pub(super) trait Stage {
    /// Commits in one of the client's open sessions; nothing if the commit is not taken.
    fn commit(&mut self, client: usize, session: usize, batch: Batch) -> Result<Option<CommitId>, Violation>;
    /// The reply to the next push that is taken is lost.
    fn lose_next_reply(&mut self, client: usize);
    fn open_session(&mut self, client: usize) -> Result<(), Violation>;
    fn withdraw(&mut self, client: usize, commit: CommitId) -> Result<(), Violation>;
    fn go(&mut self, client: usize, online: bool) -> Result<(), Violation>;
    fn restart(&mut self, client: usize) -> Result<(), Violation>;
    fn reset_backend(&mut self) -> Result<(), Violation>;
    fn accept_backend(&mut self, client: usize) -> Result<(), Violation>;
    /// Everybody is at rest.
    fn rest(&mut self) -> Result<(), Violation>;
    /// The leader's stage and the backend's.
    fn receipt(&self, client: usize, commit: CommitId) -> (Seen, Seen);
    fn status(&self, client: usize) -> Result<Status, Violation>;
    /// The log and what is in the two tables, of a client at rest.
    fn end(&self, client: usize) -> Told;
}

/// What has been told, and how it stood then.
struct Teller {
    told: Told,
    commits: Vec<(usize, Option<CommitId>, String)>,
    syncs: Vec<String>,
}

pub(super) fn play(scene: &Scene, stage: &mut impl Stage) -> Result<Told, Violation> {
    let mut teller = Teller { told: Told::new(), commits: Vec::new(), syncs: vec![String::new(); scene.clients] };
    stage.rest()?;
    teller.changes(stage)?;
    for deed in &scene.deeds {
        teller.told.push(format!("{deed}:"));
        act(deed, stage, &mut teller)?;
        stage.rest()?;
        teller.changes(stage)?;
    }
    teller.told.push("In the end:".into());
    if scene.backend {
        // One after the other: who is first is the order of the log.
        for client in 0..scene.clients {
            stage.go(client, true)?;
            stage.rest()?;
        }
    }
    teller.changes(stage)?;
    (0..scene.clients).for_each(|client| teller.told.extend(stage.end(client)));
    Ok(teller.told)
}

fn act(deed: &Deed, stage: &mut impl Stage, teller: &mut Teller) -> Result<(), Violation> {
    match deed {
        Deed::Commit(client, session, batch) => {
            let id = stage.commit(*client, *session, batch.clone())?;
            teller.commits.push((*client, id, String::new()));
        }
        Deed::ReplyLost(client, batch) => {
            stage.lose_next_reply(*client);
            let id = stage.commit(*client, 0, batch.clone())?;
            teller.commits.push((*client, id, String::new()));
        }
        Deed::Open(client) => stage.open_session(*client)?,
        Deed::Withdraw(number) => {
            // One that was not taken can't be withdrawn.
            if let Some(&(client, Some(id), _)) = teller.commits.get(*number) {
                stage.withdraw(client, id)?;
            }
        }
        Deed::Offline(client) => stage.go(*client, false)?,
        Deed::Online(client) => stage.go(*client, true)?,
        Deed::Restart(client) => stage.restart(*client)?,
        Deed::Reset => stage.reset_backend()?,
        Deed::Accept(client) => stage.accept_backend(*client)?,
    }
    Ok(())
}

impl Teller {
    /// What stands otherwise than it did.
    fn changes(&mut self, stage: &impl Stage) -> Result<(), Violation> {
        for (client, before) in self.syncs.iter_mut().enumerate() {
            let now = told::sync(&stage.status(client)?);
            if now != *before {
                self.told.push(format!("  {} is {now}", NAMES[client]));
                *before = now;
            }
        }
        for (number, (client, id, before)) in self.commits.iter_mut().enumerate() {
            let seen = id.map_or((Seen::Never, Seen::Never), |id| stage.receipt(*client, id));
            let now = told::receipt(&seen);
            if now != *before {
                self.told.push(format!("  commit {} of {}: {now}", number + 1, NAMES[*client]));
                *before = now;
            }
        }
        Ok(())
    }
}
