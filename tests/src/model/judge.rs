//! What a receipt says, judged when it is said; and what a process leaves behind.

use std::collections::BTreeSet;

use countersign_core::{
    Certainty, CommitId, Confirmed, EventId, InvalidPush, Resolution, SessionId, Stage as Of, StuckPolicy, SyncError, Whereabouts,
};

use super::{Commit, Model, Stage};
use crate::world::backend::Backend;
use crate::world::client::Client;
use crate::world::{Reach, Violation};

fn violated(id: &'static str, what: String) -> Result<(), Violation> {
    Err(Violation::new(id, what))
}

impl Model {
    /// A stage, or several, have settled.
    pub(crate) fn resolved(
        &mut self,
        c: usize,
        resolution: &Resolution,
        client: &Client,
        backend: &Backend,
        reach: &mut Reach,
    ) -> Result<(), Violation> {
        match resolution {
            Resolution::Persisted { session, through } => self.persisted(*session, *through, client),
            Resolution::Confirmed { session, commits } => {
                commits.iter().try_for_each(|confirmed| self.confirmed(*session, confirmed, backend, reach))
            }
            Resolution::NotApplicable { commit } => self.not_applicable(*commit, client),
            Resolution::Failed { commit, stage, error } => self.failed(c, *commit, *stage, error, client, backend, reach),
            other => violated("R1", format!("{other:?} is not known here")),
        }
    }

    fn persisted(&mut self, session: SessionId, through: u64, client: &Client) -> Result<(), Violation> {
        let last = self.last_leader.insert(session, through).unwrap_or(0);
        if last >= through {
            return violated("R2", format!("{session} was stored through {last}, and then through {through}"));
        }
        let range = CommitId { session, ordinal: last + 1 }..=CommitId { session, ordinal: through };
        for (id, commit) in self.commits.range_mut(range) {
            if matches!(commit.leader, Stage::Err(_)) {
                continue;
            }
            if commit.leader != Stage::Open {
                return violated("R1", format!("the leader stage of {id} settles twice"));
            }
            if let Some(own) = commit.events.iter().find(|own| !client.disk.holds(&own.id)) {
                return violated("R3", format!("{id} is Ok, and {:?} is not stored", own.id));
            }
            commit.leader = Stage::Ok(Vec::new());
            commit.leader_said = true;
        }
        Ok(())
    }

    fn confirmed(
        &mut self,
        session: SessionId,
        confirmed: &Confirmed,
        backend: &Backend,
        reach: &mut Reach,
    ) -> Result<(), Violation> {
        let id = CommitId { session, ordinal: confirmed.commit };
        let last = self.last_backend.insert(session, confirmed.commit).unwrap_or(0);
        if last >= confirmed.commit {
            return violated("R2", format!("{session}: commit {} is confirmed after {last}", confirmed.commit));
        }
        let Some(commit) = self.commits.get_mut(&id) else { return violated("R1", format!("{id} was never admitted")) };
        let again = matches!(commit.backend, Stage::Ok(_)) && commit.resumed;
        if commit.backend_said || !(commit.backend == Stage::Open || again) {
            return violated("R1", format!("the backend stage of {id} settles again, it was {:?}", commit.backend));
        }
        if commit.leader == Stage::Open {
            return violated("R2", format!("{id} is confirmed before it is stored"));
        }
        let positions = confirmed.positions.to_vec();
        if !backend.incarnations.iter().any(|incarnation| holds(commit, &positions, &incarnation.log, backend.keeps_ids)) {
            return violated("R4", format!("{id} is not at {positions:?} in the backend"));
        }
        if let Stage::Ok(before) = &commit.backend
            && *before != positions
            && backend.incarnations.len() == 1
        {
            return violated("R4", format!("{id} was confirmed at {before:?}, and then at {positions:?}"));
        }
        if confirmed.rebases > 1 {
            reach.mark("two rebases on one receipt");
        }
        commit.backend = Stage::Ok(positions);
        commit.backend_said = true;
        Ok(())
    }

    fn not_applicable(&mut self, id: CommitId, client: &Client) -> Result<(), Violation> {
        let Some(commit) = self.commits.get_mut(&id) else { return violated("R1", format!("{id} was never admitted")) };
        if commit.backend != Stage::Open {
            return violated("R1", format!("the backend stage of {id} settles again, it was {:?}", commit.backend));
        }
        if client.config.backend && commit.synced().next().is_some() {
            return violated("R2", format!("{id} has something for the backend, and it is said not to apply"));
        }
        if commit.leader == Stage::Open {
            return violated("R2", format!("{id} does not apply before it is stored"));
        }
        (commit.backend, commit.backend_said) = (Stage::NotApplicable, true);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "what a failure has to agree with")]
    fn failed(
        &mut self,
        c: usize,
        id: CommitId,
        stage: Of,
        error: &SyncError,
        client: &Client,
        backend: &Backend,
        reach: &mut Reach,
    ) -> Result<(), Violation> {
        let gone = self.gone.contains(&c) || client.config.offline.deadline.is_some();
        let Some(commit) = self.commits.get_mut(&id) else { return violated("R1", format!("{id} was never admitted")) };
        // An Ok said on an acknowledgement alone may be found pending again after a crash. It settles the same, unless that
        // backend has lost it, or somebody gives it up before the backend has been asked.
        let given_up = matches!(error, SyncError::IsOffline { .. } | SyncError::Withdrawn { .. });
        if stage == Of::Backend
            && matches!(commit.backend, Stage::Ok(_))
            && !commit.backend_said
            && commit.resumed
            && (backend.incarnations.len() > 1 || given_up)
        {
            commit.backend = Stage::Open;
        }
        let slot = if stage == Of::Leader { &mut commit.leader } else { &mut commit.backend };
        if *slot != Stage::Open {
            return violated("R1", format!("{stage:?} of {id} fails, and it was {slot:?}"));
        }
        *slot = Stage::Err(error.clone());
        if stage == Of::Leader {
            reach.mark("leader stage failed");
        } else {
            commit.backend_said = true;
            mark(commit, error, reach);
        }
        let policy = matches!(client.config.stuck, StuckPolicy::WithdrawAfter(_));
        let allowed = match error {
            SyncError::Materialise { .. } => true,
            SyncError::Conflict { guard, .. } => commit.guard().is_some_and(|asked| asked.name == *guard),
            SyncError::Rejected { .. } => commit.synced().any(|own| own.event.name.ends_with("Forbidden")),
            SyncError::Withdrawn { cause: None, .. } => commit.withdrawn,
            SyncError::Withdrawn { cause: Some(_), .. } => policy,
            SyncError::InvalidPush { cause: InvalidPush::BackendIdMismatch { .. }, .. } => backend.incarnations.len() > 1,
            SyncError::IsOffline { .. } => gone,
            _ => false,
        };
        if !allowed {
            return violated("R5", format!("{id} fails with {error:?}"));
        }
        // A backend stage that had failed before keeps its error; the quarantine has the one of the leader stage.
        let in_quarantine = || client.disk.quarantine.iter().any(|found| found.commit == id && found.error == *error);
        let stored = client.disk.failed.get(&id) == Some(error) || (stage == Of::Leader && in_quarantine());
        let kept = match error.events() {
            // What is found confirmed has left quarantine again.
            Whereabouts::Quarantine => commit.events.iter().all(|own| client.disk.holds(&own.id) || client.disk.wiped),
            _ => true,
        };
        if !stored || !kept {
            return violated("R1", format!("{id} fails with {error:?}, and this is not stored"));
        }
        self.certain(id, error, backend)
    }

    /// What a failure says to be certain has to be true, and to stay so.
    fn certain(&mut self, id: CommitId, error: &SyncError, backend: &Backend) -> Result<(), Violation> {
        let Some(commit) = self.commits.get(&id) else { return Ok(()) };
        let synced: Vec<EventId> = commit.synced().map(|own| own.id).collect();
        let never = match error.certainty() {
            Certainty::NotApplied => &synced[..],
            Certainty::Partial { confirmed } => synced.get(confirmed as usize..).unwrap_or_default(),
            _ => return Ok(()),
        };
        if error.events() == Whereabouts::Queued {
            return violated("R6", format!("{id} is queued, and said never to be applied"));
        }
        // What a backend has lost, it does not hold.
        if backend.live().log.iter().any(|held| never.contains(&held.own.id)) {
            return violated("R6", format!("{id} is said not to be applied, and is in the backend's log"));
        }
        self.never.extend(never);
        Ok(())
    }

    /// A process has ended, in whatever way.
    pub(crate) fn killed(&mut self, c: usize, client: &Client, reach: &mut Reach) -> Result<(), Violation> {
        let disk = &client.disk;
        self.gone.remove(&c);
        let mut sessions = BTreeSet::new();
        for commit in self.commits.values_mut().filter(|commit| commit.client == c && !commit.lost) {
            sessions.insert(commit.id.session);
            (commit.leader_said, commit.backend_said, commit.resumed) = (false, false, false);
            let here = commit.events.iter().filter(|own| disk.holds(&own.id)).count();
            let decided = disk.marks.get(&commit.id.session).is_some_and(|&through| through >= commit.id.ordinal);
            if commit.leader == Stage::Open {
                if here == 0 && !decided {
                    if let Some(error) = disk.failed.get(&commit.id) {
                        return violated("R1", format!("{} was never stored, and its failure is: {error:?}", commit.id));
                    }
                    commit.lost = true;
                    reach.mark("crash with a commit not stored");
                    continue;
                }
                commit.leader = Stage::Ok(Vec::new());
            }
            if here < commit.events.len() && matches!(commit.leader, Stage::Ok(_)) && !disk.wiped {
                return violated(
                    "R3",
                    format!("{} was stored, and {here} of {} events are left", commit.id, commit.events.len()),
                );
            }
            if commit.backend == Stage::Open {
                commit.backend = found(commit, client);
            }
        }
        for session in sessions {
            self.last_leader.remove(&session);
            self.last_backend.remove(&session);
        }
        Ok(())
    }

    /// A process ends after everything was stored.
    pub(crate) fn closed(&self, c: usize, client: &Client) -> Result<(), Violation> {
        let open = |commit: &&Commit| commit.client == c && !commit.lost && commit.leader == Stage::Open;
        if let Some(commit) = self.commits.values().find(open) {
            return violated("L4", format!("{} was closed as drained, and {} is not stored", client.name, commit.id));
        }
        let said = |commit: &&Commit| commit.client == c && commit.backend_said && matches!(commit.backend, Stage::Ok(_));
        match self.commits.values().filter(said).find(|commit| !client.disk.wiped && found(commit, client) == Stage::Open) {
            Some(commit) => {
                violated("R1", format!("{} was closed, and that {} is confirmed is not stored", client.name, commit.id))
            }
            None => Ok(()),
        }
    }

    /// A process has started: receipts that are open are found again.
    pub(crate) fn booted(&mut self, c: usize, client: &Client, reach: &mut Reach) -> Result<(), Violation> {
        let Some(node) = client.node() else { return Ok(()) };
        for commit in self.commits.values_mut().filter(|commit| commit.client == c && !commit.lost) {
            let waits = node.find(commit.id).is_some_and(|stages| stages.backend);
            match &commit.backend {
                Stage::Open if !waits => return violated("R8", format!("the receipt of {} is not found again", commit.id)),
                Stage::Open => reach.mark("receipt found again after a restart"),
                // Only a kill between an acknowledgement and its being stored leaves this.
                Stage::Ok(_) if waits && found(commit, client) == Stage::Open => reach.mark("acknowledged, and found open again"),
                settled if waits => return violated("R1", format!("{} is found open, and it was {settled:?}", commit.id)),
                Stage::Ok(positions) if positions.iter().any(|&at| at > client.disk.heads.upstream) => {
                    reach.mark("acknowledged, and known to be after a restart");
                }
                _ => {}
            }
            commit.resumed = waits;
        }
        Ok(())
    }
}

/// What storage says of a commit that is not waiting any more.
fn found(commit: &Commit, client: &Client) -> Stage {
    let disk = &client.disk;
    if let Some(error) = disk.failed.get(&commit.id) {
        return Stage::Err(error.clone());
    }
    if commit.synced().next().is_none() || !client.config.backend {
        return Stage::NotApplicable;
    }
    let mut positions = Vec::new();
    for own in commit.synced() {
        let row = disk.log.iter().find(|row| row.entry.own_id() == Some(own.id));
        match row.map(|row| row.entry.seq.pos.global) {
            Some(at) if at <= disk.heads.upstream.max(disk.heads.acknowledged) => positions.push(at),
            _ => return Stage::Open,
        }
    }
    Stage::Ok(positions)
}

fn holds(commit: &Commit, positions: &[u64], log: &[crate::world::backend::Held], keeps_ids: bool) -> bool {
    let mut synced = commit.synced();
    let all = positions.iter().all(|&at| {
        let Some(own) = synced.next() else { return false };
        log.get(at as usize - 1).is_some_and(|held| match keeps_ids {
            true => held.own.id == own.id,
            false => held.own.id.session == own.id.session && held.said == own.event,
        })
    });
    all && synced.next().is_none()
}

fn mark(commit: &Commit, error: &SyncError, reach: &mut Reach) {
    match error.certainty() {
        Certainty::NotApplied => reach.mark("failed with certainty NotApplied"),
        Certainty::Partial { .. } => reach.mark("failed with certainty Partial"),
        _ => reach.mark("failed with certainty Unknown"),
    }
    match error {
        SyncError::Conflict { .. } if matches!(commit.leader, Stage::Ok(_)) => {
            reach.mark("guard of a stored commit no longer holds");
            if commit.resumed {
                reach.mark("guard no longer holds after a restart");
            }
        }
        SyncError::Materialise { .. } if matches!(commit.leader, Stage::Ok(_)) => reach.mark("poison of a stored commit"),
        SyncError::Rejected { .. } => reach.mark("rejected for ever"),
        SyncError::Withdrawn { cause: None, .. } => reach.mark("withdrawn by a user"),
        SyncError::Withdrawn { .. } => reach.mark("withdrawn by policy"),
        SyncError::IsOffline { events: Whereabouts::Queued, .. } => reach.mark("offline for good, queued"),
        SyncError::IsOffline { .. } => reach.mark("offline for good, withdrawn"),
        SyncError::InvalidPush { .. } => reach.mark("identity mismatch ends a receipt"),
        _ => {}
    }
}
