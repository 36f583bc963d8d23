//! What a commit waits for at the leader.

use crate::effect::Stage;
use crate::error::{Class, StorageClass};
use crate::id::CommitId;
use crate::mutant::Mutant;
use crate::waiting::{LastError, Waiting, Why};

use super::{Hindrance, Leader};

impl Leader {
    /// A commit that is not stored. `coming`: how many of its session come before it, if it has not been admitted.
    pub(crate) fn waits_for_storage(&self, commit: CommitId, coming: Option<usize>) -> Waiting {
        let persisting = &self.persisting;
        let ahead = match coming {
            Some(before) => persisting.admissions.len() + before,
            // One that has left the queue, and whose failure is being stored, has nothing before it.
            None => persisting.admissions.iter().position(|admission| admission.commit == commit).unwrap_or(0),
        };
        let trouble = persisting.trouble.as_ref();
        let class = |class| if class == StorageClass::Corrupt { Class::Defect } else { Class::Retryable };
        Waiting {
            stage: Stage::Leader,
            why: match (&persisting.broken, trouble) {
                (Some(message), _) => Why::StorageBroken { message: message.clone() },
                (None, Some(failure)) => Why::StorageTrouble(failure.clone()),
                (None, None) => Why::Persisting,
            },
            attempt: persisting.retry.attempt,
            next: persisting.retry.at,
            error: trouble.map(|failure| LastError::new(class(failure.class), failure.message.clone())),
            ahead,
        }
    }

    /// A commit that is stored, and whose backend stage is open. `earlier`: those of its session that are open too, the first of them
    /// and how many.
    pub(crate) fn waits_for_backend(&self, commit: CommitId, earlier: Option<(CommitId, usize)>) -> Waiting {
        let ahead = self.commits_before(commit);
        debug_assert!(ahead.is_none_or(|ahead| ahead < self.pending_synced), "those before it are pending too");
        let is_accepted = ahead.is_none();
        let ahead = ahead.filter(|_| !self.has(Mutant::CountOwnSession));
        let ahead = ahead.unwrap_or_else(|| earlier.map_or(0, |(_, count)| count));
        let (push, pull) = (&self.pushing.retry, &self.pulling.retry);
        let (push_error, pull_error) = (self.pushing.last_error.as_ref(), self.pulling.last_error.as_ref());
        let next_pull = pull.at.filter(|_| self.may_pull());
        let soonest = [self.next_push(), next_pull].into_iter().flatten().min();
        let (attempts, last) = (push.attempt.max(pull.attempt), push_error.or(pull_error).cloned());
        let (why, attempt, next, error) = match self.hindrance() {
            Some(Hindrance::Storage(message)) => {
                let error = LastError::new(Class::Defect, message.clone());
                (Why::StorageBroken { message }, attempts, None, Some(error))
            }
            Some(Hindrance::Mismatch { expected, received, .. }) => {
                (Why::BackendIdMismatch { expected, received }, attempts, None, last)
            }
            Some(Hindrance::NeedsAuth(message)) => {
                let error = LastError::new(Class::Auth, message.clone());
                (Why::NeedsAuth { message }, attempts, None, Some(error))
            }
            Some(Hindrance::Offline { since }) => {
                (Why::Offline { since, message: "there is no network".into() }, attempts, None, last)
            }
            Some(Hindrance::Unreachable { since, message }) => {
                let error = LastError::new(Class::Retryable, message.clone());
                (Why::Offline { since, message }, attempts, soonest, Some(error))
            }
            Some(Hindrance::LogBroken { at }) => {
                let error = LastError::new(Class::Defect, alloc::format!("the backend's log has a gap after e{at}"));
                (Why::BackendLogBroken { at }, pull.attempt, next_pull, Some(error))
            }
            None => {
                let (push_error, pull_error) = (push_error.cloned(), pull_error.cloned());
                match self.why_not_pushed(commit, is_accepted, earlier.map(|(first, _)| first)) {
                    Why::Pulling => (Why::Pulling, pull.attempt, next_pull, pull_error),
                    why => (why, push.attempt, self.next_push(), push_error),
                }
            }
        };
        Waiting { stage: Stage::Backend, why, attempt, next, error, ahead }
    }

    fn why_not_pushed(&self, commit: CommitId, is_accepted: bool, earlier: Option<CommitId>) -> Why {
        if self.withdrawals.contains_key(&commit) || self.persisting.is_leaving(commit) {
            return Why::Withdrawing;
        }
        match (&self.pushing.stuck, earlier) {
            (Some(stuck), _) if stuck.commit == commit => Why::Stuck { message: stuck.message.clone() },
            (Some(stuck), _) => Why::Fenced { behind: stuck.commit, message: Some(stuck.message.clone()) },
            (None, Some(behind)) if is_accepted => Why::Fenced { behind, message: None },
            _ if !self.pulling.caught_up() => Why::Pulling,
            _ => Why::Pushing,
        }
    }

    /// How many commits the backend has to accept before this one; `None` if it has accepted it.
    fn commits_before(&self, commit: CommitId) -> Option<usize> {
        let from = (self.tail.acked() - self.tail.pending_first()) as usize;
        let (mut count, mut last) = (0, None);
        for event in self.tail.pending().iter().skip(from).filter(|event| !event.own.event.client_only) {
            let of = event.own.commit_id();
            if of == commit {
                return Some(count);
            }
            count += usize::from(last != Some(of));
            last = Some(of);
        }
        None
    }
}
