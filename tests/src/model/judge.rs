//! What a receipt says, judged when it is said.

use countersign_core::{
    Certainty, CommitId, Confirmed, EventId, InvalidPush, Node, Resolution, SessionId, Stage as Of, StuckPolicy, SyncError,
    Whereabouts,
};

use super::{Commit, Model, Stage, violated};
use crate::world::backend::{Backend, Incarnation};
use crate::world::client::Client;
use crate::world::{Reach, Violation};

impl Model {
    /// A stage, or several, have settled.
    pub(crate) fn resolved(
        &mut self,
        resolution: &Resolution,
        client: &Client,
        backend: &Backend,
        reach: &mut Reach,
    ) -> Result<(), Violation> {
        match resolution {
            Resolution::Persisted { session, through } => self.persisted(*session, *through, client),
            Resolution::Confirmed { session, commits } => {
                commits.iter().try_for_each(|confirmed| self.confirmed(*session, confirmed, client, backend, reach))
            }
            Resolution::NotApplicable { commit } => self.not_applicable(*commit, client),
            Resolution::Failed { commit, stage, error } => self.failed(*commit, *stage, error, client, backend, reach),
            other => violated("R1", format!("{other:?} is not known here")),
        }
    }

    fn persisted(&mut self, session: SessionId, through: u64, client: &Client) -> Result<(), Violation> {
        let last = self.last_leader.insert(session, through).unwrap_or(0);
        if last >= through {
            return violated("R2", format!("{session} was stored through {last}, and then through {through}"));
        }
        if !self.commits.contains_key(&CommitId { session, ordinal: through }) {
            return violated("R1", format!("{session} is stored through {through}, which it has not committed"));
        }
        let range = CommitId { session, ordinal: last + 1 }..=CommitId { session, ordinal: through };
        for (id, commit) in self.commits.range_mut(range) {
            if matches!(commit.leader, Stage::Err(_)) {
                continue;
            }
            if commit.leader != Stage::Open {
                return violated("R1", format!("the leader stage of {id} settles twice"));
            }
            if let Some(own) = commit.events.iter().find(|own| !client.disk.stored.contains(&own.id)) {
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
        client: &Client,
        backend: &Backend,
        reach: &mut Reach,
    ) -> Result<(), Violation> {
        let id = CommitId { session, ordinal: confirmed.commit };
        let last = self.last_backend.insert(session, confirmed.commit).unwrap_or(0);
        if last >= confirmed.commit {
            return violated("R2", format!("{session}: commit {} is confirmed after {last}", confirmed.commit));
        }
        let earlier = self.of_session(session).take_while(|earlier| earlier.id < id);
        if let Some(open) = earlier.filter(|earlier| !earlier.lost).find(|earlier| earlier.backend == Stage::Open) {
            return violated("R2", format!("{id} is confirmed, and {} before it is open", open.id));
        }
        let Some(commit) = self.commits.get_mut(&id) else { return violated("R1", format!("{id} was never admitted")) };
        let again = matches!(commit.backend, Stage::Ok(_)) && commit.resumed;
        if commit.backend_said || !(commit.backend == Stage::Open || again) {
            return violated("R1", format!("the backend stage of {id} settles again, it was {:?}", commit.backend));
        }
        if !matches!(commit.leader, Stage::Ok(_)) {
            return violated("R2", format!("{id} is confirmed, and its leader stage is {:?}", commit.leader));
        }
        let positions = confirmed.positions.to_vec();
        // Whoever starts over with another backend may say what the one before had accepted in the same breath.
        let known = [client.disk.heads.backend.as_ref(), client.node().and_then(Node::backend)];
        let is_known = |incarnation: &&Incarnation| known.contains(&Some(&incarnation.id)) || known == [None, None];
        let mut histories = backend.incarnations.iter().filter(is_known);
        if !histories.any(|incarnation| holds(commit, &positions, &incarnation.log, backend.keeps_ids)) {
            return violated("R4", format!("{id} is not at {positions:?} in the backend"));
        }
        let is_live = |positions: &[u64]| holds(commit, positions, &backend.live().log, backend.keeps_ids);
        let histories = is_live(&positions).then_some(backend.incarnations.len());
        if let Stage::Ok(before) = &commit.backend
            && *before != positions
            && is_live(before)
        {
            return violated("R4", format!("{id} was confirmed at {before:?}, and then at {positions:?}"));
        }
        if confirmed.rebases > 1 {
            reach.mark("two rebases on one receipt");
        }
        if client.disk.held.contains(&id) {
            reach.mark("poison that is held, then confirmed");
        }
        (commit.backend, commit.histories) = (Stage::Ok(positions), histories);
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

    fn failed(
        &mut self,
        id: CommitId,
        stage: Of,
        error: &SyncError,
        client: &Client,
        backend: &Backend,
        reach: &mut Reach,
    ) -> Result<(), Violation> {
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
        if stage == Of::Backend && commit.leader == Stage::Open && error.events() == Whereabouts::Quarantine {
            return violated("R2", format!("{id} fails at the backend and leaves the queue, and its leader stage is open"));
        }
        if stage == Of::Leader {
            reach.mark("leader stage failed");
        } else {
            commit.backend_said = true;
            mark(commit, error, reach);
            if client.disk.held.contains(&id) && matches!(error, SyncError::Materialise { .. } | SyncError::Conflict { .. }) {
                reach.mark("poison that is held, then refused");
            }
        }
        if !is_allowed(commit, error, client, backend) {
            return violated("R5", format!("{id} fails with {error:?}"));
        }
        // A backend stage that had failed before keeps its error; the quarantine has the one of the leader stage.
        let in_quarantine = || client.disk.quarantine.iter().any(|found| found.commit == id && found.error == *error);
        let stored = client.disk.failed.get(&id) == Some(error) || (stage == Of::Leader && in_quarantine());
        let kept = match error.events() {
            // What is found confirmed has left quarantine again.
            Whereabouts::Quarantine => commit.events.iter().all(|own| client.disk.holds(&own.id)),
            _ => true,
        };
        if !stored || !kept {
            return violated("R1", format!("{id} fails with {error:?}, and this is not stored"));
        }
        self.certain(id, error, client, backend)
    }

    /// What a failure says to be certain has to be true, and to stay so.
    pub(super) fn certain(
        &mut self,
        id: CommitId,
        error: &SyncError,
        client: &Client,
        backend: &Backend,
    ) -> Result<(), Violation> {
        let Some(commit) = self.commits.get(&id) else { return Ok(()) };
        let synced: Vec<EventId> = commit.synced().map(|own| own.id).collect();
        let never = match error.certainty() {
            Certainty::NotApplied => &synced[..],
            Certainty::Partial { confirmed } => {
                let (there, rest) = synced.split_at((confirmed as usize).min(synced.len()));
                let is_there = |id: &EventId| backend.incarnations.iter().any(|incarnation| incarnation.holds(id));
                if there.is_empty() || rest.is_empty() || !there.iter().all(is_there) {
                    return violated("R6", format!("{id} is said to be confirmed in part, {error:?}, of {synced:?}"));
                }
                rest
            }
            _ => {
                // Whatever was never handed to the network is surely not applied.
                let ours = client.heard.when_made(id).is_some();
                let ours = ours && !matches!(error, SyncError::IsOffline { .. });
                if ours && error.events() == Whereabouts::Quarantine && !synced.iter().any(|id| self.sent.contains(id)) {
                    return violated("R6", format!("{id} was never sent, and fails with {error:?}"));
                }
                return Ok(());
            }
        };
        if error.events() == Whereabouts::Queued {
            return violated("R6", format!("{id} is queued, and said never to be applied"));
        }
        // What a backend has lost, it does not hold.
        if never.iter().any(|id| backend.live().holds(id)) {
            return violated("R6", format!("{id} is said not to be applied, and is in the backend's log"));
        }
        self.never.extend(never);
        Ok(())
    }
}

/// Whether a commit may fail so, by all that has happened.
pub(super) fn is_allowed(commit: &Commit, error: &SyncError, client: &Client, backend: &Backend) -> bool {
    let heard = &client.heard;
    match error {
        SyncError::Materialise { event, .. } => {
            // The others apply to any state.
            let may_fail = event.ends_with(".Insert") || event.ends_with(".Delete");
            may_fail && commit.events.iter().any(|own| own.event.name == *event)
        }
        SyncError::Conflict { guard, .. } => commit.guard().is_some_and(|asked| asked.name == *guard),
        SyncError::Rejected { .. } => commit.synced().any(|own| heard.forbidden.contains(&own.id)),
        SyncError::Withdrawn { cause: None, .. } => commit.withdrawn,
        SyncError::Withdrawn { cause: Some(cause), .. } if cause.starts_with("the backend has a later commit of its session") => {
            commit.is_overtaken(backend)
        }
        SyncError::Withdrawn { cause: Some(_), .. } => {
            matches!(client.config.stuck, StuckPolicy::WithdrawAfter(_)) && heard.stuck.contains(&commit.id)
        }
        SyncError::InvalidPush { cause: InvalidPush::BackendIdMismatch { .. }, .. } => backend.incarnations.len() > 1,
        SyncError::IsOffline { .. } => heard.was_final_for(commit.id, &client.config),
        _ => false,
    }
}

/// Whether the events of a commit stand there.
pub(super) fn holds(commit: &Commit, positions: &[u64], log: &[crate::world::backend::Held], keeps_ids: bool) -> bool {
    let mut synced = commit.synced();
    let all = positions.iter().all(|&at| {
        let Some(own) = synced.next() else { return false };
        log.get(at as usize - 1).is_some_and(|held| match keeps_ids {
            true => held.own.id == own.id,
            false => held.own.id.session == own.id.session,
        } && held.said == own.event)
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
